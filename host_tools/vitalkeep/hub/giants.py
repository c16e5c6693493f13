"""A message that is far too large is passed over, and neither kept nor a reason to hang up.

Brokers bound what they take, but not all of them can (docs/guides/site.md), and whoever holds one
gateway's certificate must not be able to end the hub's sessions with every message.
"""

from __future__ import annotations

import logging

from bridge.core import mqtt

log = logging.getLogger(__name__)

_MORE = 0x80


class PatientDecoder(mqtt.Decoder):
    """The codec's decoder; a PUBLISH larger than its buffer comes out with an empty payload.

    giants  how many of them came
    """

    def __init__(self, max_packet: int) -> None:
        super().__init__(max_packet)
        self.giants = 0
        self._rest = 0  # bytes of a giant that are still to come

    def next_packet(self) -> mqtt.Packet | None:
        """Return the next Packet or None for "more bytes"; raises ProtocolError."""
        if self._rest:
            self._pass_over()
            if self._rest:
                return None
        data, start = self._data, self._start
        # Two bytes that say "more" stand before any length that could be too large.
        size = self._count - start
        if size > 3 and data[start + 1] & data[start + 2] & _MORE:
            length = data[start + 1] & 0x7F | (data[start + 2] & 0x7F) << 7
            length |= (data[start + 3] & 0x7F) << 14
            at = start + 4
            if data[start + 3] & _MORE:
                if size < 5:
                    return None
                length |= (data[start + 4] & 0x7F) << 21
                at += 1
            publish = data[start] >> 4 == mqtt.PUBLISH
            if publish and at + length - start > len(data) and not data[at - 1] & _MORE:
                return self._giant(at, at + length)
        return super().next_packet()

    def _giant(self, at: int, stop: int) -> mqtt.Packet | None:
        """Return what stands at the head of a giant, once it is all there."""
        data, start = self._data, self._start
        if self._count < at + 2:
            return None
        end = at + 2 + (data[at] << 8 | data[at + 1])
        if self._count < end + 2:
            return None
        packet = mqtt.Packet(mqtt.PUBLISH)
        packet.topic = bytes(data[at + 2 : end]).decode(errors="replace")
        packet.qos = data[start] >> 1 & 3
        packet.packet_id = data[end] << 8 | data[end + 1] if packet.qos else 0
        log.warning("%r: %d bytes, passed over", packet.topic[:64], stop - start)
        self.giants += 1
        self._rest = stop - start
        self._pass_over()
        return packet

    def _pass_over(self) -> None:
        count = min(self._rest, self._count - self._start)
        self._start += count
        self._rest -= count
