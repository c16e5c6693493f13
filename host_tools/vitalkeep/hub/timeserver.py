"""Tells gateways the time over UDP: authenticated, bound to their question (docs/formats/wire.md).

Whoever is unknown, or does not know the key, gets no answer at all. A question costs at most two
HMACs, and only so many are looked at in a second: a flood slows nothing else down.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from bridge.core import timewire
from bridge.core.errors import FormatError, TagError
from vitalkeep.errors import ToolError
from vitalkeep.hub.store import utc_now_ms
from vitalkeep.keys import derive
from vitalkeep.keys.vault import Vault

log = logging.getLogger(__name__)

_QUESTIONS_PER_S = 500
_TIME_ERROR = 5  # what adjtimex() returns of a clock that nobody disciplines
_TIMEX_SIZE = 256  # struct timex, rounded up


def clock_sync() -> int:
    """Return what the kernel knows of this machine's clock, one of timewire.SYNC_* (Linux)."""
    if sys.platform != "linux":
        return timewire.SYNC_UNKNOWN
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_SIZE))
    except (OSError, AttributeError):
        return timewire.SYNC_UNKNOWN
    if state < 0:
        return timewire.SYNC_UNKNOWN
    return timewire.SYNC_LOST if state == _TIME_ERROR else timewire.SYNC_GOOD


class TimeServer(asyncio.DatagramProtocol):
    """Answers the questions of a vault's gateways.

    counters  answered, malformed, unknown (gateway), forged, flooded, unsent
    """

    def __init__(self, vault: Vault, sync: Callable[[], int] = clock_sync) -> None:
        self.counters: Counter[str] = Counter()
        self._sync = sync
        self._second = 0
        self._asked = 0
        self._transport: asyncio.DatagramTransport | None = None
        self.set_vault(vault)

    def set_vault(self, vault: Vault) -> None:
        """Follow the vault when someone provisioned."""
        site = self._site = vault.site_id
        # (uplink key, receipt key) of each gateway
        self._keys = {
            known.id: (
                derive.uplink_key(known.root, known.id),
                derive.receipt_key(known.root, known.id, site),
            )
            for known in vault.gateways()
            if not known.revoked
        }

    def answer(self, payload: bytes, now_ms: int) -> bytes | None:
        """Return the answer to a datagram at a UTC time, None where there is to be none."""
        try:
            gateway = timewire.asker(payload)
        except FormatError:
            self.counters["malformed"] += 1
            return None
        keys = self._keys.get(gateway)
        if keys is None:
            self.counters["unknown"] += 1
            return None
        if now_ms // 1000 != self._second:
            self._second, self._asked = now_ms // 1000, 0
        self._asked += 1
        if self._asked > _QUESTIONS_PER_S:
            self.counters["flooded"] += 1
            return None
        try:
            nonce = timewire.parse_question(payload, keys[0])
        except TagError:
            self.counters["forged"] += 1
            return None
        self.counters["answered"] += 1
        answer = timewire.TimeAnswer(self._site, nonce, now_ms, self._sync())
        return bytes(timewire.pack_answer(keys[1], gateway, answer))

    # --- on a socket ---

    async def listen(self, address: tuple[str, int], may_fail: bool) -> None:
        """Answer at (host, port) from now on; raises ToolError unless it may fail."""
        host, port = address
        try:
            await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: self, local_addr=address
            )
        except OSError as error:
            text = f"the time cannot be told on {host}:{port}: {error.strerror or error}"
            if not may_fail:
                hint = "Stop what uses the port, or choose another: --time HOST:PORT, or none."
                raise ToolError(text, hint) from None
            log.warning("%s; gateways ask in vain", text)

    @property
    def address(self) -> str | None:
        """Return where it answers as host:port, None while it does not."""
        if self._transport is None:
            return None
        host, port = self._transport.get_extra_info("sockname")[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        answer = self.answer(data, utc_now_ms())
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, address)

    def error_received(self, error: Exception) -> None:
        self.counters["unsent"] += 1
