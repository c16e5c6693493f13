"""The archive's work: backups that are due, and what changes its tier with age."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar, cast

from bridge.core.journal.layout import CLASSES
from vitalkeep.archive import backup
from vitalkeep.archive.backup import Backups
from vitalkeep.archive.bucket import Bucket, BucketError
from vitalkeep.archive.keys import ArchiveKeys
from vitalkeep.archive.settings import ArchiveSettings
from vitalkeep.archive.tiers import Tiers
from vitalkeep.errors import ToolError
from vitalkeep.hub.context import Context
from vitalkeep.hub.store import StoreError, utc_now_ms

log = logging.getLogger(__name__)

T = TypeVar("T")

_LOOK_S = 20.0
_TIERS_S = 3600.0


async def run(hub: Context) -> None:
    """Look every few seconds what is due; what fails is told once and tried again in time."""
    desk = _Desk(hub)
    hub.shown["archive"] = lambda: desk.shown
    while True:
        for tone, text in await _apart(desk.work):
            hub.ward.say(utc_now_ms(), None, tone, text)
        await asyncio.sleep(_LOOK_S)


async def _apart(work: Callable[[], T]) -> T:
    """Run what may take minutes on a thread that nobody waits for when the hub is stopped.

    It then ends wherever it is, as in a power cut, and loses nothing by that.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast(T, result))

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="archive", daemon=True).start()
    return await done


class _Desk:
    """What is done on the archive's thread."""

    def __init__(self, hub: Context) -> None:
        self.shown: dict[str, Any] = {}
        self._hub = hub
        self._settings = hub.config[ArchiveSettings]
        self._bucket: Bucket | None = None
        self._tiers: Tiers | None = None
        self._tiers_at = -_TIERS_S
        self._trouble = ""

    def work(self) -> list[tuple[str, str]]:
        """Do what is due; returns what people should know: (tone, text)."""
        told: list[tuple[str, str]] = []
        trouble = ""
        try:
            self._open()
            for cls, name in enumerate(CLASSES):
                trouble = self._back_up(cls, name) or trouble
            if monotonic() - self._tiers_at >= _TIERS_S:
                self._move()
                self._tiers_at = monotonic()
            self.shown = self._show()
        except BucketError as error:
            trouble = f"{error.code}: {error}"
        except StoreError as error:
            trouble = str(error)
        except ToolError as error:
            trouble = error.message
        if trouble and trouble != self._trouble:
            told.append(("bad", f"Archive: {trouble}"))
        elif self._trouble and not trouble:
            told.append(("good", "Archive: works again"))
        self._trouble = trouble
        return told

    def _open(self) -> None:
        settings = self._settings
        if settings.address is not None and self._bucket is None:
            self._bucket = Bucket(settings.address, settings.options(), settings.lock_days)
        if self._tiers is None:
            self._tiers = Tiers(
                self._hub.store, self._bucket, self._keys(), self._hub.vault.site_id, settings,
                utc_now_ms,
            )  # fmt: skip

    def _keys(self) -> ArchiveKeys:
        return ArchiveKeys(self._hub.vault.gateways())

    def _back_up(self, cls: int, name: str) -> str:
        """Make a backup if one is due; returns what was wrong with the last one."""
        if self._bucket is None:
            return ""
        rows = self._hub.store.backups(cls)
        schedule = self._settings.schedule(cls)
        kind = backup.due(rows, schedule.incremental_ms, schedule.full_ms, utc_now_ms())
        last = rows[0] if rows else None
        if kind is not None:
            # The vault is asked anew each time: somebody may have provisioned.
            site = self._hub.vault.site_id
            made = Backups(self._hub.store, self._bucket, self._keys(), site, utc_now_ms)
            last = made.run(cls, kind)
        if last is None or last["ok"]:
            return ""
        return f"{last['kind']} backup of class {name} failed: {last['why']}"

    def _move(self) -> None:
        assert self._tiers is not None
        self._tiers.set_keys(self._keys())
        for cls in range(len(CLASSES)):
            self._tiers.run(cls)

    def _show(self) -> dict[str, Any]:
        found: dict[str, Any] = {"address": self._settings.address}
        if self._bucket is not None:
            found["backups"] = backup.summary(self._hub.store, utc_now_ms())
        return found | {"tiers": self._hub.store.tier_sizes()}
