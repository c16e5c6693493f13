"""`vitalkeep bench uplink` with small sizes: nothing is lost, every figure is there."""

import asyncio
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from bridge.core.wire import RUN_BYTES_MAX
from hil.bench.figures import Figure, Report
from hil.bench.uplink import memory, umqtt
from hil.bench.uplink.bedside import MARKS_MAX, Bedside, mark_of
from hil.bench.uplink.brokers import find_mosquitto
from hil.bench.uplink.command import WORK, measure
from hil.bench.uplink.crowd import Crowd
from hil.bench.uplink.day import write_day
from hil.bench.uplink.failover import DEATHS
from hil.bench.uplink.plan import PARTS, Measuring, Plan

SMALL = Plan(seconds=0.3, hours=0.5, runs=1, gateways=30)


def absent() -> Path:
    raise umqtt.Absent("not here")


@pytest.fixture(scope="module")
def small() -> tuple[Report, list[str]]:
    """Every part at once: they wait more than they work."""
    told: list[str] = []
    measuring = Measuring(SMALL, Report({}), told.append)

    async def work() -> None:
        await asyncio.gather(*[part(measuring) for part in WORK.values()])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(umqtt, "fetch", absent)
        # It has tests of its own, and takes its time.
        patch.setattr(memory, "heap_figures", list)
        asyncio.run(work())
    return measuring.report, told


@pytest.fixture
def figures(small: tuple[Report, list[str]]) -> dict[str, Figure]:
    return {figure.name: figure for figure in small[0].figures}


def test_nothing_came_out_wrong(small: tuple[Report, list[str]]) -> None:
    report, _ = small
    assert report.failures == []
    json.dumps(report.as_dict())
    assert len(report.as_table()) > len(report.figures)


def test_publishes_and_bytes_are_counted_at_every_distance(figures: dict[str, Figure]) -> None:
    for trip in (0, 20, 100):
        count = figures[f"uplink.publishes_per_s.rtt{trip}ms"]
        size = figures[f"uplink.bytes_per_s.rtt{trip}ms"]
        assert count.value
        assert size.value == pytest.approx(200 * count.value)
        assert count.better == "more"


def test_an_absent_peer_is_said_loudly(
    small: tuple[Report, list[str]], figures: dict[str, Figure]
) -> None:
    report, told = small
    assert report.skipped["umqtt.simple"] == "not here"
    assert "SKIPPED umqtt.simple: not here" in told
    assert figures["uplink.publishes_per_s.rtt0ms"].peer is None


def test_a_log_drains_whole_beside_live_values(figures: dict[str, Figure]) -> None:
    day = figures["uplink.drain_day_s"]
    assert day.value
    assert "1,800 observations" in day.note
    assert "extrapolated from 0.5 hours" in day.note
    assert (day.limit, figures["uplink.first_live_s"].limit) == (30, 2)
    assert figures["uplink.first_live_s"].value
    assert figures["uplink.live_ms.p99"].limit == 500
    assert "uplink.drain_hub_cpu_s" in figures


def test_every_kind_of_death_is_survived(
    small: tuple[Report, list[str]], figures: dict[str, Figure]
) -> None:
    kinds = set(DEATHS) - (set() if find_mosquitto() else {"paused"})
    for kind in kinds:
        assert figures[f"uplink.failover_class_a_s.{kind}.max"].value is not None
        assert figures[f"uplink.failover_others_s.{kind}.median"].value is not None
    worst = max(figures[f"uplink.failover_others_s.{kind}.max"].value or 0 for kind in kinds)
    assert figures["uplink.failover_others_s.max"].value == worst
    assert (kinds == set(DEATHS)) != ("failover, paused broker" in small[0].skipped)


def test_lines_lose_nothing_while_the_link_flaps(figures: dict[str, Figure]) -> None:
    assert figures["uplink.uart_overruns"].value == 0
    assert "none lost" in figures["uplink.uart_overruns"].note
    stall = figures["uplink.stall_ms.max"]
    assert (stall.value is None) == bool(stall.note)


