"""A day's log carried to a real hub over a slow link, while live values go on arriving."""

import asyncio
import contextlib
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from hil.bench.figures import MORE, Figure
from hil.bench.flash_time import percentile
from hil.bench.uplink.bedside import FIRST_UART, GATEWAY, LOG_ID, ROOT, Bedside, mark_of
from hil.bench.uplink.brokers import make_broker
from hil.bench.uplink.day import DEVICE, Day, write_day
from hil.bench.uplink.plan import Measuring
from hil.bench.uplink.receipts import ReceiptListener
from hil.errors import RigError
from hil.hub import HubProcess
from hil.link import LinkProxy
from hil.tasks import end_tasks
from vitalkeep.hub.columns import observations
from vitalkeep.keys.vault import Vault

_ONE_WAY_S = 0.05
_BYTES_PER_S = 125_000
_DEVICES = 3  # at 1 Hz each, in turn
_DAY_H = 24.0
_DRAIN_MAX_S = 30.0
_LIVE_P99_MAX_MS = 500.0
_FIRST_LIVE_MAX_S = 2.0
_DARK_S = 5.0  # of live values before the link is there
_POLL_S = 0.01
_PATIENCE_S = 300


@dataclass
class Stage:
    """One gateway, its link, and a hub as people run it."""

    bedside: Bedside
    link: LinkProxy
    receipts: ReceiptListener
    hub: HubProcess
    database: Path
    day: Day


async def measure(measuring: Measuring) -> None:
    """Add uplink.drain_day_s, and how live values fared meanwhile."""
    hours = measuring.plan.hours
    measuring.tell(f"{hours:g} hours of a monitor's log are written to a board's flash")
    async with _stage(measuring) as stage:
        measuring.tell("the log drains at 100 ms round trip and 1 Mbit/s, beside live values")
        await _drain(stage, measuring)


@contextlib.asynccontextmanager
async def _stage(measuring: Measuring) -> AsyncIterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="vitalkeep-bench-") as name:
        folder = Path(name)
        broker = make_broker()
        database = folder / "hub.db"
        hub = HubProcess(folder, f"sqlite:///{database}", f"mqtt://127.0.0.1:{broker.port}")
        vault = Vault.create(folder / "vault")
        vault.add_gateway(GATEWAY, "bench", ROOT, LOG_ID)
        link = LinkProxy("127.0.0.1", broker.port, _ONE_WAY_S, _BYTES_PER_S)
        receipts = ReceiptListener(broker.port, vault.site_id)
        bedside = None
        try:
            port = await link.start()
            bedside = Bedside(folder / "board", [(vault.site_id, port)], "A" * _DEVICES)
            board = bedside.board
            plan = measuring.plan
            flash = board.root / "flash.bin"
            day = await asyncio.to_thread(write_day, flash, board.board, plan.hours, plan.seed)
            await broker.start()
            await hub.start()
            await receipts.start()
            board.plug_cable(False)
            await board.start()
            await board.wait_for("listening")
            yield Stage(bedside, link, receipts, hub, database, day)
        finally:
            if bedside is not None:
                await bedside.board.close()
            await receipts.close()
            await hub.close()
            await link.close()
            broker.stop()


class _Commits:
    """When each live value was there for a reader of the hub's database."""

    def __init__(self, database: Path) -> None:
        self._connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        self._counts: dict[int, int] = {}
        self.committed_at: dict[tuple[int, int], float] = {}

    def look(self) -> None:
        """Take in what was committed since the last look."""
        query = "SELECT rowid, count FROM observations WHERE device <> ?"
        blocks = self._connection.execute(query, (DEVICE,)).fetchall()
        now = time.monotonic()
        for rowid, count in blocks:
            if self._counts.get(rowid) != count:
                self._counts[rowid] = count
                self._take(rowid, now)

    def _take(self, rowid: int, now: float) -> None:
        query = "SELECT device, first_ms, stored_ms, data FROM observations WHERE rowid = ?"
        device, *block = self._connection.execute(query, (rowid,)).fetchone()
        uart = int(device.rpartition("-")[2])
        for seen in observations(*block):
            spo2, pulse = seen.readings["SpO2"][0], seen.readings["PR"][0]
            self.committed_at.setdefault((uart, mark_of(spo2, pulse)), now)

    def monitor(self) -> int:
        """Return how many observations of the day are there, decoded."""
        query = "SELECT coalesce(sum(count), 0) FROM observations WHERE device = ?"
        return int(self._connection.execute(query, (DEVICE,)).fetchone()[0])

    def close(self) -> None:
        self._connection.close()


