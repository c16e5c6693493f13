"""A hub's store from nothing but the vault and one source: every byte through the write path.

What comes is checked as if a gateway had sent it: header, seal and chain by the keys of the vault,
never by the source's word. What is there already is skipped, so a restore that was killed goes on
where it was when it is started again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bridge.core import wire as uplink
from bridge.core.journal.layout import CLASSES
from vitalkeep.archive.manifest import Head
from vitalkeep.hub import sectors
from vitalkeep.hub.batch import Batch, Run, Sealed
from vitalkeep.hub.exchange.wire import Tagged
from vitalkeep.hub.ingest import Ingest
from vitalkeep.hub.late import decode_sectors
from vitalkeep.hub.sectors import Place
from vitalkeep.hub.store import StaleError, Store
from vitalkeep.keys.cipher import Aes256
from vitalkeep.keys.vault import Gateway

_AT_ONCE = 64  # sectors of one commit
_TRIES = 5


class Held(NamedTuple):
    """A sector that a source has: `stored_ms` is when a site first had it, 0 if unknown."""

    place: Place
    length: int
    stored_ms: int


class Problem(NamedTuple):
    """What a source could not give, and why.

    code  for machines
    name  of the object or file
    held  the sector that it is about, None for more than one
    """

    code: str
    name: str
    text: str
    held: Held | None = None


class Promise(NamedTuple):
    """How much a source says there is of one class of a log, and when that was true."""

    cls: int
    head: Head
    made_ms: int


Want = Callable[[Sequence[Held]], "list[Held]"]
# A sector's bytes as they are; whole, with the tag before it; or its gateway's own runs.
Brought = bytes | Sealed | list[Tagged]
Part = Iterable[tuple[Held, Brought]]


class Source:
    """Where sectors come from, by position.

    name      for people
    total     sectors it has, 0 while unknown; grows while it is read
    problems  what it could not give
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.total = 0
        self.problems: list[Problem] = []

    def parts(self, want: Want) -> Iterable[Part]:
        """Yield sectors part by part, in any order.

        want    says which of the sectors of a part are worth fetching
        Raises  ToolError when the source as a whole cannot be read
        """
        raise NotImplementedError

    def promises(self) -> list[Promise]:
        """Return what is vouched for under the gateways' keys; asked after `parts`."""
        return []

    def close(self) -> None:
        """Give back what is open."""


@dataclass
class Restored:
    """What a restore did.

    taken     sectors that came or grew, by class name
    skipped   sectors that were there already
    refused   runs that the write path refused, by its counter
    missing   promises that were not kept, in words
    problems  of the source, but for what another of its packs had
    """

    taken: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not (self.missing or self.refused or self.problems)

    def as_dict(self) -> dict[str, Any]:
        return {
            "complete": self.complete,
            "taken": dict(self.taken),
            "skipped": self.skipped,
            "refused": dict(self.refused),
            "missing": self.missing,
            "problems": [
                {"code": problem.code, "name": problem.name, "text": problem.text}
                for problem in self.problems
            ],
        }


_REFUSALS = ("conflict", "seal_mismatch", "wrong_header", "wrong_epoch", "too_far_ahead")


