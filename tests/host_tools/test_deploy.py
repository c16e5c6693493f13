"""What a hub is installed with: as far as that can be read without installing it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "host_tools" / "deploy"
UNIT = DEPLOY / "vitalkeep-hub.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_understands_the_unit(tmp_path):
    # The program is elsewhere here; everything else is as it is installed.
    there = tmp_path / UNIT.name
    there.write_text(UNIT.read_text().replace("/opt/vitalkeep/bin/vitalkeep", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(there)], capture_output=True, text=True, timeout=60
    )
    ours = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert ours == []
    assert done.returncode == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_unit_lets_the_hub_make_the_calls_that_it_needs():
    def members(name):
        command = ["systemd-analyze", "syscall-filter", name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        words = [line.split()[0] for line in done.stdout.splitlines()[1:] if line.strip()]
        return calls([word for word in words if word != "#"])

    def calls(words):
        found = set()
        for word in words:
            found |= members(word) if word.startswith("@") else {word}
        return found

    allowed = set()
    for value in re.findall(r"^SystemCallFilter=(.+)$", UNIT.read_text(), re.M):
        if value.startswith("~"):
            allowed -= calls(value[1:].split())
        else:
            allowed |= calls(value.split())
    # The clock's state, and the priority and memory of what decodes.
    assert {"adjtimex", "setpriority", "prlimit64"} <= allowed
    assert not {"sched_setscheduler", "clock_settime", "mount", "reboot"} & allowed


def test_image_copies_what_there_is_and_runs_as_nobody_special():
    text = (DEPLOY / "Containerfile").read_text()
    for names in re.findall(r"^COPY (?!--from)(.+) /", text, re.M):
        for name in names.split():
            assert (ROOT / name).exists(), name
    assert re.search(r"^USER ([1-9]\d+):\1$", text, re.M)
    # An image's name without a registry: whoever builds it chooses where from.
    assert all("/" not in name for name in re.findall(r"^FROM (\S+)", text, re.M))


def test_unit_starts_the_command_that_there_is():
    from vitalkeep.commands.hub import hub

    (line,) = re.findall(r"^ExecStart=\S+ hub (.+)$", UNIT.read_text(), re.M)
    options = {option for parameter in hub.params for option in parameter.opts}
    assert {word for word in line.split() if word.startswith("--")} <= options