async def _drain(stage: Stage, measuring: Measuring) -> None:
    bedside, day = stage.bedside, stage.day
    commits = _Commits(stage.database)
    devices = asyncio.create_task(_say_for_ever(bedside))
    try:
        await asyncio.sleep(_DARK_S)
        before_s = stage.hub.processor_s()
        bedside.board.plug_cable(True)
        up_at = time.monotonic()
        while stage.receipts.missing(0, day.closed):
            _be_patient(up_at, stage)
            commits.look()
            await asyncio.sleep(_POLL_S)
        drained_at = time.monotonic()
        after_s = stage.hub.processor_s()
        await end_tasks([devices])
        while len(commits.committed_at) < len(bedside.said_at):
            _be_patient(up_at, stage)
            commits.look()
            await asyncio.sleep(_POLL_S)
        # Receipted first, decoded then.
        while commits.monitor() < day.rows:
            _be_patient(up_at, stage)
            await asyncio.sleep(_POLL_S)
        monitor = commits.monitor()
    finally:
        await end_tasks([devices])
        commits.close()
    if monitor != day.rows:
        measuring.report.failures.append(
            f"drain: {monitor} of {day.rows} observations are at the hub"
        )
    _report(stage, measuring, commits, up_at, drained_at)
    took_s = None if before_s is None or after_s is None else after_s - before_s
    # Of a time that is missed, this says whether the machine was too busy to give it.
    measuring.report.figures.append(Figure("uplink.drain_hub_cpu_s", took_s, "s"))


def _be_patient(since: float, stage: Stage) -> None:
    if time.monotonic() - since > _PATIENCE_S:
        left = stage.receipts.missing(0, stage.day.closed)
        raise RigError(
            f"bench: the log did not drain in {_PATIENCE_S} s; {left} sectors are left.",
            "The uplink may be broken: run the tests (make test).",
        )
    if not stage.bedside.board.powered:
        raise RigError("bench: the board has died.", "\n".join(stage.bedside.board.output[-5:]))


async def _say_for_ever(bedside: Bedside) -> None:
    while True:
        for uart in range(FIRST_UART, FIRST_UART + _DEVICES):
            bedside.say(uart)
            await asyncio.sleep(1 / _DEVICES)


def _report(
    stage: Stage, measuring: Measuring, commits: _Commits, up_at: float, drained_at: float
) -> None:
    day, add = stage.day, measuring.report.figures.append
    took_s = drained_at - up_at
    hours = measuring.plan.hours
    note = f"{day.bytes:,d} bytes of log, {day.rows:,d} observations of {day.recording}"
    if hours != _DAY_H:
        note += f"; extrapolated from {hours:g} hours"
    day_s = took_s * _DAY_H / hours
    add(Figure("uplink.drain_day_s", day_s, "s", limit=_DRAIN_MAX_S, note=note))
    add(Figure("uplink.drain_bytes_per_s", day.bytes / took_s, "B/s", MORE))
    live = sorted(_live(stage, commits, up_at))
    if not live:
        return  # so little was drained before anything was said
    first_at = min(committed_at for _, committed_at in live)
    name = "uplink.first_live_s"
    add(Figure(name, first_at - up_at, "s", limit=_FIRST_LIVE_MAX_S))
    waits = [1000 * (at - said) for said, at in live if first_at <= said <= drained_at]
    for label, percent, limit in (
        ("p50", 50, None),
        ("p99", 99, _LIVE_P99_MAX_MS),
        ("max", 100, None),
    ):
        value = percentile(waits, percent) if waits else None
        note = f"{len(waits)} values while the backlog drained" if percent == 99 else ""
        add(Figure(f"uplink.live_ms.{label}", value, "ms", limit=limit, note=note))


def _live(stage: Stage, commits: _Commits, up_at: float) -> Iterator[tuple[float, float]]:
    """Yield (said, committed) of the values that came after the link did."""
    for key, said_at in stage.bedside.said_at.items():
        if said_at >= up_at:
            yield said_at, commits.committed_at[key]
