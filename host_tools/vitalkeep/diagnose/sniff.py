"""Listen in on a line of a running gateway: its bytes, and what its driver makes of them."""

from __future__ import annotations

import asyncio
import base64
import struct
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from vitalkeep.decoding.lines import Follower
from vitalkeep.diagnose import Asker
from vitalkeep.errors import ToolError

_ENTRY = struct.Struct("<BIH")  # firmware/bridge/links/tap.py
_EVERY_S = 0.5


@dataclass
class Heard:
    """Bytes that went one way at one time.

    mono_ms  since the gateway's boot
    sent     whether the gateway sent them
    events   what the driver says that they complete, a line of JSON each
    dropped  bytes that were left out before these, as nobody fetched them in time
    """

    mono_ms: int
    sent: bool
    data: bytes
    events: list[str] = field(default_factory=list)
    dropped: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "mono_ms": self.mono_ms, "sent": self.sent, "hex": self.data.hex(),
            "events": self.events, "dropped": self.dropped,
        }  # fmt: skip


class Sniffer:
    """One line's ear, by the line's number in the configuration; `about` is what is on it."""

    def __init__(self, asker: Asker, line: int) -> None:
        self.about: dict[str, Any] = {}
        self._asker = asker
        self._line = line

    async def listen(self, seconds: float) -> AsyncIterator[Heard]:
        """Yield what the line carries for some seconds; raises ToolError."""
        self.about = await self._asker.ask("sniff", line=self._line)
        driver = Follower(self.about["protocol"], self.about.get("options", {}))
        until = time.monotonic() + seconds
        is_last = False
        while not is_last:
            await asyncio.sleep(min(_EVERY_S, max(0.0, until - time.monotonic())))
            is_last = time.monotonic() >= until
            reply = await self._asker.ask("sniffed", line=self._line, last=is_last)
            dropped = int(reply["dropped"])
            if reply["data"] is None:  # taken off, as nobody had asked for long
                await self._asker.ask("sniff", line=self._line)
                continue
            for heard in parse(base64.b64decode(reply["data"])):
                heard.dropped, dropped = dropped, 0
                heard.events = list(driver.feed(heard.sent, heard.data))
                yield heard


def parse(entries: bytes) -> list[Heard]:
    """Return what a tap's entries say."""
    found: list[Heard] = []
    at = 0
    while at + _ENTRY.size <= len(entries):
        way, mono_ms, count = _ENTRY.unpack_from(entries, at)
        at += _ENTRY.size
        found.append(Heard(mono_ms, bool(way), entries[at : at + count]))
        at += count
    return found


def line_of(config: dict[str, Any], uart: int) -> int:
    """Return the number of the line on a UART of a config.json; raises ToolError."""
    uarts = [line["uart"] for line in config["lines"]]
    if uart not in uarts:
        known = ", ".join(map(str, uarts))
        raise ToolError(f"no line is on uart {uart}", f"The configuration has: {known}.")
    return uarts.index(uart)
