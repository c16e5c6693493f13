"""Receipts: what this site says to a gateway of what it has durably stored. Pure.

Nothing here may be called for bytes whose commit has not returned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from bridge.core import wire
from bridge.core.journal.layout import SECTOR_SIZE
from bridge.core.radio_wire import Frame, pack_answer
from vitalkeep.hub import sectors
from vitalkeep.hub.heartbeat import Heartbeat
from vitalkeep.hub.sectors import Place, Sector, Stream
from vitalkeep.keys import derive
from vitalkeep.keys.vault import Gateway

OWN = 1  # copies: other sites' count once they were read back, and are told by themselves

Entry = tuple[int, int, int, bytes]  # class, sector, length, digest
Map = tuple[int, int, int, bytes]  # class, first sector, count, bits


def entry(sector: Sector) -> Entry:
    """Return the receipt entry for a sector's prefix."""
    if sector.cold is not None:
        return sector.place.cls, sector.place.sector, SECTOR_SIZE, sector.cold.digest[:8]
    length = len(sector.data)
    digest = hashlib.sha256(sector.data).digest()[:8]
    return sector.place.cls, sector.place.sector, length, digest


class Receipts:
    """Writes the receipts of one site.

    site, epoch  8 bytes each
    """

    def __init__(self, site: bytes, epoch: bytes) -> None:
        self.site = site
        self.epoch = epoch
        self._keys: dict[bytes, bytes] = {}

    def _pack(
        self,
        gateway: Gateway,
        log: bytes,
        nonce: bytes,
        utc_ms: int,
        *,
        entries: Sequence[Entry] = (),
        maps: Sequence[Map] = (),
        have: bool = False,
        echo_ms: int = 0,
        copies: int = OWN,
    ) -> bytes:
        receipt = wire.Receipt(self.site, self.epoch, gateway.id, log, nonce)
        receipt.utc_ms, receipt.echo_ms = utc_ms, echo_ms
        receipt.copies, receipt.have = copies, have
        receipt.entries, receipt.maps = list(entries), list(maps)
        return bytes(wire.pack_receipt(receipt, self._key(gateway)))

    def _key(self, gateway: Gateway) -> bytes:
        key = self._keys.get(gateway.id)
        if key is None:
            key = derive.receipt_key(gateway.root, gateway.id, self.site)
            self._keys[gateway.id] = key
        return key

    def radio(self, gateway: Gateway, frame: Frame) -> bytes:
        """Return the answer to a frame that came by radio."""
        return bytes(pack_answer(self._key(gateway), gateway.id, frame))

    def forget_keys(self) -> None:
        self._keys.clear()

    def stored(
        self,
        gateway: Gateway,
        log: bytes,
        nonce: bytes,
        touched: Iterable[Sector],
        utc_ms: int,
    ) -> list[bytes]:
        """Return the receipts for sectors that a commit touched."""
        entries = [entry(sector) for sector in touched if sector.data or sector.cold]
        return self.entries(gateway, log, nonce, entries, utc_ms)

    def entries(
        self,
        gateway: Gateway,
        log: bytes,
        nonce: bytes,
        entries: Sequence[Entry],
        utc_ms: int,
        copies: int = OWN,
    ) -> list[bytes]:
        """Return the receipts that say of each entry that so many sites have it."""
        step = wire.ENTRIES_MAX
        return [
            self._pack(gateway, log, nonce, utc_ms, entries=entries[at : at + step], copies=copies)
            for at in range(0, len(entries), step)
        ]

    def copied(
        self, gateway: Gateway, beat: Heartbeat, maps: Sequence[Map], copies: int, utc_ms: int
    ) -> bytes:
        """Return the receipt that says of all sectors in maps that so many sites have them."""
        return self._pack(gateway, beat.log, beat.nonce, utc_ms, maps=maps, copies=copies)

    def answer(
        self,
        gateway: Gateway,
        beat: Heartbeat,
        utc_ms: int,
        maps: Sequence[Map] = (),
        entries: Sequence[Entry] = (),
    ) -> bytes:
        """Return the receipt that answers a heartbeat; maps and entries when it asked."""
        return self._pack(
            gateway,
            beat.log,
            beat.nonce,
            utc_ms,
            maps=maps,
            entries=entries,
            have=beat.ask,
            echo_ms=beat.mono_ms,
        )


def surveyed(beat: Heartbeat) -> list[tuple[Stream, int, int]]:
    """Return the logs that a heartbeat asks for: (stream, first sector, newest sector)."""
    return [
        ((beat.gateway, beat.log, cls), first, newest)
        for cls, (first, newest, _) in sorted(beat.heads.items())
        if 0 <= first <= newest
    ]


def map_of(cls: int, oldest: int, newest: int, stored: Iterable[int]) -> Map:
    """Return the map that names the sectors `stored` of those from `oldest` to `newest`."""
    first, numbers = oldest, set(stored)
    # All below the map's first is stored: a map is short, and a log on a large chip is not.
    while first in numbers:
        first += 1
    count = max(0, min(newest - first + 1, wire.MAP_SECTORS_MAX))
    bits = bytearray((count + 7) // 8)
    for number in numbers:
        if first <= number < first + count:
            bits[(number - first) >> 3] |= 1 << ((number - first) & 7)
    return cls, first, count, bytes(bits)


def survey(
    beat: Heartbeat, states: Mapping[Stream, list[tuple[int, int, int]]]
) -> tuple[list[Map], list[Place]]:
    """Return (maps, places of partly stored sectors) that answer "what do you have".

    states   (sector, length, state) of all that `surveyed` names
    The open sectors come first: a gateway goes on with them, and there is room for few.
    """
    maps: list[Map] = []
    opened: list[Place] = []
    others: list[Place] = []
    for stream, first, newest in surveyed(beat):
        cls, found = stream[2], states[stream]
        proven = {number for number, _, state in found if state == sectors.PROVEN}
        for number, length, state in found:
            if length and state != sectors.PROVEN:
                # Whole and not proven goes as an entry: its digest speaks for it.
                place = Place(beat.gateway, beat.log, cls, number)
                (opened if number == newest else others).append(place)
        maps.append(map_of(cls, first, newest, proven))
    others.sort(key=lambda place: place.sector, reverse=True)
    return maps, (opened + others)[: wire.ENTRIES_MAX]
