"""Files of another system into the store: from where the last run ended, or all of it again.

Values, rejects and how far a file is read are one transaction. So a run that was killed goes on
where it was, and nothing is in twice or missing, whenever that happens.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from vitalkeep.errors import ToolError
from vitalkeep.hub.sectors import DAY_MS
from vitalkeep.hub.store import Store
from vitalkeep.migrate.csv_rows import CsvRows
from vitalkeep.migrate.hl7_rows import Hl7Rows
from vitalkeep.migrate.mapping import HL7, Mapping
from vitalkeep.migrate.readings import Row, Series

_PIECE = 1 << 20
# Of one commit: a hub that writes the same SQLite file waits no longer than for that.
_VALUES_AT_ONCE = 4_000
_ROWS_AT_ONCE = 1_000
_DOUBT_ROWS = 1_000  # if nothing at all comes of so many, the mapping is wrong
_COUNTS = ("rows", "imported", "duplicates", "refused", "empty", "skipped")


@dataclass
class Imported:
    """What a run did.

    rows        that were read; every value of theirs is in one of the other counts
    unchanged   files of which nothing is new
    waiting     files whose last line or message may still be written
    reasons     of what was refused
    """

    files: int = 0
    unchanged: int = 0
    waiting: int = 0
    rows: int = 0
    imported: int = 0
    duplicates: int = 0
    refused: int = 0
    empty: int = 0
    skipped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self)) | {"reasons": dict(self.reasons)}


def find_files(sources: Iterable[Path], apart: Iterable[Path] = ()) -> list[tuple[str, Path]]:
    """Return (name, path) of files, those in folders with the way to them; raises ToolError.

    apart  files of ours, which are no part of a folder that they lie in
    """
    found: dict[str, Path] = {}
    ours = {path.resolve() for path in apart}
    for source in sources:
        if not source.exists():
            raise ToolError(f"{source}: there is no such file or folder", "Check its name.")
        if not source.is_file() and not source.is_dir():
            # A pipe has no size, and cannot be gone on with.
            raise ToolError(f"{source}: neither a file nor a folder", "Write it to a file first.")
        some = {source.name: source}
        if source.is_dir():
            within = sorted(path for path in source.rglob("*") if path.name[:1] != ".")
            for path in within:
                if path.is_symlink() and path.is_dir():
                    raise ToolError(f"{path}: a link to a folder", "Name that folder, too.")
            some = {
                path.relative_to(source).as_posix(): path
                for path in within
                if path.is_file() and path.resolve() not in ours
            }
        for name, path in some.items():
            # An archive of another computer may name files in its own bytes.
            name = _storable(name)
            if name in found and found[name].resolve() != path.resolve():
                raise ToolError(
                    f"{path} and {found[name]}: two files of one name",
                    "Name the folder that has both: a file is known by its name.",
                )
            found[name] = path
    if not found:
        raise ToolError("there are no files", "Name files, or folders with files.")
    return sorted(found.items())


class Import:
    """Takes files of one system by one mapping.

    mapping_text, mapping_digest  the file that says what they mean, kept with what came of it
    full    read everything again, and take the last line of a file as it is
    tell    called with how many bytes were dealt with since the last call
    """

    def __init__(
        self,
        store: Store,
        mapping: Mapping,
        mapping_text: str,
        mapping_digest: bytes,
        now_ms: Callable[[], int],
        full: bool = False,
        tell: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.result = Imported()
        self._store = store
        self._mapping = mapping
        self._text, self._digest = mapping_text, mapping_digest
        self._now_ms = now_ms
        self._full = full
        self._tell = tell
        self._ids: dict[tuple[str, ...], int] = {}
        until_ms = now_ms() + DAY_MS
        kind = Hl7Rows if mapping.layout == HL7 else CsvRows
        self._rows = kind(mapping, until_ms)

    def run(self, name: str, path: Path) -> None:
        """Take what is new in a file; raises ToolError and StoreError."""
        try:
            with path.open("rb") as file:
                self._take(name, file)
        except OSError as error:
            raise ToolError(f"{path}: {error.strerror or error}", "Check the file.") from None

    def _take(self, name: str, file: BinaryIO) -> None:
        self.result.files += 1
        size = os.fstat(file.fileno()).st_size
        known = self._store.foreign_file(self._mapping.system, name, self._digest)
        read = 0 if known is None or known["offset"] > size else known["offset"]
        versions = self._store.foreign_versions(self._mapping.system, name)
        marks = {version["size"] for version in versions if version["size"] <= size}
        states = _digests(file, marks | {read, size})
        prefix, digest = states[read], states[size].digest()
        same = known is not None and (known["size"], known["digest"]) == (size, digest)
        if known is not None and same and known["done_ms"] and not self._full:
            self.result.unchanged += 1
            self._tell(size)
            return
        start = (0, 0)
        goes_on = read > 0 and not self._full
        if known is not None and goes_on and known["read_digest"] == prefix.digest():
            start = (known["offset"], known["line"])
        else:
            prefix = hashlib.sha256()

        def begin() -> int:
            if known is None or not same:
                return self._begin(name, (size, digest), start, prefix.digest())
            if start == (0, 0):
                self._store.foreign_restart(known["id"])
            return int(known["id"])

        self._tell(start[0])
        number = self._read(begin, name, file, start, prefix, (size, digest))
        # All that was refused of these very bytes before was looked at again: now, or by this
        # mapping up to where this run began.
        self._store.foreign_supersede(
            version["id"]
            for version in versions
            if version["id"] != number
            and (start == (0, 0) or version["mapping"] != self._digest)
            and version["size"] in states
            and states[version["size"]].digest() == version["digest"]
        )

    def _begin(
        self, name: str, whole: tuple[int, bytes], start: tuple[int, int], read_digest: bytes
    ) -> int:
        row: dict[str, Any] = dict.fromkeys(_COUNTS, 0)
        row |= {"system": self._mapping.system, "name": name, "mapping": self._digest}
        row |= {"size": whole[0], "digest": whole[1], "read_digest": read_digest}
        row |= {"offset": start[0], "line": start[1]}
        row |= {"began_ms": self._now_ms(), "done_ms": None}
        return self._store.foreign_begin(row, self._text)

    def _read(
        self,
        begin: Callable[[], int],
        name: str,
        file: BinaryIO,
        start: tuple[int, int],
        state: Any,
        whole: tuple[int, bytes],
    ) -> int:
        """Take the rows from a place on; returns the file's id, which `begin` gives.

        It is asked for when there is something to store: of a wrong mapping nothing stays.
        """
        file.seek(0)
        number = None
        size, digest = whole
        counts = Counter(dict.fromkeys(_COUNTS, 0))
        at, line = start  # of the store: behind the last row that nothing can change any more
        seen = start[0]
        some: list[Row] = []
        waiting = 0  # values in them
        doubt = start[0] == 0
        second = _Prefix(file, state, start[0])
        for row in self._rows.rows(file, name, start, size, self._full):
            some.append(row)
            if row.readings or row.empty or row.skipped:
                doubt = False
            if doubt and len(some) >= _DOUBT_ROWS:
                if any(r.refusals for r in some):
                    self._give_up(name, some)
                doubt = False
            waiting += len(row.readings)
            if not doubt and (len(some) >= _ROWS_AT_ONCE or waiting >= _VALUES_AT_ONCE):
                number = begin() if number is None else number
                at, line = self._commit(number, some, second, (at, line), counts, None)
                self._tell(some[-1].end - seen)
                seen, some, waiting = some[-1].end, [], 0
        number = begin() if number is None else number
        done = {"done_ms": self._now_ms()}
        self._commit(number, some, second, (at, line), counts, done)
        if second.digest(size) != digest:
            # Nobody knows of which bytes the rows were: none of them counts as read.
            self._store.foreign_restart(number)
            raise ToolError(
                f"{name}: it was changed while it was read",
                "Run the same command again: it reads all of it, and what came so far stays.",
            )
        if (some[-1].end if some else seen) < size:
            self.result.waiting += 1
        self._tell(size - seen)
        return number

    def _commit(
        self,
        number: int,
        rows: list[Row],
        prefix: _Prefix,
        at: tuple[int, int],
        counts: Counter[str],
        done: dict[str, Any] | None,
    ) -> tuple[int, int]:
        values, rejects = [], []
        for row in rows:
            counts["empty"] += row.empty
            counts["skipped"] += row.skipped
            counts["refused"] += len(row.refusals)
            counts["rows"] += bool(row.readings or row.refusals or row.empty or row.skipped)
            for series, at_ms, value, decimals in row.readings:
                values.append((_stored(series), at_ms, value, decimals, row.line))
            for item, refusal in enumerate(row.refusals):
                rejects.append((row.line, item, *map(_storable, refusal), _storable(row.raw)))
                self.result.reasons[refusal.reason] += 1
            if not row.is_open:
                at = (row.end, row.line)
        progress: dict[str, Any] = {"offset": at[0], "line": at[1]} | (done or {})
        progress["read_digest"] = prefix.digest(at[0])
        columns = ("rows", "refused", "empty", "skipped")
        added = self._store.foreign_take(
            number, progress, values, rejects, self._ids, {name: counts[name] for name in columns}
        )
        self.result.imported += added
        self.result.duplicates += len(values) - added
        for name in columns:
            setattr(self.result, name, getattr(self.result, name) + counts[name])
        counts.clear()
        return at

    def _give_up(self, name: str, rows: list[Row]) -> None:
        first = next(row for row in rows if row.refusals)
        refusal = first.refusals[0]
        raise ToolError(
            f"{name}: nothing could be taken of the first {len(rows)} rows. Line {first.line}:"
            f" {refusal.column}: {refusal.reason}: {refusal.text}",
            "Mend the mapping; nothing of this file was stored.",
        )


class _Prefix:
    """The SHA-256 of a file's beginning, for ends that only grow."""

    def __init__(self, file: BinaryIO, state: Any, at: int) -> None:
        self._descriptor = file.fileno()
        self._state = state.copy()
        self._at = at

    def digest(self, end: int) -> bytes:
        while self._at < end:
            piece = os.pread(self._descriptor, min(_PIECE, end - self._at), self._at)
            if not piece:
                break
            self._state.update(piece)
            self._at += len(piece)
        return bytes(self._state.copy().digest())


