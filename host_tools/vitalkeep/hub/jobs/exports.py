"""Exports what is new, while that is this hub's duty; under load it is the first to wait."""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

from vitalkeep.archive.bucket import Bucket, BucketError
from vitalkeep.archive.keys import ArchiveKeys
from vitalkeep.archive.settings import ArchiveSettings
from vitalkeep.archive.shelf import Shelf, ShelfError
from vitalkeep.errors import ToolError
from vitalkeep.hub.apart import apart
from vitalkeep.hub.context import Context
from vitalkeep.hub.duties import DutyDesk
from vitalkeep.hub.exports.settings import ExportSettings
from vitalkeep.hub.exports.writer import Writer
from vitalkeep.hub.jobs.holding import books_of, database_desk, hold, pause, show, together
from vitalkeep.hub.store import StoreError, utc_now_ms
from vitalkeep.hub.store.duties import LostTermError
from vitalkeep.hub.store.exports import Export

log = logging.getLogger(__name__)

_DUTY = "exports"
_RETRY_S = 60.0


async def run(hub: Context) -> None:
    settings = hub.config[ExportSettings]
    if settings.address is None:
        return
    duty = database_desk(hub, _DUTY)
    job = _Job(hub, duty, settings)
    show(hub, _DUTY, lambda: duty.shown() | job.shown)
    holding = hold(hub, duty, ("Exports", "written"), lambda: not hub.verdict.cut)
    await together(holding, job.run())


class _Job:
    """What it does: shown is for /api/health."""

    def __init__(self, hub: Context, duty: DutyDesk, settings: ExportSettings) -> None:
        self.shown: dict[str, Any] = {"written": 0, "lines": 0, "last": None, "error": ""}
        self._hub = hub
        self._duty = duty
        self._settings = settings
        self._writer: Writer | None = None
        self._term = 0

    async def run(self) -> None:
        while True:
            began_s = monotonic()
            seconds = 60 * self._settings.every_min
            if self._duty.left_s():
                await self._hub.calm("export")
                try:
                    while self._duty.left_s() and (done := await apart(self._step)):
                        self._note(done)
                        await self._hub.calm("export")
                    self._say("")
                except LostTermError:
                    pass  # another hub goes on from what is in the books
                except (StoreError, BucketError, ShelfError, ToolError) as error:
                    self._say(error.message if isinstance(error, ToolError) else str(error))
                    seconds = min(seconds, _RETRY_S)
            await pause(self._duty, max(0.1, seconds - (monotonic() - began_s)))

    def _note(self, done: Export) -> None:
        self.shown["written"] += 1
        self.shown["lines"] += done.lines
        self.shown["last"] = {"name": done.name, "lines": done.lines, "at_ms": done.done_ms}

    def _say(self, trouble: str) -> None:
        ward, before = self._hub.ward, self.shown["error"]
        self.shown["error"] = trouble
        if trouble and trouble != before:
            log.warning("exports: %s", trouble)
            ward.say(utc_now_ms(), None, "bad", f"Exports wait: {trouble}")
        elif before and not trouble:
            ward.say(utc_now_ms(), None, "good", "Exports are written again")

    # --- on the thread of its own ---

    def _step(self) -> Export | None:
        hub, term = self._hub, self._duty.term
        if term is None:
            return None
        if self._writer is None or term != self._term:
            settings, archive = self._settings, hub.config[ArchiveSettings]
            assert settings.address is not None
            bucket = Bucket(settings.address, settings.options())
            cold = Bucket(archive.address, archive.options()) if archive.address else None
            shelf = Shelf(hub.store, ArchiveKeys(hub.vault.gateways()), cold)
            books = books_of(hub, self._duty).under(_DUTY, self._duty.name, term)
            self._writer = Writer(hub.store, shelf, books, bucket, settings.form, term, utc_now_ms)
            self._term = term
        return self._writer.step(hub.vault.gateways())
