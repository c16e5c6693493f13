"""What gateways are told: receipts for what a commit made durable, and answers to heartbeats.

Nothing here may be called for a batch whose commit has not returned. Sectors are read on the
write path's thread; the sessions belong to the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from bridge.core import wire
from bridge.core.journal.layout import SECTOR_SIZE
from vitalkeep.hub.batch import Batch
from vitalkeep.hub.consume import Publish
from vitalkeep.hub.heartbeat import Heartbeat, Session
from vitalkeep.hub.ingest import Ingest
from vitalkeep.hub.radio import Heard
from vitalkeep.hub.receipts import Map, Receipts, entry, map_of, survey, surveyed
from vitalkeep.hub.sectors import Place, Stream
from vitalkeep.hub.store import Store, utc_now_ms
from vitalkeep.keys.vault import Gateway


class Answers:
    """Sessions of all gateways, and what is said in them.

    site    id of this site, 8 bytes
    load    brings sectors that ingest does not know from the store
    copied  copied(log, first, last): which of these sectors two sites or more have, proved
    """

    def __init__(
        self, site: bytes, store: Store, ingest: Ingest, load: Callable[[Sequence[Place]], None]
    ) -> None:
        self.copied: Callable[[Stream, int, int], Sequence[int]] = lambda stream, first, last: ()
        self.epoch = store.epoch
        self._store = store
        self._ingest = ingest
        self._load = load
        self._receipts = Receipts(site, store.epoch)
        self._gateways: dict[bytes, Gateway] = {}
        self._sessions: dict[bytes, Session] = {}

    def set_gateways(self, gateways: Iterable[Gateway]) -> None:
        self._gateways = {gateway.id: gateway for gateway in gateways}
        self._receipts.forget_keys()

    # --- sessions ---

    def hear(self, beat: Heartbeat) -> Heartbeat | None:
        """Return what is to be answered, None for a heartbeat older than one already heard."""
        session = self._sessions.setdefault(beat.gateway, Session())
        known = session.beat is not None and session.beat.nonce == beat.nonce
        if not session.hear(beat):
            return None
        # Otherwise it talked to a hub that is gone, with what was on its way there: it is told
        # what is here, and not as an answer to a heartbeat of now.
        return beat if known or beat.ask else replace(beat, ask=True, mono_ms=0)

    def forget(self) -> None:
        """Forget all sessions, as a hub does that ends."""
        self._sessions.clear()

    def is_live(self, place: Place) -> bool:
        """Return True for a sector that its gateway wrote lately."""
        beat = self._beat(place.gateway)
        if beat is None or beat.log != place.log or place.cls not in beat.heads:
            return beat is None
        return place.sector >= beat.heads[place.cls][1]

    def unasked(self, gateways: Collection[bytes]) -> list[Heartbeat]:
        """Return what stands for a question of each of these gateways that was heard."""
        beats = map(self._beat, gateways)
        return [replace(beat, ask=True, mono_ms=0) for beat in beats if beat is not None]

    def _beat(self, gateway: bytes) -> Heartbeat | None:
        session = self._sessions.get(gateway)
        return session.beat if session else None

    # --- what is said ---

    def of(self, batch: Batch, beats: Sequence[Heartbeat]) -> list[Publish]:
        """Return receipts for what a commit touched, and the answers to heartbeats."""
        now_ms = utc_now_ms()
        answers: list[Publish] = []
        for (gateway, of_log), places in batch.touched.items():
            beat = self._beat(gateway)
            if beat is None or beat.log != of_log:
                continue  # its heartbeat comes soon, and with it a nonce
            known = self._gateways[gateway]
            found = [self._ingest.sector(place) for place in places]
            for payload in self._receipts.stored(known, of_log, beat.nonce, found, now_ms):
                answers.append((wire.topic(gateway, "receipt"), payload))
        said = self._survey([beat for beat in beats if beat.ask])
        for beat in beats:
            maps, parts = said.get(beat.gateway, ([], []))
            found = [self._ingest.sector(place) for place in parts]
            entries = [entry(sector) for sector in found if sector.spoilt is None]
            known, topic = self._gateways[beat.gateway], wire.topic(beat.gateway, "receipt")
            payload = self._receipts.answer(known, beat, now_ms, maps, entries)
            answers.append((topic, payload))
            if beat.ask and (copied := self._copied_maps(beat)):
                answers.append((topic, self._receipts.copied(known, beat, copied, 2, now_ms)))
        return answers

    def to_radio(self, heard: Heard) -> Publish:
        """Return the answer to a frame that is stored, to the base station that heard it."""
        payload = self._receipts.radio(self._gateways[heard.gateway], heard.frame)
        return wire.topic(heard.station, "air"), payload

    def tell_copies(self, digests: dict[Place, bytes], copies: int) -> list[Publish]:
        """Return receipts for sectors that so many sites have; each with its entry's digest."""
        of_gateway: dict[bytes, list[Any]] = {}
        for place, digest in digests.items():
            beat = self._beat(place.gateway)
            oldest = beat.heads.get(place.cls, (-1, -1, 0))[0] if beat else -1
            # What the gateway no longer holds does not concern it.
            if beat is not None and beat.log == place.log and 0 <= oldest <= place.sector:
                found = (place.cls, place.sector, SECTOR_SIZE, digest)
                of_gateway.setdefault(place.gateway, []).append(found)
        now_ms = utc_now_ms()
        answers: list[Publish] = []
        for gateway, entries in of_gateway.items():
            beat, known = self._beat(gateway), self._gateways.get(gateway)
            if beat is not None and known is not None:
                for payload in self._receipts.entries(
                    known, beat.log, beat.nonce, entries, now_ms, copies
                ):
                    answers.append((wire.topic(gateway, "receipt"), payload))
        return answers

    def _copied_maps(self, beat: Heartbeat) -> list[Map]:
        """Return maps of what at least two sites have of what the gateway still holds."""
        maps = []
        for stream, oldest, newest in surveyed(beat):
            found = self.copied(stream, oldest, newest)
            if found:
                maps.append(map_of(stream[2], oldest, newest, found))
        return maps

    def _survey(self, asking: list[Heartbeat]) -> dict[bytes, tuple[list[Map], list[Place]]]:
        """Return by gateway what this site has, its partly stored sectors loaded."""
        if not asking:
            return {}
        # At once for all: after an outage a whole ward asks.
        states = self._store.states_of(log for beat in asking for log in surveyed(beat))
        said = {beat.gateway: survey(beat, states) for beat in asking}
        places = [place for _, opened in said.values() for place in opened]
        self._load(self._ingest.missing(places, neighbours=False))
        return said
