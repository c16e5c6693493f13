"""One pack on its way: built, written, read back, and only then in the books."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence

from bridge.core.journal.layout import SECTOR_SIZE, parse_seal
from vitalkeep.archive import pack
from vitalkeep.archive.bucket import DIFFERS, Bucket, BucketError
from vitalkeep.archive.keys import ArchiveKeys
from vitalkeep.archive.pack import Item
from vitalkeep.hub.decode import Row
from vitalkeep.hub.store import Store
from vitalkeep.hub.store.archive import Kept, Known

log = logging.getLogger(__name__)

BACKUP = "backup"
COLD = "cold"
SECTORS_AT_ONCE = 2048  # of one pack: 8 MiB
_NAMES_TRIED = 3


def load_items(store: Store, known: Sequence[Known]) -> Iterator[Item]:
    """Yield sectors with their bytes as the database has them; one that grew is as it is now.

    A spoilt one is left out.
    """
    for start in range(0, len(known), 100):
        part = known[start : start + 100]
        found = store.read_back([entry.place for entry in part])
        for entry in part:
            stored = found[entry.place]
            if stored is not None and stored.data:
                yield Item(entry.place, stored.state, entry.stored_ms, stored.data)


def write_pack(
    bucket: Bucket,
    keys: ArchiveKeys,
    site: bytes,
    kind: str,
    items: Sequence[Item],
    now_ms: int,
) -> tuple[Row, list[Kept]]:
    """Write one pack of one class; returns its row, and where its sectors are.

    kind    BACKUP or COLD
    Raises  BucketError, with nothing or the whole pack in the bucket
    """
    cls = items[0].place.cls
    data = pack.build(site, cls, items, keys.of)
    name = _put(bucket, kind, data)
    row = {"name": name, "kind": kind, "cls": cls, "size": len(data), "count": len(items)}
    row |= {"digest": hashlib.sha256(data).digest(), "at_ms": now_ms}
    kept = []
    for entry, item in zip(pack.read_index(data).entries, items, strict=True):
        whole = entry.length == SECTOR_SIZE
        sealed = parse_seal(item.data) if whole else None
        where = (entry.digest, sealed[1] if sealed else b"", name, entry.start, kind == COLD)
        kept.append(Kept(entry.place, entry.length, entry.state, *where))
    return row, kept


def _put(bucket: Bucket, kind: str, data: bytes) -> str:
    """Write a pack and return its name: another one where a damaged pack has its own."""
    for again in range(_NAMES_TRIED):
        name = pack.name(kind, data, again)
        try:
            bucket.put(name, data)
            return name
        except BucketError as error:
            if error.code != DIFFERS or again == _NAMES_TRIED - 1:
                raise
            log.error("%s; it is written once more, under another name", error)
    raise AssertionError("no name was tried")
