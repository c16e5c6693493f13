"""Backups by class: packs of what is new, a manifest of what there is, and the proof of both.

A backup counts when it was restored: its manifest and packs are read from the bucket into a
throw-away store, through the code that a real restore runs, and every sector is compared.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.core.journal.layout import CLASSES
from vitalkeep.archive import manifest
from vitalkeep.archive.bucket import Bucket, BucketError
from vitalkeep.archive.keys import ArchiveKeys
from vitalkeep.archive.manifest import FULL, INCREMENTAL, Head, Manifest, ManifestError, PackRef
from vitalkeep.archive.pack import DAMAGED, FOREIGN, FORGED, SHORT
from vitalkeep.archive.restore import Problem, Restore
from vitalkeep.archive.sources import ArchiveSource
from vitalkeep.archive.writing import BACKUP, SECTORS_AT_ONCE, load_items, write_pack
from vitalkeep.errors import ToolError
from vitalkeep.hub.decode import Row
from vitalkeep.hub.sectors import DAY_MS, Stored
from vitalkeep.hub.store import Store, StoreError
from vitalkeep.hub.store.archive import Kept, Known

log = logging.getLogger(__name__)

# A commit that the store refused for a while has the time of its first try.
_OVERLAP_MS = 3600 * 1000
_SHOWN_DAYS = 30
_COPY = "vitalkeep-backup-"
_KINDS = (FULL, INCREMENTAL)
_SPOILT = (DAMAGED, FORGED, FOREIGN, SHORT)


class BackupError(Exception):
    """A backup that does not count; what is in the archive stays, the next one goes on."""


@dataclass(frozen=True)
class Done:
    """A backup that counts."""

    name: str
    sectors: int
    size: int


class Backups:
    """Makes the backups of one site.

    store   of the hub, read beside its write path
    site    its id
    now_ms  the clock
    """

    def __init__(
        self, store: Store, bucket: Bucket, keys: ArchiveKeys, site: bytes,
        now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self._store = store
        self._bucket = bucket
        self._keys = keys
        self._site = site
        self._now_ms = now_ms

    def run(self, cls: int, kind: str) -> Row:
        """Make one backup of a class, test it, and return its row, which is stored.

        kind    manifest.FULL or INCREMENTAL
        Raises  StoreError when not even the result can be stored
        """
        began_ms = self._now_ms()
        row: Row = {"cls": cls, "kind": kind, "began_ms": began_ms}
        row |= {"ok": False, "why": "", "sectors": 0, "size": 0, "manifest": ""}
        try:
            done = self._make(cls, kind, began_ms)
            row |= {"ok": True, "sectors": done.sectors, "size": done.size, "manifest": done.name}
        except BucketError as error:
            row["why"] = f"{error.code}: {error}"
        except (BackupError, StoreError, ToolError) as error:
            row["why"] = str(error)
        row["ended_ms"] = self._now_ms()
        if not row["ok"]:
            log.error("%s backup of class %s: %s", kind, CLASSES[cls], row["why"])
        self._store.add_backup(row)
        return row

    def _make(self, cls: int, kind: str, began_ms: int) -> Done:
        good = (row for row in _past(self._store.backups(cls), began_ms) if row["ok"])
        last = next(good, None)
        lost: list[str] = []
        spoilt: set[Known] = set()
        since_ms = 0
        if kind == FULL:
            lost = self._look_for_packs(cls)
        elif last is not None:
            since_ms = last["began_ms"] - _OVERLAP_MS
        fresh = self._pack_new(cls, since_ms, spoilt)
        refs, heads = self._content(cls, kind, fresh)
        previous = last["manifest"] if last else ""
        made = Manifest(self._site, cls, kind, began_ms, previous, tuple(refs), tuple(heads))
        data = made.dump(self._keys.of)
        name = manifest.name(data, made)
        self._bucket.put(name, data)
        self._test(name)
        if lost:
            raise BackupError(f"the archive lost cold sectors: {'; '.join(lost)}")
        if spoilt:
            first = min(known.place for known in spoilt)
            raise BackupError(f"{len(spoilt)} spoilt sectors are not in it, one is {first}")
        return Done(name, sum(ref.sectors for ref in refs), sum(ref.size for ref in refs))

    def _look_for_packs(self, cls: int) -> list[str]:
        """Strike packs that are gone, so that what was in them is packed anew.

        Returns what only they had, in words.
        """
        there: set[str] = set()
        for prefix in ("backup", "cold"):
            there.update(self._bucket.names(f"{prefix}/{self._site.hex()}/{CLASSES[cls]}"))
        lost = []
        for row in self._store.packs(cls):
            if row["name"] not in there:
                count = self._store.forget_pack(row["name"])
                log.error("pack %s is gone from the archive", row["name"])
                if count:
                    lost.append(f"{count} in {row['name']}")
        return lost

    def _pack_new(self, cls: int, since_ms: int, spoilt: set[Known]) -> list[PackRef]:
        """Pack what is new; what cannot be read is added to `spoilt`."""
        made = []
        for known in self._new(cls, since_ms, spoilt):
            items = list(load_items(self._store, known))
            packed = {item.place for item in items}
            spoilt.update(one for one in known if one.place not in packed)
            if items:
                row, kept = write_pack(
                    self._bucket, self._keys, self._site, BACKUP, items, self._now_ms()
                )
                self._store.record_pack(row, kept)
                made.append(_ref(row))
        return made

    def _new(self, cls: int, since_ms: int, spoilt: set[Known]) -> Iterator[list[Known]]:
        """Yield what has to go to the archive, as much at once as a pack takes."""
        found: list[Known] = []
        for gateway in self._keys.gateways:
            after_ms = since_ms
            while True:
                limit = SECTORS_AT_ONCE + len(spoilt)
                known = self._store.unarchived(gateway, cls, after_ms, limit)
                known = [one for one in known if one not in spoilt]
                room = SECTORS_AT_ONCE - len(found)
                found += known[:room]
                if len(found) == SECTORS_AT_ONCE:
                    yield found
                    found = []
                    continue  # what was packed is not found again
                break
        if found:
            yield found

    def _content(
        self, cls: int, kind: str, fresh: list[PackRef]
    ) -> tuple[list[PackRef], Sequence[Head]]:
        names = {ref.name for ref in fresh}
        refs = fresh
        if kind == FULL:
            used = self._store.packs_in_use(cls)
            refs = [_ref(row) for row in self._store.packs(cls) if row["name"] in used | names]
            return refs, [Head(*row) for row in self._store.heads_archived(cls)]
        entries = [entry for name in names for entry in self._store.kept_in(name)]
        return refs, manifest.heads_of(
            (e.place.gateway, e.place.log, e.place.sector, e.length) for e in entries
        )

    # --- the proof ---

    def _test(self, name: str) -> None:
        """Restore a backup into a throw-away store and compare; raises BackupError."""
        try:
            loaded, false = manifest.load(self._bucket.get(name), self._keys.of)
        except ManifestError as error:
            raise BackupError(f"{name}: {error}") from None
        if false:
            raise BackupError(f"{name}: its heads do not come back")
        gateways = list(self._keys.gateways.values())
        _sweep()
        with tempfile.TemporaryDirectory(prefix=f"{_COPY}{os.getpid()}-") as folder:
            copy = Store(f"sqlite:///{Path(folder) / 'restored.db'}")
            try:
                copy.open()
                source = ArchiveSource(self._bucket, self._keys, loaded.packs)
                result = Restore(copy, gateways, self._now_ms(), decode=False).run(source)
                if result.problems:
                    self._strike(result.problems)
                    texts = [f"{problem.code}: {problem.text}" for problem in result.problems[:3]]
                    raise BackupError("; ".join(texts))
                wrong = self._compare(copy, loaded)
            finally:
                copy.close()
        if wrong:
            raise BackupError(f"{len(wrong)} sectors did not come back: {'; '.join(wrong[:3])}")

    def _strike(self, problems: Sequence[Problem]) -> None:
        """Strike packs that are spoilt, so that the next backup packs anew what was in them."""
        for name in {problem.name for problem in problems if problem.code in _SPOILT}:
            lost = self._store.forget_pack(name)
            log.error("pack %s is spoilt; %d cold sectors are in it alone", name, lost)

    def _compare(self, copy: Store, loaded: Manifest) -> list[str]:
        """Return the sectors of a manifest's packs that the copy has not as this store has them.

        What is cold is compared by its digest; what has grown since, by what it was.
        """
        wrong = []
        for ref in loaded.packs:
            kept = self._store.kept_in(ref.name)
            for start in range(0, len(kept), 100):
                part = kept[start : start + 100]
                places = [entry.place for entry in part]
                ours, theirs = self._store.read_back(places), copy.read_back(places)
                for entry in part:
                    here, there = ours[entry.place], theirs[entry.place]
                    data = there.data if there is not None else b""
                    same = len(data) >= entry.length and _same(data[: entry.length], entry, here)
                    if not same:
                        wrong.append(f"{entry.place}")
        return wrong


def _sweep() -> None:
    """Remove the throw-away stores of processes that were killed over them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_COPY}*"):
        pid = folder.name.removeprefix(_COPY).partition("-")[0]
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (ValueError, PermissionError):
            continue  # not ours


