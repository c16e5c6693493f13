"""A gateway keeps its board's prompt closed: it is opened with its own keys, or by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from vitalkeep.board.errors import BoardError
from vitalkeep.diagnose.usb import QUIET_S, Usb
from vitalkeep.errors import ToolError
from vitalkeep.keys.vault import Gateway

_OPEN_MIN = 10

# Asked when a prompt is closed: a vault may want its passphrase for it.
Gateways = Callable[[], Mapping[bytes, Gateway]]


def open_prompt(device: str, gateways: Gateways, quiet_s: float = QUIET_S) -> bool:
    """Have a gateway that runs at a port open its prompt; says whether it did.

    quiet_s  a board that is silent for so long has no gateway that runs
    Raises   BoardError "console-closed" when it runs and we may not
    """
    try:
        with Usb(device, quiet_s=quiet_s) as usb:
            status = usb.greet(tries=1)
            if status.get("console") != "closed":
                return False
            usb.gateways = gateways()
            if bytes.fromhex(status["gateway"]) in usb.gateways:
                asyncio.run(usb.ask("open-console", minutes=_OPEN_MIN))
                return True
    except ToolError:
        return False
    raise BoardError(
        "console-closed",
        f"{device}: gateway {status['gateway']} runs and keeps its prompt closed",
        "Name the vault that has its keys (--vault), or hold its button for three seconds; then "
        "run the same again.",
    )