def test_a_crowd_comes_back_beside_a_fixed_pause(figures: dict[str, Figure]) -> None:
    for name in ("uplink.crowd_back_s", "uplink.crowd_peak_attempts_per_s"):
        assert figures[name].value
        assert figures[name].peer_value


def test_a_run_goes_from_flash_to_the_socket_uncopied(figures: dict[str, Figure]) -> None:
    assert figures["uplink.copied_bytes_per_run"].value == 0
    assert 0 < (figures["uplink.allocations_per_run"].value or 0) < 4 * RUN_BYTES_MAX


def test_heap_is_what_its_own_measurement_says(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("hil.bench.heap")
    found = Figure("uplink.heap_bytes", 1, "B")
    module.measure = lambda: 1  # type: ignore[attr-defined]
    module.figures = lambda heap: [found]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hil.bench.heap", module)
    assert memory.heap_figures() == [found]
    monkeypatch.setitem(sys.modules, "hil.bench.heap", None)  # as if it were not there
    (absent_one,) = memory.heap_figures()
    assert absent_one.value is None
    assert absent_one.note


def test_every_part_has_its_work() -> None:
    assert set(WORK) == set(PARTS)


def test_one_part_alone_is_a_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vitalkeep", "bench", "uplink", "--json"]
    command += ["--part", "stalls", "--seconds", "0.2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["good"]
    assert found["context"]["subject"] == "uplink"
    assert {figure["name"].split(".")[0] for figure in found["figures"]} == {"uplink"}


def test_a_part_that_was_not_asked_for_is_not_measured() -> None:
    assert measure(Plan(parts=()), print).figures == []


# --- what the parts are made of ---


def test_values_are_told_apart(tmp_path: Path) -> None:
    bedside = Bedside(tmp_path, [(b"site---1", 1)])
    try:
        assert [bedside.say(0) for _ in range(3)] == [0, 1, 2]
        assert set(bedside.said_at) == {(0, 0), (0, 1), (0, 2)}
    finally:
        asyncio.run(bedside.board.close())
    seen = {(60 + n % 40, 30 + n // 40 % 200) for n in range(MARKS_MAX)}
    assert len(seen) == MARKS_MAX
    assert {mark_of(str(spo2), str(bpm)) for spo2, bpm in seen} == set(range(MARKS_MAX))


def test_a_day_is_written_by_the_real_journal(tmp_path: Path) -> None:
    bedside = Bedside(tmp_path, [(b"site---1", 1)])
    asyncio.run(bedside.board.close())
    day = write_day(tmp_path / "flash.bin", bedside.board.board, 0.5, 1)
    assert day.rows == 1800
    assert day.closed >= 1
    assert day.bytes >= 4096 * day.closed
    assert day.bytes < 8 * day.rows


def test_a_peak_counts_what_comes_together() -> None:
    crowd = Crowd([0.0, 0.5, 0.51, 0.52, 0.9])
    assert crowd.peak_per_s() == 30
    assert Crowd().peak_per_s() == 0


def _archive(folder: Path, content: bytes) -> Path:
    source = folder / "simple.py"
    source.write_bytes(content)
    path = folder / f"{umqtt.PACKAGE}-{umqtt.VERSION}.tar.gz"
    with tarfile.open(path, "w:gz") as packed:
        packed.add(source, f"{umqtt.PACKAGE}-{umqtt.VERSION}/umqtt/simple.py")
    return path


def test_a_peer_with_another_hash_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    umqtt.cache_folder().mkdir(parents=True)
    path = _archive(umqtt.cache_folder(), b"import os\n")
    with pytest.raises(umqtt.Absent, match="SHA-256"):
        umqtt.fetch()
    assert not path.exists()
    assert not (umqtt.cache_folder() / "umqtt").exists()


def test_the_cache_is_in_the_users_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert umqtt.cache_folder().is_relative_to(Path.home() / ".cache" / "vitalkeep")
