"""Is all here, and is it what was sealed? Reads a store back and believes nothing it says.

Seals and chain are computed again from the bytes and the vault; rows are made again from the
records; numbers that are missing are asked for; and every copy is held against the others.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any

from cryptography import x509

from bridge.core.errors import FormatError
from bridge.core.journal import layout
from bridge.core.journal.layout import CLASSES, SECTOR_SIZE
from vitalkeep.archive.findings import (
    ABSENT,
    ARCHIVE,
    DAY,
    ROWS,
    SEAL,
    STATE,
    UNREADABLE,
    Report,
    Scope,
)
from vitalkeep.archive.keys import ArchiveKeys
from vitalkeep.archive.others import SITES, Other
from vitalkeep.archive.shelf import Shelf, ShelfError
from vitalkeep.hub import sectors, spans
from vitalkeep.hub.clocks import best_offsets
from vitalkeep.hub.decode import DECODED, Row, row_of
from vitalkeep.hub.exchange import days
from vitalkeep.hub.exchange.ranges import Ranges
from vitalkeep.hub.sectors import Place, Stored, Stream
from vitalkeep.hub.store import Store, StoreError
from vitalkeep.hub.store.archive import COLD, Known, RowsError
from vitalkeep.journal import chain
from vitalkeep.journal.chain import ClassChain, Proof
from vitalkeep.journal.survey import survey

_AT_ONCE = 500
_COMPARED_AT_ONCE = 100
_STRAYS_MAX = 100  # of a gateway, in words
_OF_TIME = {"stored_ms"}  # when a row was stored is the store's own


class Verification:
    """Looks at one store.

    shelf      reads what is cold from the archive
    other      another site, None for none
    authority  the ward's, for what sites signed of each day; None looks at no day
    """

    def __init__(
        self,
        store: Store,
        keys: ArchiveKeys,
        shelf: Shelf,
        scope: Scope,
        other: Other | None = None,
        authority: x509.Certificate | None = None,
    ) -> None:
        self.report = Report()
        self._authority = authority
        self._store = store
        self._keys = keys
        self.shelf = shelf
        self._scope = scope
        self._other = other
        self._waiting: list[tuple[Place, bytes]] = []
        # A sample is the same for the same seed, so that a finding can be looked at again.
        self._dice = random.Random(scope.seed)

    def total(self) -> int:
        """Return how many sectors there are to go through, for progress."""
        return self._store.count("sectors")

    def run(self, tell: Callable[[int], None] = lambda _: None) -> Report:
        """Look at all of the scope; raises StoreError when the store cannot be read.

        tell  is called with how many sectors were gone through since the last call
        """
        gateways = set(self._store.gateways())
        if self._other is not None:
            gateways |= self._other.gateways()
        for gateway in sorted(gateways):
            if self._scope.gateways is None or gateway in self._scope.gateways:
                self._gateway(gateway, tell)
        self._compare()
        if self._authority is not None and self._scope.is_whole:
            self._check_days(self._authority)
        return self.report

    def _check_days(self, authority: x509.Certificate) -> None:
        """Hold what is here against what sites signed: the end of a log cannot go unnoticed."""
        held: dict[Stream, Ranges] = {}
        for stream, first, last in self._store.sealed_ranges():
            held.setdefault(stream, Ranges()).add(first, last)
        for row in self._store.days():
            self.report.days += 1
            document = bytes(row["document"])
            for problem in days.check_day(
                document,
                row["signatures"],
                authority,
                lambda stream: held.get(stream, Ranges()),
                self._store.seals,
                least=1,  # a site that does not answer has not signed yet
            ):
                self.report.find(DAY, row["day"], problem)

    def _gateway(self, gateway: bytes, tell: Callable[[int], None]) -> None:
        known = self._keys.gateways.get(gateway)
        if known is None:
            name = gateway.hex()
            self.report.find(UNREADABLE, name, "the vault does not know this gateway")
            return
        offsets = {b: best[0] for b, best in best_offsets(self._store.clocks(gateway)).items()}
        for stream, found in groupby(self._sectors(gateway), lambda one: one[0].place[:3]):
            line = _Line(self, stream, known.root)
            for entry, text, tier in found:
                tell(1)
                if entry.place.cls in self._scope.classes and self._within(text, offsets):
                    line.see(entry, tier)
                else:
                    line.skip()
            line.end()
        for table, place, count in self._store.strays(gateway, _STRAYS_MAX):
            if place.cls in self._scope.classes:
                self.report.find(ROWS, place, f"{count} {table} are of a sector that is not here")
        if self._other is not None:
            self._absent_here(gateway, self._other)

    def _sectors(self, gateway: bytes) -> Iterator[tuple[Known, str, str]]:
        first: Place | None = None
        while found := self._store.sectors_with_spans(gateway, first, _AT_ONCE):
            yield from found
            last = found[-1][0].place
            first = last._replace(sector=last.sector + 1)

    def _within(self, text: str, offsets: dict[int, int]) -> bool:
        """Say whether a sector has values in the scope's time, or nobody knows its time."""
        scope = self._scope
        if scope.of_all_times:
            return True
        dated = False
        for found in spans.load(text).values():
            for boot, first, last, _ in found:
                offset = offsets.get(boot)
                if offset is None:
                    return True
                dated = True
                if first + offset < scope.until_ms and last + offset >= scope.since_ms:
                    return True
        return not dated

    @property
    def first(self) -> int:
        """Return with which number each log begins, -1 where anyone may be the first."""
        return 0 if self._scope.of_all_times else -1

    def sampled(self) -> bool:
        return self._scope.percent >= 100 or self._dice.random() * 100 < self._scope.percent

    # --- one sector ---

    def bytes_of(self, place: Place) -> Stored | None:
        """Return a sector wherever it is, None when it cannot be got, which is noted."""
        try:
            return self.shelf.sector(place)
        except ShelfError as error:
            self.report.find(UNREADABLE, place, f"{error.code}: {error}")
        except StoreError as error:
            # It may be this one alone: should it be all, the next list of sectors is not read.
            self.report.find(UNREADABLE, place, str(error))
        return None

    def check_rows(self, place: Place, records: Sequence[Any], cold: bool) -> None:
        """Compare the rows that the store has of a sector with those of its records.

        cold  its observations are not in the store, all else is
        """
        wanted: dict[str, list[Row]] = {table: [] for table in DECODED}
        for record in records:
            made = row_of(record, place, 0)
            if made is not None and made[0] in wanted:
                wanted[made[0]].append(made[1])
        found = self._store.told_rows(place)
        if cold:
            del wanted["observations"]
        else:
            self.report.observations += len(wanted["observations"])
            try:
                found["observations"] = self._store.rows_of(place)
            except RowsError as error:
                self.report.find(ROWS, place, str(error))
                del wanted["observations"]
        for table, rows in wanted.items():
            self._check_table(place, table, found[table], rows)

    def _check_table(self, place: Place, table: str, found: list[Row], wanted: list[Row]) -> None:
        here, there = [_comparable(row) for row in found], [_comparable(row) for row in wanted]
        if here == there:
            return
        text = f"{len(here)} rows are stored, {len(there)} are in its records: {table}"
        if len(here) == len(there):
            wrong = sum(a != b for a, b in zip(here, there, strict=True))
            text = f"{wrong} of {len(there)} {table} are not those of its records"
        self.report.find(ROWS, place, text)

    def check_copies(self, place: Place, stored: Stored) -> None:
        """Hold a sector against the archive's copy, and the other site's."""
        if self._scope.deep and stored.data:
            kept = self._store.kept([place]).get(place)
            if kept is not None and not kept.cold:
                self.report.archived += 1
                try:
                    copy = self.shelf.archived(kept)
                except ShelfError as error:
                    self.report.find(ARCHIVE, place, f"{error.code}: {error}")
                else:
                    if copy != stored.data[: kept.length]:
                        text = "the archive has other bytes, as whole as these"
                        self.report.find(ARCHIVE, place, text)
        if self._other is not None:
            self._waiting.append((place, stored.data))
            if len(self._waiting) >= _COMPARED_AT_ONCE:
                self._compare()

    def _compare(self) -> None:
        """Hold what waits for it against the other site, many sectors in one question."""
        waiting, self._waiting = self._waiting, []
        if self._other is not None and waiting:
            self.report.compared += len(waiting)
            for place, code, text in self._other.compare(waiting):
                self.report.find(code, place, text)

    def _absent_here(self, gateway: bytes, other: Other) -> None:
        places = (place for place in other.places(gateway) if place.cls in self._scope.classes)
        while some := list(islice(places, _AT_ONCE)):
            here = self._store.read_back(some)
            for place in some:
                if here[place] is None:
                    self.report.find(SITES, place, "only the other site has it")

    def gaps(self, stream: Stream) -> list[tuple[int, int]]:
        """Return (first, last) of what gap records of a log say was overwritten."""
        return self._store.gaps_of(stream)


