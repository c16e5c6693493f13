"""The books of the exports: how far each log went, and which objects were planned and written.

They stand where the duty is agreed on, which may be another database than that of the sectors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text
from sqlalchemy.engine import Connection

from vitalkeep.hub.exports.progress import Piece, Progress
from vitalkeep.hub.sectors import Place, Stream
from vitalkeep.hub.store import tables
from vitalkeep.hub.store.database import Database
from vitalkeep.hub.store.tables import PLACE, in_stream, metadata

_PAGE = 1000
_STREAM = PLACE[:3]

# Sectors `first` to `last`, each up to the offset `end`
exported = Table(
    "exported",
    metadata,
    Column("gateway", LargeBinary(8), nullable=False),
    Column("log", LargeBinary(8), nullable=False),
    Column("cls", Integer, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("end", Integer, nullable=False),
    PrimaryKeyConstraint(*_STREAM, "first"),
)

# plan     JSON [[gateway, log, class, sector, begin, end]], "" once the object is written
# lines    values in it; done_ms: when it was there, None before
exports = Table(
    "exports",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("plan", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("done_ms", BigInteger),
    Column("lines", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
)


class Export(NamedTuple):
    """One object, planned or written."""

    number: int
    name: str
    term: int
    pieces: tuple[Piece, ...]
    at_ms: int
    done_ms: int | None = None
    lines: int = 0
    size: int = 0


class Decoded(NamedTuple):
    """A sector of which there are rows: up to which offset, its state, when it grew last."""

    place: Place
    decoded: int
    state: int
    stored_ms: int


class Exports(Database):
    """What was exported, and what there is to export."""

    # --- beside the sectors ---

    def logs_of(self, gateway: bytes) -> list[bytes]:
        """Return the ids of all logs of a gateway of which something is stored."""
        s = tables.sectors
        found: list[bytes] = []
        with self.reading() as connection:
            while True:
                # From one to the next along the key: there may be years of sectors between.
                query = sa.select(s.c.log).where(s.c.gateway == gateway)
                query = query.order_by(s.c.log).limit(1)
                if found:
                    query = query.where(s.c.log > found[-1])
                log = connection.scalar(query)
                if log is None:
                    return found
                found.append(bytes(log))

    def decoded(self, stream: Stream, progress: Progress) -> Iterator[Decoded]:
        """Yield the sectors of a log that have rows which `progress` has not, lowest first."""
        s = tables.sectors
        spans = sa.or_(*(s.c.sector.between(*span) for span in progress.spans()))
        after = -1
        while True:
            query = (
                sa.select(s.c.sector, s.c.decoded, s.c.state, s.c.stored_ms)
                .where(*in_stream(s, stream), s.c.sector > after, s.c.decoded > 0, spans)
                .order_by(s.c.sector)
                .limit(_PAGE)
            )
            rows = self.read(query)
            for row in rows:
                if row["decoded"] > progress.end(row["sector"]):
                    place = Place(*stream, row["sector"])
                    yield Decoded(place, row["decoded"], row["state"], row["stored_ms"])
            if len(rows) < _PAGE:
                return
            after = rows[-1]["sector"]

    def decoded_of(self, places: Sequence[Place]) -> dict[Place, Decoded]:
        """Return what is decoded of sectors, those that are here."""
        s, found = tables.sectors, {}
        for at in range(0, len(places), 100):
            some = places[at : at + 100]
            query = sa.select(
                *(s.c[name] for name in PLACE), s.c.decoded, s.c.state, s.c.stored_ms
            ).where(tables.at_places(s, some))
            for row in self.read(query):
                place = Place(bytes(row["gateway"]), bytes(row["log"]), row["cls"], row["sector"])
                found[place] = Decoded(place, row["decoded"], row["state"], row["stored_ms"])
        return found

    # --- the books ---

    def exported(self, gateway: bytes) -> dict[Stream, Progress]:
        """Return how far each log of a gateway was exported."""
        rows: dict[Stream, list[tuple[int, int, int]]] = {}
        for row in self.read(sa.select(exported).where(exported.c.gateway == gateway)):
            stream = (bytes(row["gateway"]), bytes(row["log"]), row["cls"])
            rows.setdefault(stream, []).append((row["first"], row["last"], row["end"]))
        return {stream: Progress(found) for stream, found in rows.items()}

    def exports(self, count: int, pending: bool = False) -> list[Export]:
        """Return the newest exports, newest first; or those that were planned and not written."""
        query = sa.select(exports).order_by(exports.c.number.desc()).limit(count)
        if pending:
            query = query.where(exports.c.done_ms.is_(None))
        return [_export(row) for row in self.read(query)]

    def plan_export(self, export: Export) -> None:
        """Note what an object will have in it, before it is written."""
        plan = [
            [p.place.gateway.hex(), p.place.log.hex(), *p.place[2:], p.begin, p.end]
            for p in export.pieces
        ]
        row = export._asdict() | {"plan": json.dumps(plan, separators=(",", ":"))}
        del row["pieces"]
        with self.writing() as connection:
            connection.execute(sa.insert(exports), [row])

    def strike_export(self, number: int) -> None:
        """Forget a plan of which nothing was written."""
        with self.writing() as connection:
            connection.execute(
                sa.delete(exports).where(exports.c.number == number, exports.c.done_ms.is_(None))
            )

    def finish_export(self, export: Export) -> None:
        """Note that an object is there, and that all in its plan is exported."""
        done = {"done_ms": export.done_ms, "lines": export.lines, "size": export.size}
        with self.writing() as connection:
            connection.execute(
                sa.update(exports).where(exports.c.number == export.number).values(plan="", **done)
            )
            self._advance_all(connection, export.pieces)

    def pass_over(self, pieces: Sequence[Piece]) -> None:
        """Note that there is nothing to export in some pieces."""
        with self.writing() as connection:
            self._advance_all(connection, pieces)

    def _advance_all(self, connection: Connection, pieces: Sequence[Piece]) -> None:
        of_streams: dict[Stream, list[Piece]] = {}
        for piece in pieces:
            of_streams.setdefault(piece.place[:3], []).append(piece)
        for stream, some in of_streams.items():
            self._advance(connection, stream, some)

    def _advance(self, connection: Connection, stream: Stream, pieces: list[Piece]) -> None:
        where = in_stream(exported, stream)
        names = ("first", "last", "end")
        query = sa.select(*(exported.c[name] for name in names)).where(*where)
        progress = Progress(tuple(row) for row in connection.execute(query))
        for piece in pieces:
            progress.add(piece.place.sector, piece.end)
        of_log = dict(zip(_STREAM, stream, strict=True))
        connection.execute(sa.delete(exported).where(*where))
        self.insert(connection, exported, [
            of_log | dict(zip(names, row, strict=True)) for row in progress.rows()
        ])  # fmt: skip


def _export(row: dict[str, object]) -> Export:
    found = dict(row)
    plan = json.loads(str(found.pop("plan")) or "[]")
    pieces = tuple(
        Piece(Place(bytes.fromhex(gateway), bytes.fromhex(log), cls, sector), begin, end)
        for gateway, log, cls, sector, begin, end in plan
    )
    return Export(pieces=pieces, **found)  # type: ignore[arg-type]
