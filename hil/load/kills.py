"""A hub killed again and again under load: what it receipted must be there each time.

Each kill is SIGKILL at a moment that the seed draws: while the hub starts, or while it stores
what gateways send. It is started again at once; what every gateway had been receipted by then is
read from the store beside it and compared, byte for byte.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from hil.errors import RigError
from hil.load import judge, shape
from hil.load.judge import Findings, Marks
from hil.load.logs import log_path, make_logs
from hil.load.process import Load
from hil.load.replay import Replay
from hil.load.stage import Setting, Stage
from vitalkeep.hub.sectors import Place, Stored
from vitalkeep.hub.store import Store, StoreError

# The quickest that a gateway may be set to: it asks again soon after a kill.
_HEARTBEAT_MS, _RECEIPT_WAIT_MS = 500, 1000
_SPEED = 2.0
_KILL_S = 6  # of the wall clock for each, with which a busy machine can do
_STARTING = 0.2  # part of the kills that come before the hub serves
_START_S = 1.5
_WORKING_S = 0.7  # since it receipts again
_IN_FLIGHT_S = 0.05  # receipts that the broker has are on their way
_PATIENCE_S = 60
_ASK_AGAIN_S = 0.5

Tell = Callable[[int], None]


@dataclass
class Verdict:
    """What became of a hub that was killed so often.

    starting      kills that came while it was starting
    early         comparisons that ended before the next hub served, so that it mended nothing
    observations  rows that the store has at the end, and `want` of them
    quarantined   rows of what the hub refused: nothing was wrong, so it should be none
    """

    kills: int = 0
    starting: int = 0
    early: int = 0
    seconds: float = 0.0
    observations: int = 0
    want: int = 0
    quarantined: int = 0
    findings: Findings = field(default_factory=Findings)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        wrong = sum(self.counts.get(name, 0) for name in ("receipts_forged", "receipt_mismatches"))
        rows = self.observations == self.want and not self.quarantined
        return self.findings.good and rows and not wrong

    def as_dict(self) -> dict[str, Any]:
        return {
            "kills": self.kills,
            "starting": self.starting,
            "compared_before_the_next_served": self.early,
            "seconds": round(self.seconds, 1),
            "sectors_compared": self.findings.sectors,
            "bytes_compared": self.findings.bytes,
            "missing": self.findings.missing,
            "changed": self.findings.changed,
            "observations": self.observations,
            "observations_sent": self.want,
            "quarantined": self.quarantined,
            "gateways": self.counts,
            "good": self.good,
        }


async def campaign(
    setting: Setting, kills: int, seed: int, tell: Tell = lambda kills: None
) -> Verdict:
    """Kill a hub so often; raises RigError when it does not come back."""
    setting = replace(setting, heartbeat_ms=_HEARTBEAT_MS, receipt_wait_ms=_RECEIPT_WAIT_MS)
    seconds = round((kills + 10) * _KILL_S * _SPEED) + shape.AGE_MAX_S
    logs = await asyncio.to_thread(make_logs, setting.gateways, seconds, setting.seed)
    async with Stage(setting, logs) as stage:
        load = stage.make_load()
        try:
            await load.start()
            return await _Campaign(stage, load, random.Random(seed)).run(kills, tell)
        finally:
            await load.close()


class _Campaign:
    def __init__(self, stage: Stage, load: Load, draw: random.Random) -> None:
        self._stage = stage
        self._load = load
        self._draw = draw
        self._logs = [Replay(log_path(stage.logs, who.number)) for who in stage.identities]
        self._store = Store(stage.database)
        self.verdict = Verdict()

    async def run(self, kills: int, tell: Tell) -> Verdict:
        began = time.monotonic()
        try:
            await self._stage.all_up(self._load)
            await self._load.speed(_SPEED)
            for _ in range(kills):
                await self._kill()
                self.verdict.kills += 1
                tell(self.verdict.kills)
            await self._settle()
        finally:
            self._store.close()
        self.verdict.seconds = time.monotonic() - began
        return self.verdict

    async def _kill(self) -> None:
        """Kill the hub, start it again, and compare meanwhile."""
        hub = self._stage.hubs[0]
        if self._draw.random() < _STARTING:
            self.verdict.starting += 1
            await hub.kill()
            await hub.launch()
            await asyncio.sleep(self._draw.uniform(0, _START_S))
        else:
            await self._receipted()
            await asyncio.sleep(self._draw.uniform(0, _WORKING_S))
        await hub.kill()
        started = asyncio.create_task(hub.start())
        try:
            await asyncio.sleep(_IN_FLIGHT_S)
            self.verdict.findings.add(await self._compare(await self._load.marks()))
            self.verdict.early += not started.done()
        finally:
            await started

    async def _receipted(self) -> None:
        """Wait until the hub receipts; raises RigError when it does not."""
        end = time.monotonic() + _PATIENCE_S
        while not (await self._count()).get("landed", 0):
            if time.monotonic() > end:
                raise RigError(
                    f"After a kill the hub receipted nothing for {_PATIENCE_S} s.",
                    self._stage.words() or "It said nothing.",
                )
            await asyncio.sleep(0.05)

    async def _count(self) -> dict[str, int]:
        """Return what the gateways have seen since the last call, and keep the sum."""
        found: dict[str, int] = (await self._load.tally())["counts"]
        for name, count in found.items():
            self.verdict.counts[name] = self.verdict.counts.get(name, 0) + count
        return found

    async def _compare(self, marks: list[dict[tuple[int, int], int]]) -> Findings:
        return await asyncio.to_thread(self._compare_now, marks)

    def _compare_now(self, marks: list[dict[tuple[int, int], int]]) -> Findings:
        found = Findings()
        whole = zip(self._stage.identities, self._logs, marks, strict=True)
        stored = self._read([p for who, _, said in whole for p in judge.places(who, said)])
        for who, log, said in zip(self._stage.identities, self._logs, marks, strict=True):
            found.add(judge.compare(who, log, said, stored))
        return found

    def _read(self, places: list[Place]) -> dict[Place, Stored | None]:
        """Read from the store, which may just be recovering from the kill."""
        end = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self._store.load(places)
            except StoreError as error:
                if time.monotonic() > end:
                    raise RigError(f"The store does not answer: {error}", "See above.") from None
                time.sleep(_ASK_AGAIN_S)

    async def _settle(self) -> None:
        """Let everything be sent, and compare all of it."""
        await self._receipted()
        await self._load.speed(0.0)
        end = time.monotonic() + _PATIENCE_S
        state: dict[str, Any] = {}
        while (state := await self._load.state())["owed"] or state["behind"]:
            if time.monotonic() > end:
                raise RigError(f"The gateways still owe: {state}.", self._stage.words())
            await asyncio.sleep(0.1)
        await self._count()
        marks: list[Marks] = list(await self._load.marks())
        verdict = self.verdict
        verdict.findings.add(await self._compare([dict(said) for said in marks]))
        verdict.want = judge.observations(zip(self._logs, marks, strict=True))
        while True:
            verdict.observations = await asyncio.to_thread(self._store.count, "observations")
            if verdict.observations == verdict.want or time.monotonic() > end:
                break
            await asyncio.sleep(_ASK_AGAIN_S)
        verdict.quarantined = await asyncio.to_thread(self._store.count, "quarantine")
