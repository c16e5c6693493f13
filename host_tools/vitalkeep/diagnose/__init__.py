"""Ask a gateway how it is, over USB or MQTT, and say what that means (docs/guides/diagnose.md).

`take_report(ask)` is the one way in for other tools: `ask` is a `Usb` or a `remote.desk.Desk`.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from vitalkeep.diagnose.report import Report, build


class Asker(Protocol):
    """A conversation with one gateway: `Usb` or `remote.desk.Desk`."""

    async def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Send a command and return the reply; raises ToolError."""


async def take_report(ask: Asker, by: str) -> Report:
    """Return the report of a gateway that is asked for it; raises ToolError.

    by  how it is asked: "usb" or "mqtt"
    """
    return build(await ask.ask("report"), by, time.time_ns() // 1_000_000)
