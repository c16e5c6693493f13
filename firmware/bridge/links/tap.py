"""Listening in on a line: copies of the bytes that the gateway reads and sends anyway.

The line is not read twice and nothing waits: what does not fit until somebody fetches it is
counted and left out.

Format: entries of direction u8, when u32 (ms since boot, low bits), size u16, bytes.
"""

import struct

from micropython import const

_ENTRY = "<BIH"
_HEAD = const(7)
_KEPT_MS = const(15000)  # without a fetch for so long, nobody is there any more


class Tap:
    """What one line carries, for whoever fetches it.

    dropped  bytes that found no room since the last fetch
    until_ms when it is taken off
    """

    def __init__(self, size, now_ms):
        self.dropped = 0
        self.until_ms = now_ms + _KEPT_MS
        self._buffer = bytearray(size)
        self._count = 0

    def take(self, way, data, count, now_ms):
        """Copy the first `count` bytes of `data`, which went one way just now."""
        at = self._count
        room = len(self._buffer) - at - _HEAD
        kept = max(0, min(count, room))
        self.dropped += count - kept
        if kept:
            struct.pack_into(_ENTRY, self._buffer, at, way, now_ms & 0xFFFFFFFF, kept)
            at += _HEAD
            self._buffer[at : at + kept] = memoryview(data)[:kept]
            self._count = at + kept

    def fetch(self, now_ms):
        """Return (entries, dropped) since the last fetch."""
        found = bytes(memoryview(self._buffer)[: self._count]), self.dropped
        self._count = self.dropped = 0
        self.until_ms = now_ms + _KEPT_MS
        return found
