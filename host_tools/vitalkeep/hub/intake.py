"""From messages to receipts: check, commit, and only then answer. The hub's one write path."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, TypeVar

from vitalkeep.hub.answers import Answers
from vitalkeep.hub.batch import Batch, Change, Run, Sealed
from vitalkeep.hub.consume import Message, Publish
from vitalkeep.hub.decode import Found, Row
from vitalkeep.hub.heartbeat import Heartbeat
from vitalkeep.hub.ingest import Ingest
from vitalkeep.hub.meters import Meters
from vitalkeep.hub.patience import Patience
from vitalkeep.hub.radio import Heard
from vitalkeep.hub.sectors import Place
from vitalkeep.hub.store import FencedError, StaleError, Store, utc_now_ms
from vitalkeep.hub.ward import Ward
from vitalkeep.hub.worker import Worker
from vitalkeep.keys.cipher import Aes256
from vitalkeep.keys.vault import Vault

log = logging.getLogger(__name__)

_STALE_S = 0.1
_HEADS_EVERY_MS = 10_000
_ALARMS_TOLD_MAX = 5  # of one batch, in the story

T = TypeVar("T")


class Intake:
    """The write path of a hub.

    batches     commits so far; commit_ms: how long the last one took
    worker      whose leases say which gateways are served here; None: all are
    on_commit   each is told of the changes of a commit once they are durable
    on_spoilt   each is told of sectors that were found to be spoilt
    answers     what gateways are told, and their sessions
    """

    def __init__(
        self, vault: Vault, store: Store, ward: Ward, worker: Worker | None = None
    ) -> None:
        self.batches = 0
        self.commit_ms = 0.0
        self.on_commit: list[Callable[[Sequence[Change]], None]] = []
        self.on_spoilt: list[Callable[[Sequence[Place]], None]] = []
        self.meters = Meters()
        self.ingest = Ingest(vault.gateways(), Aes256)
        self._store = store
        self._ward = ward
        self._worker = worker
        self.answers = Answers(vault.site_id, store, self.ingest, self._load)
        self._gateways = {gateway.id: gateway for gateway in vault.gateways()}
        self.answers.set_gateways(self._gateways.values())
        self._heads_ms: dict[bytes, tuple[bytes, int, int]] = {}
        self._patience = Patience(self.ingest.counters, self._say)
        self._suspects: set[Place] = set()
        self._lock = asyncio.Lock()

    @property
    def receipting(self) -> bool:
        """Return False while the store refuses; `reason` then says why."""
        return self._patience.receipting

    @property
    def reason(self) -> str:
        return self._patience.reason

    def set_vault(self, vault: Vault) -> None:
        """Follow the vault when someone provisioned or revoked."""
        for gateway in vault.gateways():
            known = self._gateways.get(gateway.id)
            if gateway.revoked and (known is None or not known.revoked):
                text = "Revoked: nothing is taken from this gateway any more"
                self._ward.say(utc_now_ms(), gateway.id, "bad", text)
        self._gateways = {gateway.id: gateway for gateway in vault.gateways()}
        self.answers.set_gateways(self._gateways.values())
        self.ingest.set_gateways(vault.gateways())
        self._ward.set_gateways(vault.gateways())

    def close(self) -> None:
        self._patience.close()

    async def touch(self) -> None:
        """Prove by a small write that the store takes any; raises StoreError."""
        await self._patience.once(self._store.pulse)
        self.meters.stored_at = time.monotonic()

    async def work(self, job: Callable[[], T]) -> T:
        """Return what a job on sectors or store returns, run between two batches.

        Tries for ever while the store refuses.
        """
        async with self._lock:
            return await self._patience.run(job)

    async def write_late(self, found: Sequence[Found], live: bool = False) -> None:
        """Store what was decoded, and show it: all that the store did not have by now.

        live  it is of what the gateways write now
        """
        async with self._lock:
            taken = await self._commit_late([one for one in found if one.decoded > one.was], live)
            now_ms = utc_now_ms()
            alarms: list[tuple[bytes, str]] = []
            for one in found:
                if one.error and self.serves(one.place.gateway):
                    self.ingest.note_undecodable(one.place, one.error, alarms)
            self._tell(alarms, now_ms)
            for one in taken:
                self.ingest.decoded(one.place, one.decoded)
                self._ward.stored(one.rows, now_ms)

    async def _commit_late(self, found: Sequence[Found], live: bool) -> list[Found]:
        while True:
            found = [one for one in found if self.serves(one.place.gateway)]
            fences = self._fences({one.place.gateway for one in found})
            try:
                return await self._patience.run(
                    partial(self._store.commit_late, found, live, *fences)
                )
            except FencedError as error:
                self._without(error.gateways, [], [], {})  # their worker decodes it, too

    def knows(self, place: Place) -> bool:
        """Return True for a sector of a gateway that is served here, and whose key is known."""
        return place.gateway in self._gateways and self.serves(place.gateway)

    def suspect(self, places: Collection[Place]) -> None:
        """Have sectors read again before they are next worked on: the store has lost of them."""
        self._suspects.update(places)

    async def write_story(self) -> None:
        """Store the story lines that no batch has taken along."""
        if self._ward.unwritten and not self._lock.locked():
            await self.handle(())

    async def handle(self, messages: Sequence[Message]) -> list[Publish]:
        """Store what the messages carry and return the receipts, when both are done.

        Tries for ever: while the store refuses nothing is acknowledged and nothing receipted.
        """
        async with self._lock:
            runs, beats, heard = self._sort(messages)
            radio = self._hear(heard)
            try:
                batch = await self._commit(runs, beats, radio)
                answers = await self._patience.run(lambda: self._answers(batch, beats))
            except BaseException:
                # What was applied in memory may not be in the store: start from there again.
                self.ingest.forget()
                raise
            self.ingest.trim()
            served = [found for found in heard if self.serves(found.gateway)]
            return answers + [self.answers.to_radio(found) for found in served]

    def serves(self, gateway: bytes) -> bool:
        """Say whether a gateway is served here, and not by another worker."""
        return self._worker is None or self._worker.serves(gateway)

    async def settle(self) -> None:
        """Return when what came before is committed, or dropped."""
        async with self._lock:
            pass

    async def adopt(self, gateways: Collection[bytes]) -> list[Publish]:
        """Return what begins to serve gateways: to each that was heard, what is stored of it.

        Each goes on from there, with all that it has sent since, to whom ever.
        """
        async with self._lock:
            # Another worker wrote these since they were loaded here.
            self.ingest.forget(gateways)
            beats = self.answers.unasked(gateways)
            return await self._patience.run(lambda: self._answers(Batch(utc_now_ms()), beats))

    async def merge(
        self, runs: list[Run], sealed: Sequence[Sealed]
    ) -> tuple[Batch, list[Publish]]:
        """Store what another site gave: runs as their gateways sent them, and whole sectors.

        runs     as `ingest.payloads.parse` returned them; sealed: of logs that the vault knows
        Returns  the batch that was committed, and receipts for gateways that are here
        """
        async with self._lock:
            try:
                batch = await self._commit(runs, [], {}, sealed)
                answers = await self._patience.run(lambda: self._answers(batch, []))
            except BaseException:
                self.ingest.forget()
                raise
            self.ingest.trim()
            return batch, answers

    async def close_orphans(self, places: Sequence[Place]) -> None:
        """Close open sectors of which nobody has heard for long."""
        async with self._lock:
            try:
                await self._commit([], [], {}, silent=places)
            except BaseException:
                self.ingest.forget()
                raise
            self.ingest.trim()

    @property
    def busy(self) -> bool:
        """Say whether a batch is being committed right now."""
        return self._lock.locked()

    def _sort(self, messages: Sequence[Message]) -> tuple[list[Run], list[Heartbeat], list[Heard]]:
        runs: list[Run] = []
        heard: list[Heard] = []
        beats: dict[bytes, Heartbeat] = {}
        now_ms = utc_now_ms()
        for message in messages:
            found = self.ingest.payloads.parse(message.topic, message.payload)
            if isinstance(found, Run):
                if self.serves(found.place.gateway):
                    runs.append(found)
                else:
                    self.ingest.counters["not_ours"] += 1
            elif isinstance(found, Heard):
                if self.serves(found.gateway):
                    heard.append(found)
            elif isinstance(found, Heartbeat):
                beat = self.answers.hear(found)
                if beat is None:
                    self.ingest.counters["heartbeat_late"] += 1
                    continue
                self._ward.hear(found, now_ms)
                self.ingest.payloads.radio.hear(found)
                if not self.serves(found.gateway):
                    continue  # its worker answers
                asked = beats.get(found.gateway)
                if asked is None or beat.ask or not asked.ask or beat.nonce != asked.nonce:
                    beats[found.gateway] = beat
        return runs, list(beats.values()), heard

    def _hear(self, heard: list[Heard]) -> dict[bytes, Row]:
        """Tell the story of frames that came by radio; returns the rows to store, by gateway."""
        now_ms = utc_now_ms()
        rows = {}
        for found in heard:
            rows[found.gateway] = self.ingest.payloads.radio.row(found, now_ms)
            for tone, text in self.ingest.payloads.radio.story(found):
                self._ward.say(now_ms, found.gateway, tone, text)
        return rows

    async def _commit(
        self,
        runs: list[Run],
        beats: list[Heartbeat],
        radio: dict[bytes, Row],
        sealed: Sequence[Sealed] = (),
        silent: Sequence[Place] = (),
    ) -> Batch:
        while True:
            self.ingest.drop(self._suspects)
            self._suspects.clear()
            batch = await self._patience.run(partial(self._prepare, runs, sealed, silent))
            batch.radio = radio
            self._note(batch, beats)
            lost: Collection[bytes] = self._fence(batch)
            if not lost:
                if batch.is_empty():
                    return batch
                self.meters.began()
                try:
                    await self._patience.run(partial(self._store.commit, batch))
                except StaleError:
                    # Another hub wrote this gateway: its bytes are as good as ours.
                    self.ingest.counters["stale"] += 1
                    self.ingest.forget()
                    await asyncio.sleep(random.uniform(0, _STALE_S))  # let one of the two be first
                    continue
                except FencedError as error:
                    lost = error.gateways
            if lost:
                # What they sent is neither stored nor acknowledged: their worker gets it again.
                runs, beats, radio = self._without(lost, runs, beats, radio)
                sealed = [whole for whole in sealed if whole.place.gateway not in lost]
                silent = [place for place in silent if place.gateway not in lost]
                continue
            self.commit_ms = self.meters.committed(batch) * 1000
            self.batches += 1
            written = {id(row) for row in batch.story}
            self._ward.unwritten = [r for r in self._ward.unwritten if id(r) not in written]
            self._ward.stored(batch.rows, batch.now_ms)
            for row in radio.values():
                self._ward.by_radio(row)
            if batch.spoilt:
                for told in self.on_spoilt:
                    told(batch.spoilt)
            for listener in self.on_commit:
                listener(batch.changes)
            return batch

    def _fence(self, batch: Batch) -> set[bytes]:
        """Put the fences of a batch into it; returns gateways that are not served any more."""
        if self._worker is None:
            return set()
        wanted = batch.gateways()
        batch.worker, batch.fences = self._fences(wanted)
        return wanted - set(batch.fences)

    def _fences(self, gateways: Collection[bytes]) -> tuple[str, dict[bytes, int]]:
        """Return this worker's name, and the fences of those gateways that it serves."""
        if self._worker is None:
            return "", {}
        known = self._worker.fences
        return self._worker.name, {one: known[one] for one in gateways if one in known}

    def _without(
        self,
        lost: Collection[bytes],
        runs: list[Run],
        beats: list[Heartbeat],
        radio: dict[bytes, Row],
    ) -> tuple[list[Run], list[Heartbeat], dict[bytes, Row]]:
        """Forget gateways that another worker serves, and return what is left of a batch."""
        assert self._worker is not None
        self.ingest.counters["fenced"] += len(lost)
        self._worker.drop(lost)
        self.ingest.forget()
        self._ward.unwritten = [r for r in self._ward.unwritten if r["gateway"] not in lost]
        for beat in beats:
            self._heads_ms.pop(beat.gateway, None)
        return (
            [run for run in runs if run.place.gateway not in lost],
            [beat for beat in beats if beat.gateway not in lost],
            {gateway: row for gateway, row in radio.items() if gateway not in lost},
        )

    # --- on the worker ---

    def _prepare(
        self, runs: list[Run], sealed: Sequence[Sealed], silent: Sequence[Place]
    ) -> Batch:
        ingest = self.ingest
        asked = [run.place for run in runs] + [whole.place for whole in sealed] + [*silent]
        self._load(ingest.missing(asked))
        batch = Batch(utc_now_ms())
        for run in runs:
            ingest.take(run, batch)
        for whole in sealed:
            ingest.take_sealed(whole, batch)
        for place in silent:
            ingest.close_silent(place, batch)
        ingest.finish(batch)
        return batch

    def _answers(self, batch: Batch, beats: list[Heartbeat]) -> list[Publish]:
        return self.answers.of(batch, [beat for beat in beats if self.serves(beat.gateway)])

    def _load(self, places: Sequence[Place]) -> None:
        """Give ingest what the store has of sectors that it does not know."""
        if places:
            for place, stored in self._store.load(places).items():
                self.ingest.load(place, stored)

    # --- notes ---

    def _note(self, batch: Batch, beats: list[Heartbeat]) -> None:
        """Add to a batch what is not bytes of a log: heads, alarms of the hub, its story."""
        for beat in beats:
            log_id, boot, at_ms = self._heads_ms.get(beat.gateway, (b"", -1, 0))
            news = (log_id, boot) != (beat.log, beat.boot)
            # Either way: after a clock that was ahead, heads would not be stored for as long.
            if news or abs(batch.now_ms - at_ms) >= _HEADS_EVERY_MS:
                self._heads_ms[beat.gateway] = (beat.log, beat.boot, batch.now_ms)
                batch.heads[beat.gateway] = _heads_row(beat, batch.now_ms)
        self._tell(batch.alarms, batch.now_ms)
        batch.story = list(self._ward.unwritten)

    def _say(self, tone: str, text: str) -> None:
        self._ward.say(utc_now_ms(), None, tone, text)

    def _tell(self, alarms: list[tuple[bytes, str]], now_ms: int) -> None:
        for gateway, text in alarms[:_ALARMS_TOLD_MAX]:
            log.warning("%s", text)
            self._ward.say(now_ms, gateway, "bad", text)


def _heads_row(beat: Heartbeat, now_ms: int) -> dict[str, Any]:
    fields = {"heads": beat.heads, "clock": beat.clock, "utc": beat.utc_ms}
    fields["devices"] = [name for name, _ in beat.lines]
    return {
        "gateway": beat.gateway,
        "log": beat.log,
        "boot": beat.boot,
        "mono_ms": beat.mono_ms,
        "fields": json.dumps(fields),
        "at_ms": now_ms,
        "payload": beat.payload,
    }
