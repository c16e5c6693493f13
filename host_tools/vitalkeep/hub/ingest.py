"""Runs to checked appends. Pure: no I/O and no clock of its own.

What the store has is handed in (`missing_*`, `load_*`); what should change comes out as a Batch.
Everything that is wrong with a run has a name and is counted under it.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Any

from bridge.core.errors import FormatError, TagError
from bridge.core.journal import layout
from bridge.core.journal.reader import verify_seal
from bridge.core.journal.seal import FIRST_SEAL
from vitalkeep.hub import sectors
from vitalkeep.hub.batch import Batch, Change, Run, Sealed
from vitalkeep.hub.chains import KeyChains
from vitalkeep.hub.decode import Row, SectorDecoder, add_rows, block_row
from vitalkeep.hub.epochs import Epochs
from vitalkeep.hub.late import Task
from vitalkeep.hub.payloads import Payloads
from vitalkeep.hub.sectors import DAY_MS, Place, Sector, Spoilt, Stored, Stream, describe_spoilt
from vitalkeep.hub.tags import pack_tag
from vitalkeep.keys.vault import Gateway

CACHE_MAX = 20_000  # sectors kept in memory between batches


class Ingest:
    """The sectors that are growing at this site.

    gateways  the vault's
    cipher    AES-256 in ECB mode, see bridge.core.journal.seal
    """

    def __init__(self, gateways: Iterable[Gateway], cipher: Callable[[bytes], Any]) -> None:
        self.counters: Counter[str] = Counter()
        self.payloads = Payloads(cipher, self.counters)
        self._cipher = cipher
        self._sectors: OrderedDict[Place, Sector] = OrderedDict()
        self._chains: dict[Stream, KeyChains] = {}
        self._epochs = Epochs(self._sectors)
        self._spoilt: set[Place] = set()
        self._found_spoilt: dict[Place, str] = {}  # what no batch has told yet
        self._gateways: dict[bytes, Gateway] = {}
        self.set_gateways(gateways)

    def set_gateways(self, gateways: Iterable[Gateway]) -> None:
        self._gateways = {gateway.id: gateway for gateway in gateways}
        self.payloads.set_gateways(self._gateways.values())

    # --- what the store has ---

    def missing(self, places: Iterable[Place], neighbours: bool = True) -> list[Place]:
        """Return the sectors to load first; a seal also concerns those before and behind it."""
        wanted: dict[Place, None] = {}
        for place in places:
            around = range(max(0, place.sector - 1), place.sector + 2) if neighbours else ()
            for number in (*around, place.sector):
                near = place._replace(sector=number)
                if near in self._sectors:
                    self._sectors.move_to_end(near)
                else:
                    wanted[near] = None
        return list(wanted)

    def load(self, place: Place, stored: Stored | None) -> None:
        self._sectors[place] = Sector(place, stored)
        if stored is not None and stored.spoilt is not None and place not in self._spoilt:
            self._spoilt.add(place)
            self._found_spoilt[place] = describe_spoilt(place, stored.spoilt)

    def sector(self, place: Place) -> Sector:
        """Return a sector that was loaded."""
        return self._sectors[place]

    def forget(self, gateways: Collection[bytes] | None = None) -> None:
        """Drop what was loaded, of all gateways or of these: the store knows better."""
        if gateways is None:
            self._sectors.clear()
            self._epochs.forget()
        else:
            known = set(gateways)
            for place in [place for place in self._sectors if place.gateway in known]:
                del self._sectors[place]

    def drop(self, places: Iterable[Place]) -> None:
        """Forget single sectors."""
        for place in places:
            self._sectors.pop(place, None)

    def trim(self) -> None:
        """Bound the memory, between batches; what waits behind a hole will be sent again."""
        while len(self._sectors) > CACHE_MAX:
            self._sectors.popitem(last=False)

    # --- runs ---

    def take(self, run: Run, batch: Batch) -> None:
        """Apply a run to its sector, which is loaded, and note in `batch` what follows."""
        sector = self._sectors[run.place]
        if self._apply(sector, run, batch):
            self._join_pending(sector, batch)

    def finish(self, batch: Batch) -> None:
        """Complete `batch.changes`, after the last run."""
        batch.changes = []
        batch.spoilt = list(self._found_spoilt)
        batch.alarms += [(place.gateway, text) for place, text in self._found_spoilt.items()]
        self._found_spoilt.clear()
        for place, old in batch.dirty.items():
            sector = self._sectors[place]
            data = bytes(sector.data)
            whole = data if sector.whole else None
            if sector.day < 0:
                sector.day = batch.now_ms // DAY_MS
            change = Change(place, old, data[old:], len(data), sector.state, whole, sector.day)
            if place in batch.mended:
                change = replace(change, piece=data, decoded=sector.decoded)
            if place in batch.replaced:
                decoded = self._decode(sector, data, batch)
                change = replace(change, decoded=decoded.decoded, spans=decoded.spans.dump())
            elif tags := batch.tags.get(place):
                change = replace(change, tags=tags)
            batch.changes.append(change)

    def _apply(self, sector: Sector, run: Run, batch: Batch) -> bool:
        """Return True when the prefix grew."""
        if sector.cold is not None:
            # The receipt has the digest: the gateway compares what we do not fetch for that.
            self.counters["cold"] += 1
            self._touch(run.place, batch)
            return False
        if sector.spoilt is not None:
            self.counters["spoilt"] += 1
            if run.offset:
                # No receipt for this one: its gateway asks, hears that nothing of the sector is
                # here, and sends it from its first byte on.
                return False
        verdict, new = sectors.fit(sector.data, run.offset, run.data)
        if verdict == sectors.BEYOND:
            self.counters["out_of_order"] += 1
            if not sector.hold(run.offset, run.data, run.tag):
                self.counters["pending_full"] += 1
            return False
        if verdict == sectors.CONFLICT:
            if self._settle(sector, run, batch):
                return True
            self._refuse(run, batch, "conflict")
            return False
        if verdict == sectors.DUPLICATE:
            self.counters["duplicate"] += 1
            self._touch(run.place, batch)
            return False
        return self._append(sector, run, new, batch)

    def take_sealed(self, sealed: Sealed, batch: Batch) -> None:
        """Apply a whole sector of a log that the vault knows, loaded with its neighbours.

        Nothing is believed: its seal must fit, and only the gateway could make that. It then
        takes the place of bytes that contradict it, which go to the quarantine.
        """
        reason = self._take_sealed(sealed.place, sealed.data, sealed.previous, batch)
        if reason:
            batch.refused.append((sealed.place, reason))

    def _take_sealed(self, place: Place, data: bytes, previous: bytes | None, batch: Batch) -> str:
        sector = self._sectors[place]
        if sector.state == sectors.PROVEN and sector.data == data:
            return ""
        if reason := self._refusal(place, data) or self._fault(place, data, previous):
            return reason
        run = Run(place, 0, data)
        if sector.state == sectors.PROVEN:
            self._refuse(run, batch, "two_seals")
            return "two_seals"
        state = self._prove(place, data)
        if state == sectors.BROKEN:
            return "out_of_order"  # the sector before is not what it was chained to: settle that
        verdict, new = sectors.fit(sector.data, 0, data)
        if verdict == sectors.APPEND:
            self._append(sector, run, new, batch)
        else:
            self._replace(sector, data, state, batch)
        return ""

    def _replace(self, sector: Sector, data: bytes, state: int, batch: Batch) -> None:
        """Put sealed bytes in the place of a whole sector, or of a prefix that differs."""
        place = sector.place
        batch.dirty.setdefault(place, len(sector.data))
        self._touch(place, batch)
        if not data.startswith(sector.data):
            self._refuse(Run(place, 0, bytes(sector.data)), batch, "superseded")
            batch.replaced.add(place)
            batch.tags.pop(place, None)
            sector.pending.clear()
        sector.data[:] = data
        sector.state = state
        self._prove_next(sector, batch)

    def _fault(self, place: Place, data: bytes, previous: bytes | None) -> str:
        """Return what is wrong with the seal of a whole sector, "" for nothing."""
        header = layout.parse_header(data)
        tags = [previous]
        if header.number == header.epoch_first:
            tags = [bytes(FIRST_SEAL)]
        elif before := self._sectors.get(place._replace(sector=place.sector - 1)):
            tags.append(before.tag())
        key = self._chain(place).key(header)
        fault = "no_tag"  # what it is chained to is lost at both sites: nobody can say
        for tag in tags:
            if tag is not None:
                try:
                    verify_seal(data, key, tag)
                    return ""
                except (FormatError, TagError):
                    fault = "wrong_seal"  # the other may be the one that its gateway chained it to
        return fault

    def _append(self, sector: Sector, run: Run, new: bytes, batch: Batch) -> bool:
        place, old = sector.place, len(sector.data)
        grown = bytes(sector.data) + new
        opened = old < layout.HEADER_SIZE <= len(grown)
        reason = self._refusal(place, grown) if opened else ""
        if reason:
            self._refuse(run, batch, reason)
            return False
        state = sector.state
        if len(grown) == layout.SECTOR_SIZE:
            state = self._prove(place, grown)
            if state == sectors.BROKEN:
                # The run's tag is right, so this is what the gateway holds: it is kept as it is,
                # since refusing it would only bring it again.
                self._refuse(run, batch, "seal_mismatch")
        if sector.spoilt is not None:
            old = self._mend(sector, sector.spoilt, grown, batch)
        batch.dirty.setdefault(place, old)
        self._touch(place, batch)
        if run.tag:
            tag = pack_tag(run.offset, len(run.data), run.tag)
            batch.tags[place] = batch.tags.get(place, b"") + tag
        sector.data += new
        sector.state = state
        if opened:
            self._epochs.note(sector, batch)
        if sector.whole:
            sector.pending.clear()
            self._prove_next(sector, batch)
        return True

    def _mend(self, sector: Sector, spoilt: Spoilt, data: bytes, batch: Batch) -> int:
        """Let a batch store a spoilt sector anew; returns the length that its row has.

        What is left of it, and is not in the new bytes, goes to the quarantine.
        """
        for at, some in spoilt.remains:
            if data[at : at + len(some)] != some:
                self._refuse(Run(sector.place, at, some), batch, "superseded")
        if not spoilt.remains:
            sector.decoded = 0  # nor are all its rows here, if it was in an archive alone
        self.counters["mended"] += 1
        self._spoilt.discard(sector.place)
        batch.mended.add(sector.place)
        sector.spoilt = None
        return spoilt.length

    def _refusal(self, place: Place, data: bytes) -> str:
        if sectors.check_header(place, data):
            return "wrong_header"
        return self._chain(place).refusal(layout.parse_header(data))

    def _join_pending(self, sector: Sector, batch: Batch) -> None:
        grew = True
        while grew and sector.pending:
            grew = False
            waiting, sector.pending = sector.pending, []
            for offset, data, tag in waiting:
                verdict, _ = sectors.fit(sector.data, offset, data)
                if verdict == sectors.BEYOND:
                    sector.pending.append((offset, data, tag))
                elif verdict != sectors.DUPLICATE:
                    run = Run(sector.place, offset, data, tag)
                    grew = self._apply(sector, run, batch) or grew

    # --- seals ---

    def _prove(self, place: Place, data: bytes) -> int:
        """Return the state of a sector whose bytes are all here."""
        header = layout.parse_header(data)
        before: bytes | None = bytes(FIRST_SEAL)
        if header.number != header.epoch_first:
            previous = self._sectors.get(place._replace(sector=place.sector - 1))
            before = previous.tag() if previous else None
        try:
            verify_seal(data, self._chain(place).key(header), before or FIRST_SEAL)
        except FormatError:
            return sectors.BROKEN
        except TagError:
            return sectors.WHOLE if before is None else sectors.BROKEN
        return sectors.PROVEN

    def _settle(self, sector: Sector, run: Run, batch: Batch) -> bool:
        """Put a seal that fits in the place of one that did not; False when it is none."""
        seal = (run.offset, len(run.data)) == (layout.SEAL_AT, layout.SEAL_SIZE)
        if sector.state != sectors.BROKEN or not seal:
            return False
        data = bytes(sector.data[: layout.SEAL_AT]) + run.data
        state = self._prove(sector.place, data)
        if state == sectors.BROKEN:
            return False
        batch.dirty.setdefault(sector.place, len(sector.data))
        self._touch(sector.place, batch)
        sector.data[:] = data
        sector.state = state
        self._prove_next(sector, batch)
        return True

    def _prove_next(self, sector: Sector, batch: Batch) -> None:
        """The sector behind may have waited for this one's tag."""
        behind = self._sectors.get(sector.place._replace(sector=sector.place.sector + 1))
        if behind is None or behind.state != sectors.WHOLE:
            return
        data = bytes(behind.data)
        behind.state = self._prove(behind.place, data)
        batch.dirty.setdefault(behind.place, len(data))
        if behind.state == sectors.BROKEN:
            seal = Run(behind.place, layout.SEAL_AT, data[layout.SEAL_AT :])
            self._refuse(seal, batch, "seal_mismatch")

    def _chain(self, place: Place) -> KeyChains:
        stream = place[:3]
        if stream not in self._chains:
            self._chains[stream] = KeyChains(self._gateways[place.gateway].root, *stream)
        return self._chains[stream]

    def close_silent(self, place: Place, batch: Batch) -> None:
        """Close an open sector, which is loaded, of which nobody has heard for long."""
        self._epochs.close_silent(self._sectors[place], batch)

    # --- records ---

    def _decode(self, sector: Sector, data: bytes, batch: Batch) -> SectorDecoder:
        """Decode a sector whose bytes took the place of wrong ones, in the same commit.

        Whoever still decodes those then finds that the store has gone beyond them.
        """
        place = sector.place
        decoder = SectorDecoder(self._cipher, place, self.chain_key(place, data), 0)
        rows, error = decoder.feed(data, batch.now_ms)
        add_rows(batch.rows, rows)
        batch.blocks += [block_row(b, place, sector.day) for b in decoder.blocks.take_changed()]
        sector.decoded = decoder.decoded
        if error:
            self.note_undecodable(place, error, batch.alarms)
        return decoder

    def chain_key(self, place: Place, data: bytes | bytearray) -> bytes:
        """Return the key of a sector whose header, which opens `data`, was not refused."""
        return self._chain(place).key(layout.parse_header(data))

    def note_undecodable(self, place: Place, error: str, alarms: list[tuple[bytes, str]]) -> None:
        self.counters["undecodable"] += 1
        alarms.append((place.gateway, f"{place}: undecodable: {error}"))

    def task(self, place: Place) -> Task | None:
        """Return what is to be decoded of a sector, None for nothing, or if it is not loaded."""
        sector = self._sectors.get(place)
        if sector is None or len(sector.data) <= max(sector.decoded, layout.HEADER_SIZE):
            return None
        data = bytes(sector.data)
        stored = Stored(data, sector.state, sector.decoded, sector.day)
        return Task(place, stored, self.chain_key(place, data))

    def decoded(self, place: Place, decoded: int) -> None:
        """Take note of how far the store has the rows of a sector."""
        sector = self._sectors.get(place)
        if sector is not None:
            sector.decoded = decoded

    # --- notes ---

    @staticmethod
    def _touch(place: Place, batch: Batch) -> None:
        batch.touched.setdefault((place.gateway, place.log), {})[place] = None

    def _refuse(self, run: Run, batch: Batch, reason: str) -> None:
        self.counters[reason] += 1
        digest = hashlib.sha256(run.data).digest()[:8]
        row: Row = run.place._asdict()
        row |= {"offset": run.offset, "digest": digest, "reason": reason, "data": run.data}
        batch.add("quarantine", row | {"at_ms": batch.now_ms})
        text = f"{run.place} offset {run.offset}: {reason.replace('_', ' ')}"
        batch.alarms.append((run.place.gateway, text))
