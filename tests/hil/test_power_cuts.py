"""The power-cut harness holds on the real journal, and finds what is broken on purpose."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bridge.core.journal import layout
from bridge.core.journal.class_log import ClassLog
from bridge.core.journal.flash import SectorFlash
from bridge.core.journal.keyring import KeyRing, Slot
from bridge.core.journal.ring import Journal
from hil.commands.power_cuts import power_cuts
from hil.power_cuts import judge
from hil.power_cuts.campaign import explore
from hil.power_cuts.lineage import Lineage, cut_at


def test_thousands_of_cuts_break_nothing() -> None:
    command = [sys.executable, "-m", "vitalkeep", "power-cuts"]
    done = subprocess.run(
        [*command, "--cuts", "2500", "--seed", "21", "--jobs", "2", "--json"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    said = json.loads(done.stdout)
    assert said["failures"] == []
    assert done.returncode == 0, done.stderr
    assert said["cuts"] >= 2500
    assert said["holds"]
    assert set(said["invariants"]) == set(judge.INVARIANTS)


def _forget_a_commit(log: ClassLog) -> int:
    log.writer.finish()
    log.begin(48)
    return 1


def _say_nothing(journal: Journal, cls: int, number: int) -> None:
    pass


def _forget_a_key(ring: KeyRing, slot: Slot) -> None:
    ring.slots.remove(slot)


def _erase_in_recovery(real: Callable[..., Any]) -> Callable[..., Any]:
    def recover(journal: Journal) -> None:
        real(journal)
        journal.pool.erase(journal.pool.count - 1)

    return recover


_SABOTAGE: dict[str, tuple[type, str, Callable[..., Any], str]] = {
    "a commit that is not programmed": (
        ClassLog, "commit", lambda real: _forget_a_commit, judge.MISSING,
    ),
    "no gap record": (Journal, "_say_gap", lambda real: _say_nothing, judge.NOTICE),
    "an erase in recovery": (Journal, "recover", _erase_in_recovery, judge.RECOVERY),
    "a key that is forgotten and not cleared": (
        KeyRing, "clear", lambda real: _forget_a_key, judge.RATCHET,
    ),
    "a seal over other bytes": (
        SectorFlash, "tag", lambda real: lambda *_: bytes(layout.SEAL_TAG_SIZE), judge.SEALS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", _SABOTAGE)
def test_what_is_broken_on_purpose_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, method, make, invariant = _SABOTAGE[name]
    monkeypatch.setattr(owner, method, make(getattr(owner, method)))
    verdict = explore(2, 200)
    assert verdict.broken[invariant] > 0, verdict


def test_a_keystream_used_twice_is_found() -> None:
    lineage = Lineage(1)
    watched = lineage.judge
    stream = lineage.gateway.cipher(b"k" * 32)
    for data in (b"\x01abc", b"\x01abc", b"\x01abd"):
        assert watched.failures == []
        stream.encrypt(bytes(16), bytearray(16))
        with contextlib.suppress(OSError):
            watched.writeblocks(0, data, 300)
    assert {invariant for invariant, _ in watched.failures} == {judge.COUNTERS}


def test_one_cut_is_the_same_with_and_without_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "_say_gap", _say_nothing)
    failure = next(item for item in explore(2, 200).failures if item.operation)
    again = cut_at(failure.seed, failure.operation, failure.tear)
    assert (failure.invariant, failure.what) in again


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(power_cuts, arguments)


def test_one_named_cut_can_be_repeated() -> None:
    result = _run("--cut", "3:20:1")
    assert result.exit_code == 0, result.output
    assert "1 cuts in 1 workloads" in result.output
    assert result.output.count(" holds\n") == len(judge.INVARIANTS)


def test_failures_end_with_1_and_name_their_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClassLog, "commit", _forget_a_commit)
    result = _run("--cut", "3:20:1")
    assert result.exit_code == 1
    assert "BROKEN" in result.output
    assert "vitalkeep power-cuts --cut 3:20:1" in result.output


@pytest.mark.parametrize("cut", ["3", "3:0:1", "3:1:9", "a:b:c", "3:99999:0"])
def test_a_cut_that_cannot_be_is_refused(cut: str) -> None:
    result = _run("--cut", cut)
    assert result.exit_code == 2
    assert "Error" in result.output
