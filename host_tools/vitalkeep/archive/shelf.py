"""Reads a sector or observations wherever they are: in the database, compressed, or far away."""

from __future__ import annotations

import logging

from vitalkeep.archive import pack
from vitalkeep.archive.bucket import Bucket, BucketError
from vitalkeep.archive.keys import ArchiveKeys
from vitalkeep.hub.decode import Row, row_of
from vitalkeep.hub.sectors import Place, Stored, describe_spoilt
from vitalkeep.hub.store import Store
from vitalkeep.hub.store.archive import COLD, Kept, RowsError

log = logging.getLogger(__name__)

_AT_ONCE = 500


class ShelfError(Exception):
    """A sector that cannot be read; `code` is one of a bucket's, of a pack's, or "spoilt"."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Shelf:
    """All that a site has.

    bucket  None when there is no archive: then only what is cold cannot be read
    """

    def __init__(self, store: Store, keys: ArchiveKeys, bucket: Bucket | None) -> None:
        self._store = store
        self._keys = keys
        self._bucket = bucket

    def sector(self, place: Place) -> Stored | None:
        """Return a sector's bytes and state, None when there is none; raises ShelfError."""
        found = self._store.read_back([place])[place]
        if found is not None and found.spoilt is not None:
            raise ShelfError("spoilt", describe_spoilt(place, found.spoilt))
        if found is None or found.cold is None:
            return found
        return Stored(self.archived(self._store.kept([place])[place]), found.state)

    def archived(self, kept: Kept) -> bytes:
        """Return the bytes that the archive has of a sector, checked; raises ShelfError."""
        if self._bucket is None:
            raise ShelfError("missing", f"{kept.place}: it is in an archive that is not set")
        try:
            data = self._bucket.get(kept.pack, kept.start, kept.start + kept.length)
        except BucketError as error:
            raise ShelfError(error.code, f"{kept.place}: {error}") from error
        entry = pack.Entry(kept.place, kept.state, kept.length, 0, kept.start, kept.digest, b"")
        wrong = pack.check_bytes(entry, data)
        if wrong:
            raise ShelfError(wrong, f"{kept.place}: {wrong} in {kept.pack}")
        return data

    def observations(self, gateway: bytes, first: int = 0, count: int = 1000) -> list[Row]:
        """Return observations of a gateway in the order of its logs, from sector `first`.

        As `Store.observations`, but for what is warm or cold as well. Raises ShelfError.
        """
        rows: list[Row] = []
        after: Place | None = None
        while len(rows) < count:
            found = self._store.sectors_with_spans(gateway, after, _AT_ONCE)
            if not found:
                break
            for known, _, tier in found:
                place = known.place
                if place.sector >= first and len(rows) < count:
                    rows += self.rows_of(place) if tier == COLD else self._store.rows_of(place)
            last = found[-1][0].place
            after = last._replace(sector=last.sector + 1)
        return rows[:count]

    def rows_anywhere(self, place: Place) -> list[Row]:
        """Return the observations of a sector, hot, warm or cold; raises ShelfError."""
        found = self._store.read_back([place])[place]
        if found is not None and found.cold is not None:
            return self.rows_of(place)
        try:
            return self._store.rows_of(place)
        except RowsError as error:
            log.error("%s; they are made of its sealed bytes again", error)
            return self.rows_of(place)

    def rows_of(self, place: Place) -> list[Row]:
        """Return the observations in a sector's own bytes, as ingest once stored them."""
        found = self.sector(place)
        if found is None:
            return []
        rows = []
        for record in self._keys.records(place, found.data)[1]:
            made = row_of(record, place, 0)
            if made is not None and made[0] == "observations":
                rows.append(made[1])
        return rows