class _Line:
    """The sectors of one class of one log, in the order of their numbers."""

    def __init__(self, check: Verification, stream: Stream, root: bytes) -> None:
        self.stream = stream
        self._check = check
        self._chain = ClassChain(root, *stream)
        self._expected = check.first
        self._missing: list[tuple[int, int]] = []
        self._last: tuple[Place, bytes] | None = None

    def skip(self) -> None:
        """Go past a sector that is not in the scope."""
        self._expected = -1

    def see(self, entry: Known, tier: str) -> None:
        """Look at the next sector that is in the scope."""
        report, check = self._check.report, self._check
        place = entry.place
        report.sectors += 1
        if 0 <= self._expected < place.sector:
            self._missing.append((self._expected, place.sector - 1))
        self._expected = place.sector + 1
        if not check.sampled():
            return
        stored = check.bytes_of(place)
        if stored is None:
            return
        report.checked += 1
        report.bytes += len(stored.data)
        if len(stored.data) < entry.length:
            # It may have grown since the list was made, and cannot have shrunk.
            report.find(STATE, place, f"{len(stored.data)} bytes, want {entry.length}")
            return
        try:
            proof = self._prove(place, stored)
        except FormatError as error:
            report.find(SEAL, place, str(error))
            return
        report.states[proof.state] += 1
        self._judge(place, stored, proof)
        # Rows of what came last may still be on their way: a hub decodes what it has stored.
        decoded = SECTOR_SIZE if tier == COLD else stored.decoded
        records = [record for record in proof.records if record.offset < decoded]
        check.check_rows(place, records, tier == COLD)
        check.check_copies(place, stored)

    def _prove(self, place: Place, stored: Stored) -> Proof:
        wrong = sectors.check_header(place, stored.data)
        if wrong and len(stored.data) >= layout.HEADER_SIZE:
            raise FormatError(wrong)
        if len(stored.data) < layout.HEADER_SIZE:
            return Proof(chain.OPEN)
        data = stored.data.ljust(SECTOR_SIZE, b"\xff")
        sector = survey(data, 0)
        before = place._replace(sector=place.sector - 1)
        if place.sector and (self._last is None or self._last[0] != before):
            self._walk_to(before)
        newest = place.sector if stored.state == sectors.OPEN else place.sector + 1
        proof = self._chain.prove(sector, data, newest)
        self._chain.advance(sector, proof)
        self._last = (place, stored.data)
        return proof

    def _walk_to(self, before: Place) -> None:
        """Stand behind a sector that was not looked at, for its seal's sake."""
        try:
            stored = self._check.shelf.sector(before)
        except (ShelfError, StoreError):
            return
        if stored is not None and len(stored.data) == SECTOR_SIZE:
            self._chain.advance(survey(stored.data, 0), Proof(chain.UNPROVEN))

    def _judge(self, place: Place, stored: Stored, proof: Proof) -> None:
        report = self._check.report
        if proof.state == chain.BROKEN:
            report.find(SEAL, place, proof.why)
            return
        if proof.damaged:
            report.find(SEAL, place, f"{len(proof.damaged)} commits make no sense")
        wanted = _SAID.get(stored.state, ())
        if proof.state not in wanted:
            name = _NAMES.get(stored.state, str(stored.state))
            report.find(STATE, place, f"the store says {name}, its bytes say {proof.state}")

    def end(self) -> None:
        """Account for the numbers that were not there."""
        if not self._missing:
            return
        report = self._check.report
        told = self._check.gaps(self.stream)
        for first, last in self._missing:
            explained = sum(max(0, min(last, b) - max(first, a) + 1) for a, b in _merged(told))
            report.gaps += explained
            absent = last - first + 1 - explained
            if absent:
                where = f"{self.stream[0].hex()} {CLASSES[self.stream[2]]}"
                text = f"{absent} of the sectors {first} to {last} are not here, nor explained"
                report.find(ABSENT, where, text, absent)


# What the store may say of a sector whose bytes say so
_SAID = {
    sectors.OPEN: (chain.OPEN, chain.ORPHAN),
    sectors.WHOLE: (chain.UNPROVEN,),
    sectors.PROVEN: (chain.VERIFIED,),
    sectors.ORPHAN: (chain.ORPHAN, chain.OPEN),
    sectors.BROKEN: (chain.BROKEN,),
}
_NAMES = {
    sectors.OPEN: "open", sectors.WHOLE: "whole", sectors.PROVEN: "proven",
    sectors.ORPHAN: "orphan", sectors.BROKEN: "broken",
}  # fmt: skip


def _comparable(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in _OF_TIME}


def _merged(found: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans of numbers as spans that do not overlap."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(found):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
