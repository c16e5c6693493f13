"""Writes one export after another while a term lasts. Each step may be the last of a process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timezone

from vitalkeep.archive.bucket import MISSING, Bucket, BucketError
from vitalkeep.archive.shelf import Shelf
from vitalkeep.hub.clocks import best_offsets
from vitalkeep.hub.decode import Row
from vitalkeep.hub.exports import lines
from vitalkeep.hub.exports.lines import Exported
from vitalkeep.hub.exports.progress import Piece, Progress
from vitalkeep.hub.exports.settings import CSV
from vitalkeep.hub.sectors import ORPHAN, PROVEN
from vitalkeep.hub.store import Store
from vitalkeep.hub.store.exports import Decoded, Export
from vitalkeep.journal import chain
from vitalkeep.keys.vault import Gateway

log = logging.getLogger(__name__)

VALUES_MAX = 20_000  # in one object, but for the last sector's rest
_PIECES_MAX = 500
_UNDATED_MS = 24 * 3600 * 1000  # so long a boot's clock is waited for
_SUFFIX = {CSV: ".csv"}
_PROOF = {PROVEN: chain.VERIFIED, ORPHAN: chain.ORPHAN}


class Writer:
    """The exports of one term.

    store   of the sectors, shelf: their rows, wherever they are
    books   the store that knows what was exported, which refuses once the term is over
    """

    def __init__(
        self, store: Store, shelf: Shelf, books: Store, bucket: Bucket, form: str, term: int,
        now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self._store = store
        self._shelf = shelf
        self._books = books
        self._bucket = bucket
        self._suffix = _SUFFIX.get(form, ".ndjson")
        self._term = term
        self._now_ms = now_ms

    def step(self, gateways: list[Gateway]) -> Export | None:
        """Write one object; returns what it is, None when there is nothing new.

        Raises  StoreError, BucketError, ShelfError: the same is tried again
                LostTermError when another hub has the duty
        """
        pending = self._books.exports(1, pending=True)
        export = self._again(pending[0]) if pending else None
        if export is None:
            export = self._plan(gateways)
        return None if export is None else self._write(export, gateways)

    def _again(self, export: Export) -> Export | None:
        """Return what a holder before planned and did not finish, None if it cannot be done."""
        if self._is_there(export):
            return export
        found = self._store.decoded_of([piece.place for piece in export.pieces])
        if all(p.place in found and found[p.place].decoded >= p.end for p in export.pieces):
            return export
        # Of another site's store, and not all of it has come here yet. Its object has the old
        # term in its name: should that holder write it after all, it stands in nobody's way.
        log.warning("export %d is planned anew: its sectors are not all here", export.number)
        self._books.strike_export(export.number)
        return None

    def _is_there(self, export: Export) -> bool:
        try:
            self._bucket.get(export.name, 0, 1)
        except BucketError as error:
            if error.code != MISSING:
                raise
            return False
        return True

    # --- what is new ---

    def _plan(self, gateways: list[Gateway]) -> Export | None:
        while True:
            pieces: list[Piece] = []
            count = 0
            for piece, values in self._new(gateways):
                pieces.append(piece)
                count += values
                if count >= VALUES_MAX or len(pieces) >= _PIECES_MAX:
                    break
            if count:
                break
            if not pieces:
                return None
            self._books.pass_over(pieces)  # no values in them: no object, and no number
        last = self._books.exports(1)
        number, at_ms = last[0].number + 1 if last else 1, self._now_ms()
        day = datetime.fromtimestamp(at_ms / 1000, timezone.utc).date().isoformat()
        name = f"{day}/{number:09d}-{self._term}{self._suffix}"
        export = Export(number, name, self._term, tuple(pieces), at_ms)
        self._books.plan_export(export)
        return export

    def _new(self, gateways: list[Gateway]) -> Iterator[tuple[Piece, int]]:
        """Yield what was not exported yet, and how many values that is."""
        for gateway in gateways:
            known = self._books.exported(gateway.id)
            boots: set[int] | None = None
            for log_id in self._store.logs_of(gateway.id):
                for cls in range(3):
                    stream = (gateway.id, log_id, cls)
                    progress = known.get(stream, Progress())
                    for found in self._store.decoded(stream, progress):
                        begin = progress.end(found.place.sector)
                        piece = Piece(found.place, begin, found.decoded)
                        rows = self._rows(piece)
                        if boots is None:
                            boots = set(best_offsets(self._store.clocks(gateway.id)))
                        if not self._must_wait(found, rows, boots):
                            yield piece, sum(len(row["readings"]) for row in rows)

    def _must_wait(self, found: Decoded, rows: list[Row], boots: set[int]) -> bool:
        """Say whether a sector waits for its gateway to learn what time it is."""
        if self._now_ms() - found.stored_ms > _UNDATED_MS:
            return False
        return any(row["boot"] not in boots for row in rows)

    def _rows(self, piece: Piece) -> list[Row]:
        rows = self._shelf.rows_anywhere(piece.place)
        return [row for row in rows if piece.begin <= row["offset"] < piece.end]

    # --- one object ---

    def _write(self, export: Export, gateways: list[Gateway]) -> Export:
        found = list(self._content(export, {gateway.id: gateway.bed for gateway in gateways}))
        make = lines.rows if export.name.endswith(_SUFFIX[CSV]) else lines.fhir
        data, count = make(found)
        # What stands under the name was made from this very plan: it is whole, and it counts.
        if not self._is_there(export):
            self._bucket.put(export.name, data)
        done = export._replace(done_ms=self._now_ms(), lines=count, size=len(data))
        self._books.finish_export(done)
        return done

    def _content(self, export: Export, beds: dict[bytes, str]) -> Iterator[Exported]:
        known = self._store.decoded_of([piece.place for piece in export.pieces])
        clocks = {
            gateway: best_offsets(self._store.clocks(gateway))
            for gateway in {piece.place.gateway for piece in export.pieces}
        }
        for piece in export.pieces:
            gateway = piece.place.gateway
            bed = beds.get(gateway, gateway.hex())
            state = known[piece.place].state if piece.place in known else PROVEN
            for row in self._rows(piece):
                clock = clocks[gateway].get(row["boot"])
                yield Exported(row, bed, clock, _PROOF.get(state, chain.OPEN))