def _digests(file: BinaryIO, ends: set[int]) -> dict[int, Any]:
    """Return SHA-256 states behind the first so many bytes of a file, for each of `ends`."""
    state = hashlib.sha256()
    at = 0
    found = {}
    for end in sorted(ends):
        while at < end:
            piece = file.read(min(_PIECE, end - at))
            if not piece:
                break
            state.update(piece)
            at += len(piece)
        found[end] = state.copy()
    return found


def _storable(text: str) -> str:
    """Return a text that every database takes: PostgreSQL's have no NUL."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


@lru_cache(maxsize=4096)
def _stored(series: Series) -> tuple[str, ...]:
    return tuple(map(_storable, series))


def write_rejects(store: Store, system: str, path: Path) -> int:
    """Write what was refused of a system as JSON lines; returns how many. None: no file is left.

    It names patients as its source does: mode 0600.
    """
    count = 0
    beside = path.with_name(path.name + ".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        for line in _rejects(store, system):
            file.write(line)
            count += 1
        file.flush()
        os.fsync(file.fileno())
    if count:
        beside.replace(path)
    else:
        beside.unlink()
        path.unlink(missing_ok=True)
    return count


def _rejects(store: Store, system: str) -> Iterator[str]:
    for row in store.foreign_rejects(system):
        content = {"file": row["name"], "sha256": row["digest"].hex(), "line": row["line"]}
        content |= {name: row[name] for name in ("column", "reason", "text", "raw")}
        yield json.dumps(content, ensure_ascii=False) + "\n"
