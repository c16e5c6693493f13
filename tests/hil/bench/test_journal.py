"""`vitalkeep bench journal` with small sizes: what it counts is right, what it times is there."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.core.journal import layout
from hil.bench import size
from hil.bench.figures import Figure, Report
from hil.bench.journal import Plan, measure
from hil.bench.recording import model_recording
from hil.bench.runner import Runner
from hil.errors import RigError

TRACE = "time_s,SpO2[%],Temp[degC]\n" + "".join(
    f"{second},{'' if second % 9 == 4 else 90 + second % 7},{36 + second % 5 / 10:.1f}\n"
    for second in range(300)
)


@pytest.fixture
def no_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITALKEEP_VITALS", str(tmp_path / "nowhere"))


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def quiet(text: str) -> None:
    assert text


def run(**options: Any) -> tuple[Report, dict[str, Figure]]:
    report = measure(Plan(**options), quiet)
    return report, {figure.name: figure for figure in report.figures}


@pytest.mark.usefixtures("no_recordings")
def test_absent_recordings_are_said_loudly_and_the_model_is_measured() -> None:
    told: list[str] = []
    report = measure(Plan(parts=("size",), sectors=1), told.append)
    assert set(report.skipped) >= {"or1_intellivue_1hz", "bidmc_05_1hz"}
    assert any(line.startswith("SKIPPED or1_draeger_1hz") for line in told)
    figures = {figure.name: figure for figure in report.figures}
    ours = figures["journal.bytes_per_s.model_1hz.1s"]
    assert ours.peer == "JSON lines"
    assert ours.value is not None
    assert (ours.ratio or 0) > 10
    assert report.good


@pytest.mark.usefixtures("no_recordings")
def test_a_figure_that_reads_back_wrong_has_no_value_and_fails_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise size.Inexact("sector 0: not what was written")

    monkeypatch.setattr(size, "measure", refuse)
    report, figures = run(parts=("size",), sectors=1)
    assert figures["journal.bytes_per_s.model_1hz.1s"].value is None
    assert not report.good
    assert "not what was written" in report.failures[0]


def test_a_trace_of_ones_own_is_measured_at_the_intervals_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "bed.csv"
    path.write_text(TRACE)
    _, figures = run(parts=("size",), sectors=1, trace=path, commits_s=(1.0, 2.5))
    json_figures = [name for name, figure in figures.items() if figure.peer == "JSON lines"]
    assert json_figures == ["journal.bytes_per_s.bed.1s", "journal.bytes_per_s.bed.2.5s"]


@pytest.mark.usefixtures("no_recordings")
def test_appends_are_counted_against_littlefs() -> None:
    report, figures = run(parts=("append",), seconds=40, repeats=1)
    assert figures["journal.append_erases"].value == 0
    # One program an append, and a little for each sector's opening.
    programs = figures["journal.programs_per_day"].value or 0
    assert 86400 <= programs < 1.5 * 86400
    for name in ("append_per_s", "append_p50_ms", "append_p99_ms", "append_max_ms"):
        figure = figures[f"journal.{name}"]
        assert (figure.value or 0) > 0
        assert figure.peer == "littlefs, JSON lines"
        assert (figure.peer_value or 0) > 0
    assert (figures["journal.erases_per_day"].ratio or 0) > 100
    assert report.context["appended"] == "model_1hz"
    assert "MicroPython" in report.context["versions"]["micropython"]


def test_append_run_covers_whole_sectors(runner: Runner) -> None:
    found = runner.run("append", model_recording(1), count=40)
    assert found["count"] >= 40
    assert found["opened"][-1] == found["count"] - 1
    assert len(found["us"]) == len(found["pages_of"]) == len(found["erases_of"]) == found["count"]
    # The log is full, so each sector that was opened needed one erase, and now and then the
    # key region one more.
    opened = len(found["opened"])
    assert opened <= found["erases"] <= opened + 1
    # Nearly every append is one page, some two; the opening of a sector takes a few more.
    assert found["count"] <= found["pages"] <= 1.2 * found["count"] + 30 * opened


def test_littlefs_stores_every_line(runner: Runner) -> None:
    recording = model_recording(1)
    found = runner.run("littlefs", recording, count=30)
    assert found["count"] == 30
    assert found["stored"] > 30 * 150
    assert found["bytes"] > found["stored"]
    assert found["pages"] >= 30


def test_mount_reads_one_header_a_sector_and_holds_three_bytes_of_each() -> None:
    _, figures = run(parts=("mount",), mounted=(32, 96), repeats=2)
    small = figures["journal.mount_bytes_read.128k"].value or 0
    large = figures["journal.mount_bytes_read.384k"].value or 0
    assert small >= 32 * layout.HEADER_SIZE
    # Besides the headers the open sectors are read, of either log alike.
    assert large - small == pytest.approx(64 * layout.HEADER_SIZE, abs=3 * layout.SECTOR_SIZE)
    assert figures["journal.held_bytes_per_sector"].value == pytest.approx(3, abs=2)


def test_memory_meter_sees_an_allocation_and_counts_every_append(runner: Runner) -> None:
    found = runner.run("memory", model_recording(1), count=20)
    assert found["control"] >= 1000
    assert found["appends"] == 20
    assert 0 <= found["allocating"] <= 20
    assert found["held"] > 1000
    assert (found["bytes"] == 0) == (found["allocating"] == 0)


def test_working_set_waits_for_32_bits() -> None:
    _, figures = run(parts=("memory",))
    figure = figures["journal.working_set_bytes"]
    assert figure.value is None
    assert "64-bit" in figure.note


def test_a_job_that_fails_is_a_tool_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RigError) as caught:
        Runner(tmp_path).run("append", model_recording(1))
    assert "append" in caught.value.message
    assert caught.value.hint
    assert "KeyError" in capsys.readouterr().err


def test_what_is_no_micropython_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RigError, match="is no MicroPython"):
        Runner(tmp_path, sys.executable).version()
    with pytest.raises(RigError, match="is no MicroPython"):
        Runner(tmp_path, str(tmp_path / "nowhere")).version()
    assert "MicroPython" in Runner(tmp_path).version()


def command(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vitalkeep", "bench", "journal", *options],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_command_prints_one_json_object_and_its_progress_apart(tmp_path: Path) -> None:
    path = tmp_path / "bed.csv"
    path.write_text(TRACE)
    options = ("--json", "--part", "size", "--sectors", "1", "--trace", str(path), "--commit", "4")
    done = command(*options)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    names = {"name", "value", "unit", "peer", "peer_value", "ratio"}
    assert all(names <= set(figure) for figure in report["figures"])
    assert report["figures"][0]["name"] == "journal.bytes_per_s.bed.4s"
    assert report["good"] is True
    assert report["context"]["command"].startswith("vitalkeep bench journal --json")
    assert set(report["context"]["versions"]) >= {"vitalkeep", "format", "python", "cbor2"}
    assert "bed, a commit every 4 s" in done.stderr


def test_command_prints_a_table_for_people(tmp_path: Path) -> None:
    path = tmp_path / "bed.csv"
    path.write_text(TRACE)
    done = command("--part", "size", "--sectors", "1", "--trace", str(path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split()[:3] == ["figure", "value", "unit"]
    assert "journal.bytes_per_s.bed.1s " in done.stdout


def test_command_refuses_a_bad_trace_in_two_lines(tmp_path: Path) -> None:
    path = tmp_path / "bed.csv"
    path.write_text("time_s,SpO2[%]\n0,97\n0,98\n")
    done = command("--part", "size", "--trace", str(path))
    assert done.returncode == 1
    assert "does not go forward" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_file_is_left_behind(tmp_path: Path) -> None:
    runner = Runner(tmp_path, shutil.which("false") or "false")
    with pytest.raises(RigError):
        runner.run("append", model_recording(1), count=1)
    assert list(tmp_path.iterdir()) == []
