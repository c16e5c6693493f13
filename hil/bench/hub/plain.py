"""Gateways for a peer that knows nothing of receipts: it answers each run with its position."""

from __future__ import annotations

import hashlib
import struct

from bridge.core import wire
from bridge.core.journal import layout
from hil.load.gateway import Gateway

_RUN = "<8sIH"  # log, sector and offset, behind a run's version
_ANSWER = "<BIHH"  # class, sector, offset, bytes


def pack_answer(topic: str, payload: bytes) -> tuple[str, bytes]:
    """Return (gateway, answer) to a run; nothing in it is checked."""
    _, gateway, _, name = topic.split("/")
    _, sector, offset = struct.unpack_from(_RUN, payload, 1)
    count = len(payload) - wire.RUN_HEAD - wire.RUN_TAG
    cls = layout.CLASSES.index(name)
    return gateway, struct.pack(_ANSWER, cls, sector, offset, count)


class PlainGateway(Gateway):
    """A gateway that believes such answers. Runs are sent as to any site; heartbeats are not."""

    def heartbeat(self, now_ms: float) -> None:
        self._beat_ms = now_ms + self._heartbeat_ms
        if not self.sender.ready:
            said = self._said()
            said.have = True
            self.stored(said, now_ms)

    def receipt(self, payload: bytes, now_ms: float) -> None:
        cls, sector, offset, count = struct.unpack(_ANSWER, payload)
        end = offset + count
        digest = hashlib.sha256(self.log.prefix(cls, sector, end)).digest()[:8]
        said = self._said()
        said.entries = [(cls, sector, end, digest)]
        self._tally.counts["receipts"] += 1
        self.stored(said, now_ms)

    def _said(self) -> wire.Receipt:
        return wire.Receipt(self._site, bytes(8), self.who.id, self.who.log, self._nonce)