def _same(data: bytes, entry: Kept, here: Stored | None) -> bool:
    if hashlib.sha256(data).digest() != entry.digest:
        return False
    if here is None or here.cold is not None or here.spoilt is not None:
        return True
    return here.data[: entry.length] == data


def _ref(row: Row) -> PackRef:
    return PackRef(row["name"], row["size"], row["count"], bytes(row["digest"]))


def summary(store: Store, now_ms: int) -> dict[str, Any]:
    """Return what people want to know of the backups, by class: the last good ones, the rate."""
    found = {}
    for cls, name in enumerate(CLASSES):
        rows = store.backups(cls, now_ms - _SHOWN_DAYS * DAY_MS)
        good = [row for row in rows if row["ok"]]
        last = {kind: next((r for r in good if r["kind"] == kind), None) for kind in _KINDS}
        bad = next((row for row in rows if not row["ok"]), None)
        found[name] = {
            **{f"last_{kind}_ms": row and row["began_ms"] for kind, row in last.items()},
            "success_percent": round(100 * len(good) / len(rows), 1) if rows else None,
            "count": len(rows),
            "last_failure": bad and {"at_ms": bad["began_ms"], "why": bad["why"]},
        }
    return found


def _past(rows: Sequence[Row], now_ms: int) -> Sequence[Row]:
    """Return backups without those of a clock that was ahead: nothing is late by them."""
    return [row for row in rows if row["began_ms"] <= now_ms]


def due(rows: Sequence[Row], incremental_ms: int, full_ms: int, now_ms: int) -> str | None:
    """Return which backup a class is due for, None for neither. Pure.

    rows  its backups, the newest first; one that failed is tried again at the next incremental
    """
    rows = _past(rows, now_ms)
    tried = rows[0]["began_ms"] if rows else None
    full = next((row["began_ms"] for row in rows if row["ok"] and row["kind"] == FULL), None)
    if tried is not None and now_ms - tried < incremental_ms:
        return None
    return FULL if full is None or now_ms - full >= full_ms else INCREMENTAL
