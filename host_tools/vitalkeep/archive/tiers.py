"""Tiers by class and age: hot rows are compressed, old sealed bytes go to the archive alone.

A sector leaves the database only after a pack with it was written, read back whole and compared
with what the database has, in the same run.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

from bridge.core.journal.layout import CLASSES
from vitalkeep.archive import rows
from vitalkeep.archive.bucket import MISSING, Bucket, BucketError
from vitalkeep.archive.keys import ArchiveKeys
from vitalkeep.archive.pack import Item
from vitalkeep.archive.settings import ArchiveSettings
from vitalkeep.archive.writing import COLD, SECTORS_AT_ONCE, load_items, write_pack
from vitalkeep.errors import ToolError
from vitalkeep.hub.elapsed import elapsed_s
from vitalkeep.hub.store import Store
from vitalkeep.hub.store.archive import HOT, WARM, Known

log = logging.getLogger(__name__)

# What a commit that was refused for a while may be late by; see `Tiers.run`.
_LATE_MS = 24 * 3600 * 1000
# How long a clock that jumped ahead must stand before it makes anything old.
_STOOD_MS = 24 * 3600 * 1000


@dataclass
class Moved:
    """Sectors that changed their tier; spoilt: those that are not what was sealed, and stay."""

    warm: int = 0
    cold: int = 0
    spoilt: int = 0


class _Age:
    """The time that ages are counted to: the least that the clock showed within a day of running.

    A clock that is far ahead for a while would send all to the archive, and nothing comes back.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._seen: deque[tuple[int, int]] = deque()  # when, and how far the clock was from that

    def now_ms(self) -> int:
        passed_ms = int(elapsed_s() * 1000)
        self._seen.append((passed_ms, self._now_ms() - passed_ms))
        while passed_ms - self._seen[0][0] >= _STOOD_MS:
            self._seen.popleft()
        return passed_ms + min(offset_ms for _, offset_ms in self._seen)


class Tiers:
    """Moves the sectors of one site.

    bucket  None when there is no archive: then nothing gets cold
    """

    def __init__(
        self, store: Store, bucket: Bucket | None, keys: ArchiveKeys, site: bytes,
        settings: ArchiveSettings, now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self._store = store
        self._bucket = bucket
        self._keys = keys
        self._site = site
        self._settings = settings
        self._now_ms = now_ms
        self._age = _Age(now_ms)
        self._parquet = settings.parquet
        # Below these all was moved already; a start of the hub looks at all once more.
        self._since_ms: dict[tuple[int, str], int] = {}

    def set_keys(self, keys: ArchiveKeys) -> None:
        """Follow the vault when someone provisioned."""
        self._keys = keys

    def run(self, cls: int) -> Moved:
        """Move what is due of one class; raises StoreError, BucketError, with nothing lost."""
        moved = Moved()
        schedule = self._settings.schedule(cls)
        now_ms = self._age.now_ms()
        before_ms = now_ms - schedule.hot_ms
        for known in self._due(cls, HOT, before_ms):
            for entry in known:
                self._store.compress(entry.place)
                moved.warm += 1
        if self._bucket is not None and schedule.warm_ms:
            before_ms = now_ms - schedule.warm_ms
            for known in self._due(cls, WARM, before_ms):
                items = list(load_items(self._store, known))
                sound = self._sound(items)
                moved.spoilt += len(items) - len(sound)
                moved.cold += self._cool(self._bucket, sound)
        if moved.warm or moved.cold:
            log.info("class %s: %d sectors warm, %d cold", CLASSES[cls], moved.warm, moved.cold)
        return moved

    def _due(self, cls: int, tier: str, before_ms: int) -> Iterator[list[Known]]:
        """Yield what is due, gateway by gateway, as much at once as a pack takes."""
        since_ms = self._since_ms.get((cls, tier), 0)
        if since_ms > before_ms:
            since_ms = 0  # the clock was ahead, and nothing would be due until it is there again
        for gateway in self._keys.gateways:
            seen: set[Known] = set()
            while True:
                known = self._store.closed(
                    gateway, cls, since_ms, before_ms, tier, SECTORS_AT_ONCE
                )
                fresh = [entry for entry in known if entry not in seen]
                if not fresh:
                    break
                seen.update(fresh)
                yield fresh
        self._since_ms[cls, tier] = max(0, before_ms - _LATE_MS)

    def _sound(self, items: list[Item]) -> list[Item]:
        """Return what its seals vouch for: of other bytes, the rows are all that is left."""
        found = []
        by_log = sorted(items, key=lambda item: item.place)
        for stream, some in groupby(by_log, lambda item: item.place[:3]):
            of_log = list(some)
            first, last = of_log[0].place.sector, of_log[-1].place.sector
            tags = dict(self._store.seals(stream, first - 1, last))
            for item in of_log:
                if self._keys.fits(item.place, item.data, tags.get(item.place.sector - 1)):
                    found.append(item)
                else:
                    log.error("%s is not what was sealed: it stays in the database", item.place)
        return found

    def _cool(self, bucket: Bucket, items: list[Item]) -> int:
        if not items:
            return 0
        row, kept = write_pack(bucket, self._keys, self._site, COLD, items, self._now_ms())
        if self._parquet:
            self._put_rows(bucket, row["name"], items)
        return self._store.cool(row, kept)

    def _put_rows(self, bucket: Bucket, pack: str, items: list[Item]) -> None:
        name = rows.name(pack)
        try:
            bucket.get(name, 0, 1)
            return  # of a run that was killed between the two; their encryption is never the same
        except BucketError as error:
            if error.code != MISSING:
                raise
        try:
            bucket.put(name, rows.build(pack, items, self._keys))
        except ToolError as error:
            # The values can be made from the sectors at any time: they are no reason to stop.
            log.warning("no Parquet beside cold packs: %s", error.message)
            self._parquet = False
