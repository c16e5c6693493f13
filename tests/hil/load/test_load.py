"""Gateways of a load on a real broker with a real hub: they come, are cut, and come back."""

import asyncio
from pathlib import Path

import pytest

from hil.load import judge, shape
from hil.load.logs import log_path, make_logs
from hil.load.replay import Replay
from hil.load.stage import Setting, Stage
from vitalkeep.hub.store import Store

COUNT = 12
pytestmark = pytest.mark.mosquitto


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_logs(COUNT, 300 + shape.AGE_MAX_S, 1, folder=tmp_path_factory.mktemp("logs"))


@pytest.mark.parametrize("tls", [False, True])
def test_all_are_receipted_cut_off_and_catch_up(logs: Path, tls: bool) -> None:
    async def story() -> None:
        async with Stage(Setting(COUNT, tls=tls), logs) as stage:
            load = stage.make_load()
            try:
                await load.start()
                await stage.all_up(load)
                await load.cut()
                assert (await load.state())["connected"] == 0
                await load.restore(200)
                await stage.all_up(load)
                await load.speed(0.0)
                await stage.all_up(load)
                tally, marks = await load.tally(), await load.marks()
            finally:
                await load.close()
            check(stage, tally, marks)

    asyncio.run(story())


def check(
    stage: Stage, tally: dict[str, dict[str, float]], marks: list[dict[tuple[int, int], int]]
) -> None:
    """Everything is at the site as it was written, and nothing went wrong at a gateway."""
    counts = tally["counts"]
    assert not counts.get("receipts_forged")
    assert not counts["receipt_mismatches"]
    assert counts["values"] > COUNT * 200 * 10
    assert tally["wait_ms"]["count"] > 0
    store = Store(stage.database)
    for who, said in zip(stage.identities, marks, strict=True):
        log = Replay(log_path(stage.logs, who.number))
        log.advance(200_000)
        assert all(said[(cls, 0)] >= log.newest(cls)[1] for cls in range(3))
        found = judge.compare(who, log, said, store.load(judge.places(who, said)))
        assert found.good, found
    store.close()


def test_flat_out_each_gateway_has_its_next_commit_when_the_last_is_receipted(logs: Path) -> None:
    async def story() -> dict[str, dict[str, float]]:
        async with Stage(Setting(COUNT), logs) as stage:
            load = stage.make_load()
            try:
                await load.start()
                await stage.all_up(load)
                await load.tally()
                await load.speed(None)
                found: dict[str, dict[str, float]] = {"counts": {}}
                while found["counts"].get("logs_at_their_end", 0) < COUNT:
                    await asyncio.sleep(0.2)
                    now = await load.tally()
                    for name, count in now["counts"].items():
                        found["counts"][name] = found["counts"].get(name, 0) + count
                return found
            finally:
                await load.close()

    counts = asyncio.run(story())["counts"]
    # 300 seconds of log took less than that, and no run carried many commits.
    assert counts["landed"] > COUNT * 250