class Restore:
    """Fills a store from a source.

    store     open; may hold part of it already
    gateways  of the vault
    now_ms    for sectors of which nobody knows when they were stored
    decode    whether the records are wanted, too: to prove what comes back takes none
    """

    def __init__(
        self,
        store: Store,
        gateways: Sequence[Gateway],
        now_ms: int,
        decode: bool = True,
    ) -> None:
        self.result = Restored()
        self._store = store
        self._known = {gateway.id: set(gateway.logs) for gateway in gateways}
        self._ingest = Ingest(gateways, Aes256)
        self._decode = decode
        self._now_ms = now_ms

    def run(self, source: Source, tell: Callable[[int], None] = lambda _: None) -> Restored:
        """Take all that a source has.

        tell    is called with how many sectors were dealt with since the last call
        Raises  StoreError when the store fails; nothing is lost, and it can be run again
        """
        for part in source.parts(lambda held: self._want(held, tell)):
            batch: list[tuple[Held, Brought]] = []
            for found in part:
                batch.append(found)
                if len(batch) == _AT_ONCE:
                    self._take(batch)
                    tell(len(batch))
                    batch = []
            if batch:
                self._take(batch)
                tell(len(batch))
        for name in _REFUSALS:
            if self._ingest.counters[name]:
                self.result.refused[name] += self._ingest.counters[name]
        for promise in source.promises():
            self._check(promise)
        self.result.problems = [p for p in source.problems if not self._has(p.held)]
        return self.result

    def _want(self, held: Sequence[Held], tell: Callable[[int], None]) -> list[Held]:
        wanted = []
        for start in range(0, len(held), 500):
            part = held[start : start + 500]
            known: dict[Place, int] = {}
            for stream in {entry.place[:3] for entry in part}:
                numbers = [e.place.sector for e in part if e.place[:3] == stream]
                for number, length, _ in self._store.states(stream, min(numbers), max(numbers)):
                    known[Place(*stream, number)] = length
            wanted += [entry for entry in part if known.get(entry.place, 0) < entry.length]
        self.result.skipped += len(held) - len(wanted)
        tell(len(held) - len(wanted))
        return wanted

    def _has(self, held: Held | None) -> bool:
        """Say whether a sector came all the same: from another pack, or another time."""
        if held is None:
            return False
        number = held.place.sector
        rows = self._store.states(held.place[:3], number, number)
        return any(length >= held.length for _, length, _ in rows)

    def _take(self, found: list[tuple[Held, Brought]]) -> None:
        runs: list[Run] = []
        sealed: list[Sealed] = []
        for held, brought in found:
            if held.place.log not in self._known.get(held.place.gateway, ()):
                self.result.refused["unknown_log"] += 1
            elif isinstance(brought, Sealed):
                sealed.append(brought)
            elif isinstance(brought, list):
                runs += self._runs(held.place, brought)
            else:
                runs.append(Run(held.place, 0, sectors.normalised(0, brought)))
        times = [held.stored_ms for held, _ in found if held.stored_ms]
        for attempt in range(_TRIES):
            batch = self._apply(runs, sealed, max(times, default=self._now_ms))
            try:
                self._store.commit(batch)
                break
            except StaleError:
                # A hub writes the same store: what it has is as good as what we bring.
                self._ingest.forget()
                if attempt == _TRIES - 1:
                    raise
        self.result.refused.update(why for _, why in batch.refused)
        for change in batch.changes:
            if change.piece or change.whole:
                self.result.taken[CLASSES[change.place.cls]] += 1
        if self._decode:
            tasks = [self._ingest.task(change.place) for change in batch.changes]
            decoded = decode_sectors([task for task in tasks if task], batch.now_ms)
            for one in self._store.commit_late(decoded, live=True):
                self._ingest.decoded(one.place, one.decoded)
        self._ingest.trim()

    def _runs(self, place: Place, tagged: Sequence[Tagged]) -> list[Run]:
        """Return runs whose tags are right; the first that is not ends them."""
        found: list[Run] = []
        for one in tagged:
            if not self._ingest.payloads.admits(one.gateway):
                self.result.refused["revoked_gateway"] += 1
                break
            topic = uplink.topic(one.gateway, f"log/{CLASSES[one.cls]}")
            run = self._ingest.payloads.parse(topic, one.payload)
            if not isinstance(run, Run) or run.place != place:
                self.result.refused["wrong_run"] += 1
                break
            found.append(run)
        return found

    def _apply(self, runs: list[Run], sealed: list[Sealed], at_ms: int) -> Batch:
        places = [run.place for run in runs] + [one.place for one in sealed]
        missing = self._ingest.missing(places)
        for place, stored in self._store.load(missing).items():
            self._ingest.load(place, stored)
        batch = Batch(at_ms)
        for one in sealed:
            self._ingest.take_sealed(one, batch)
        for run in runs:
            self._ingest.take(run, batch)
        self._ingest.finish(batch)
        return batch

    def _check(self, promise: Promise) -> None:
        head = promise.head
        rows = self._store.states((head.gateway, head.log, promise.cls), 0, head.newest)
        count, size = len(rows), sum(length for _, length, _ in rows)
        if count < head.sectors or size < head.size:
            name = f"{head.gateway.hex()} class {CLASSES[promise.cls]}"
            text = f"{name}: {count} sectors with {size} bytes, promised were {head.sectors}"
            self.result.missing.append(f"{text} with {head.size}, up to number {head.newest}")
