"""`vitalkeep simulate` as a person calls it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import serial

from bridge.core.protocols import make_decoder
from tests.support.decoding import decode

VITALKEEP = [str(Path(sys.executable).parent / "vitalkeep")]


def test_a_named_port_is_made_read_and_removed(tmp_path: Path) -> None:
    port = tmp_path / "oximeter"
    command = [*VITALKEEP, "simulate", "masimo_set", "--port", str(port), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        assert running.stdout is not None
        assert b"9600 8N1" in running.stderr.readline()
        with serial.Serial(str(port), 9600, timeout=5) as line:
            heard = line.read_until(b"\n") + line.read_until(b"\n")
        running.send_signal(signal.SIGINT)
        found = json.loads(running.stdout.read())
    assert running.returncode == 0
    assert decode(make_decoder("masimo_set", {}), heard)
    assert found["protocol"] == "masimo_set"
    assert found["observations"] >= 2
    assert not os.path.lexists(port)


def test_seconds_end_it_and_faults_are_counted() -> None:
    start_s = time.monotonic()
    command = [*VITALKEEP, "simulate", "masimo_set", "--seconds", "2.5", "--json"]
    done = subprocess.run(
        [*command, "--faults", '{"flip": 1}'], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["spoilt"] >= 2
    assert found["observations"] == 0
    assert time.monotonic() - start_s >= 2.5


def test_what_cannot_be_is_told_without_a_traceback(tmp_path: Path) -> None:
    plain = tmp_path / "file"
    plain.touch()
    for arguments in (
        ["--port", str(plain)],
        ["--faults", "{"],
        ["--faults", "/no/such/plan"],
        ["--options", '{"speed": 1}'],
    ):
        done = subprocess.run(
            [*VITALKEEP, "simulate", "masimo_set", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "Traceback" not in done.stderr


def test_a_device_can_be_set(tmp_path: Path) -> None:
    port = tmp_path / "oximeter"
    options = {"format": 8}
    command = [*VITALKEEP, "simulate", "nonin", "--port", str(port), "--json", "--seconds", "5"]
    command += ["--options", json.dumps(options), "--setting", "19200 8N1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        assert b"19200 8N1" in running.stderr.readline()
        with serial.Serial(str(port), 19200, timeout=4) as line:
            heard = line.read(8)
        running.send_signal(signal.SIGINT)
        running.communicate()
    events = decode(make_decoder("nonin", options), heard)
    assert [event[0] for event in events] == ["observation"] * 2
