"""The archive's work: backups that are due, and what changes its tier with age."""

from __future__ import annotations

from time import monotonic
from typing import Any

from bridge.core.journal.layout import CLASSES
from vitalkeep.archive import backup
from vitalkeep.archive.backup import Backups
from vitalkeep.archive.bucket import UNLOCKED, Bucket, BucketError
from vitalkeep.archive.keys import ArchiveKeys
from vitalkeep.archive.settings import ArchiveSettings
from vitalkeep.archive.tiers import Tiers
from vitalkeep.errors import ToolError
from vitalkeep.hub.apart import apart
from vitalkeep.hub.context import Context
from vitalkeep.hub.duties import DutyDesk
from vitalkeep.hub.jobs.holding import hold, own_desk, pause, show, together
from vitalkeep.hub.store import StoreError, utc_now_ms
from vitalkeep.hub.store.duties import LostTermError

_DUTY = "archive"
_LOOK_S = 20.0
_TIERS_S = 3600.0


async def run(hub: Context) -> None:
    """Look every few seconds what is due; what fails is told once and tried again in time.

    One of the site's hubs does it. Its books are the site's own, so the site's database says who.
    """
    duty = own_desk(hub, _DUTY)
    desk = _Desk(hub, duty)
    hub.shown["archive"] = lambda: desk.shown
    show(hub, _DUTY, duty.shown)
    holding = hold(hub, duty, ("Backups", "made"), lambda: not hub.verdict.cut)
    await together(holding, _work(hub, duty, desk))


async def _work(hub: Context, duty: DutyDesk, desk: _Desk) -> None:
    while True:
        for tone, text in await apart(desk.work):
            hub.ward.say(utc_now_ms(), None, tone, text)
        await pause(duty, _LOOK_S)


class _Desk:
    """What is done on the archive's thread."""

    def __init__(self, hub: Context, duty: DutyDesk) -> None:
        self.shown: dict[str, Any] = {}
        self._hub = hub
        self._duty = duty
        self._term = 0
        # Under the term in which the work began: a hub that slept meanwhile changes nothing.
        self._store = hub.store
        self._settings = hub.config[ArchiveSettings]
        self._bucket: Bucket | None = None
        self._tiers: Tiers | None = None
        self._tiers_at = -_TIERS_S
        self._sizes: dict[str, int] = {}
        self._sized_at = -_TIERS_S
        self._unlocked = 0
        self._spoilt = ""
        self._trouble = ""

    def work(self) -> list[tuple[str, str]]:
        """Do what is due; returns what people should know: (tone, text)."""
        told: list[tuple[str, str]] = []
        trouble = ""
        try:
            term = self._duty.term
            if term is not None and self._duty.left_s():
                self._open(term)
                for cls, name in enumerate(CLASSES):
                    trouble = self._back_up(cls, name) or trouble
                if monotonic() - self._tiers_at >= _TIERS_S:
                    self._spoilt = self._move()
                    self._tiers_at = monotonic()
                    self._sized_at = -_TIERS_S
                unlocked = self._count_unlocked()
                trouble = trouble or self._spoilt or unlocked
            if monotonic() - self._sized_at >= _TIERS_S:
                # It goes through all that is cold or compressed: not at every look.
                self._sizes = self._hub.store.tier_sizes()
                self._sized_at = monotonic()
            self.shown = self._show()
        except LostTermError:
            return told  # another hub goes on from what is in the books
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

    def _open(self, term: int) -> None:
        settings = self._settings
        if settings.address is not None and self._bucket is None:
            self._bucket = Bucket(settings.address, settings.options(), settings.lock_days)
        if self._tiers is None or term != self._term:
            self._term = term
            self._store = self._hub.store.under(self._duty.duty, self._duty.name, term)
            self._tiers = Tiers(
                self._store, self._bucket, self._keys(), self._hub.vault.site_id, settings,
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
            made = Backups(self._store, self._bucket, self._keys(), site, utc_now_ms)
            last = made.run(cls, kind)
        if last is None or last["ok"]:
            return ""
        return f"{last['kind']} backup of class {name} failed: {last['why']}"

    def _move(self) -> str:
        """Move what is due; returns what is wrong with what stays."""
        assert self._tiers is not None
        self._tiers.set_keys(self._keys())
        spoilt = sum(self._tiers.run(cls).spoilt for cls in range(len(CLASSES)))
        return f"{spoilt} sectors are not what was sealed: vitalkeep verify" if spoilt else ""

    def _count_unlocked(self) -> str:
        """Count what was written without its retention lock; returns what is wrong with that."""
        if self._bucket is None:
            return ""
        self._hub.meters.unlocked.inc(self._bucket.unlocked - self._unlocked)
        self._unlocked = self._bucket.unlocked
        if self._bucket.lock != UNLOCKED:
            return ""
        return f"objects are written without their retention lock: {self._bucket.lock_refusal}"

    def _show(self) -> dict[str, Any]:
        found: dict[str, Any] = {"address": self._settings.address}
        if self._settings.address is not None:
            found["backups"] = backup.summary(self._hub.store, utc_now_ms())
        if self._bucket is not None:
            found["lock"] = self._bucket.lock
            found["lock_refusal"] = self._bucket.lock_refusal
            found["unlocked"] = self._bucket.unlocked
        return found | {"tiers": self._sizes}
