"""Real UDP servers that tell the time: a site's, honest or not, and SNTP servers."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.core import timewire
from tests.support.site_client import GATEWAY, ROOT, SITE
from vitalkeep.hub.timeserver import TimeServer
from vitalkeep.keys.vault import Vault

_FROM_1900_S = 2208988800


def now_ms() -> int:
    return round(time.time() * 1000)


class _Server(asyncio.DatagramProtocol):
    """Answers each datagram with what `_answers` makes of it.

    asked    how many came so far
    silent   while True nothing is answered
    late_s   how long each answer takes
    """

    def __init__(self, off_ms: int = 0) -> None:
        self.off_ms = off_ms
        self.asked = 0
        self.silent = False
        self.late_s = 0.0
        self._transport: Any = None

    async def start(self) -> int:
        """Listen on a free port of 127.0.0.1 and return it."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        return int(self._transport.get_extra_info("sockname")[1])

    def close(self) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.asked += 1
        if not self.silent:
            asyncio.get_running_loop().call_later(self.late_s, self._send, data, address)

    def _send(self, data: bytes, address: Any) -> None:
        for answer in self._answers(data):
            self._transport.sendto(answer, address)

    def _answers(self, data: bytes) -> list[bytes]:
        raise NotImplementedError


class SiteClock(_Server):
    """The hub's own time server for the gateway of the tests, with a clock that is `off_ms`.

    before  before(question, right answer) returns what is sent ahead of the right answer, which
            follows while `answering`
    """

    def __init__(self, folder: Path, off_ms: int = 0, site: bytes = SITE) -> None:
        super().__init__(off_ms)
        vault = Vault.create(folder)
        vault.site_id = site
        vault.add_gateway(GATEWAY, "bed-1", ROOT)
        self.server = TimeServer(vault, sync=lambda: timewire.SYNC_GOOD)
        self.before: Callable[[bytes, bytes], list[bytes]] = lambda question, answer: []
        self.answering = True

    def _answers(self, data: bytes) -> list[bytes]:
        answer = self.server.answer(data, now_ms() + self.off_ms)
        assert answer is not None, dict(self.server.counters)
        return self.before(data, answer) + ([answer] if self.answering else [])


class NtpServer(_Server):
    """An SNTP server of stratum 2 whose clock is `off_ms`; `kiss` is a code of refusal."""

    kiss = b""

    def _answers(self, data: bytes) -> list[bytes]:
        stamp = _stamp(now_ms() + self.off_ms)
        stratum, reference = (0, self.kiss) if self.kiss else (2, b"LOCL")
        head = struct.pack(">BBbbII4s", 0x24, stratum, 6, -20, 655, 655, reference)
        return [head + stamp + data[40:48] + stamp + stamp]


def _stamp(utc_ms: int) -> bytes:
    seconds, rest_ms = divmod(utc_ms, 1000)
    return struct.pack(">II", (seconds + _FROM_1900_S) & 0xFFFFFFFF, (rest_ms << 32) // 1000)
