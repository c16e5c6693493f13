"""`vitalkeep demo` as a user runs it: the whole story, bounded, and one JSON object at the end."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hil.story import SETTLE_S, SHORTEST_S

VITALKEEP = [sys.executable, "-m", "vitalkeep"]
DEMO = [*VITALKEEP, "demo"]


def left_behind(folder: Path) -> list[str]:
    """Return what runs in `folder` or was told of it: boards, the hub, its broker."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            where = os.readlink(entry / "cwd")
        except (OSError, UnicodeDecodeError):
            continue
        if str(folder) in command or str(folder) in where:
            found.append(command)
    return found


def run(*options: str) -> tuple[dict[str, object], str]:
    done = subprocess.run(
        [*DEMO, "--seconds", str(SHORTEST_S), "--json", *options],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout), done.stderr


def check(report: dict[str, object]) -> None:
    seen = report["observations"]
    assert isinstance(seen, dict)
    gap = seen["in_power_gap"]
    # A bed's devices say 3.5 observations a second until the account is made.
    on_the_wire = seen["produced"] + report["damaged_on_the_wire"]
    assert on_the_wire > 3 * report["beds"] * (SHORTEST_S - SETTLE_S - 1)
    assert seen["produced"] == seen["committed"] + gap["gateway_off"] + gap["not_yet_committed"]
    assert seen["lost"] == seen["duplicated"] == seen["invented"] == 0
    assert report["uart_overruns"] == 0
    assert report["good"] is True
    assert len(report["outages"]) == len(report["power_cuts"]) == 1
    assert set(report["rto_s"]) == set(report["rpo_s"]) == set("ABC")
    assert all("MicroPython" in version for version in report["micropython"])
    for bed in report["account"].values():
        for entry in bed.values():
            assert entry["stored_s"] > 10
            assert entry["unknown_s"] == 0
    assert "gateway without power" in report["account"]["bed-2"]["A"]["gap_s"]


def check_rebuilt(folder: Path) -> None:
    """With the hub gone, vault and flash of the gateways give every byte of its store again."""
    images = folder / "images"
    images.mkdir()
    for flash in folder.glob("bed-*/flash.bin"):
        shutil.copy(flash, images / f"{flash.parent.name}.bin")
    vault = ["--vault", str(folder / "vault")]
    anew, burnt = folder / "anew", f"sqlite:///{folder / 'hub.db'}"
    there = ["--data", str(anew), "--from", f"flash:{images}"]
    proof = ["--database", f"sqlite:///{anew / 'hub.db'}", "--against", burnt, "--json"]
    for command in (["restore", *vault, *there], ["verify", *vault, *proof]):
        done = subprocess.run(
            [*VITALKEEP, *command], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert found["compared"] == found["sectors"] > 0, found


def test_story_loses_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    report, told = run("--keep", str(tmp_path))
    check(report)
    assert "loses power" in told
    assert left_behind(tmp_path) == []
    assert (tmp_path / "bed-1" / "flash.bin").stat().st_size > 1_000_000
    check_rebuilt(tmp_path)


def test_story_on_real_broker_and_database(mosquitto: str, postgres: str) -> None:
    report, _ = run("--broker", mosquitto, "--database", postgres)
    check(report)


def test_trace_is_replayed(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    rows = "".join(f"{second},{80 + second % 19},{60 + second % 50}\n" for second in range(60))
    trace.write_text("time_s,SpO2[%],PULSE[bpm]\n" + rows)
    report, _ = run("--trace", str(trace), "--beds", "2")
    assert report["beds"] == 2
    check(report)


def test_spoilt_messages_give_no_false_value() -> None:
    report, _ = run("--beds", "2", "--noise", "0.08")
    assert report["damaged_on_the_wire"] > 5
    check(report)


def test_ctrl_c_stops_every_process(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [*DEMO, "--keep", str(tmp_path), "--http", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert demo.stdout is not None
    while "live page" not in (line := demo.stdout.readline()):
        assert line
    deadline = time.monotonic() + 20
    while len(left_behind(tmp_path)) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    # As a terminal does it: to every process of the foreground at once.
    os.killpg(demo.pid, signal.SIGINT)
    assert demo.wait(20) == 0
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--seconds", "5"], "--seconds"),
        (["--seconds", "30", "--trace", "nowhere.csv"], "nowhere.csv"),
        (["--seconds", "30", "--trace", __file__], "line 1"),
    ],
)
def test_wrong_options_are_one_clear_sentence(options: list[str], words: str) -> None:
    done = subprocess.run(
        [*DEMO, *options], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_page_port_in_use_is_one_clear_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*DEMO, "--http", f"127.0.0.1:{port}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode != 0
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr
