"""A new configuration on trial: whatever is cut, one whole configuration is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bridge.health import trial

OLD, NEW = "the old one", "the new one"


class Cut(Exception):
    """The power went."""


class Cutter:
    """The os module of a board whose power goes at the nth change of a name."""

    def __init__(self, left: int) -> None:
        self.left = left

    def _change(self, job, *names: str) -> None:
        if self.left == 0:
            raise Cut
        self.left -= 1
        job(*names)

    def rename(self, old: str, new: str) -> None:
        self._change(os.rename, old, new)

    def remove(self, name: str) -> None:
        self._change(os.remove, name)

    def stat(self, name: str) -> os.stat_result:
        return os.stat(name)


@pytest.fixture(autouse=True)
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path(trial.NOW).write_text(OLD)
    Path(trial.NEW).write_text(NEW)
    return tmp_path


def holds() -> str:
    return Path(trial.NOW).read_text()


def test_without_a_change_nothing_is_on_trial() -> None:
    assert not trial.start()
    assert holds() == OLD


def test_new_one_is_kept() -> None:
    trial.switch()
    assert trial.start()
    assert holds() == NEW
    trial.keep()
    assert not trial.start()
    assert holds() == NEW
    assert sorted(os.listdir()) == [trial.NOW]


def test_board_that_does_not_come_back_takes_the_old_one() -> None:
    trial.switch()
    assert trial.start()
    assert trial.start()
    assert not trial.start()
    assert holds() == OLD
    assert sorted(os.listdir()) == [trial.NOW]


def test_next_trial_counts_from_one() -> None:
    trial.switch()
    trial.start()
    trial.go_back()
    Path(trial.NEW).write_text(NEW)
    trial.switch()
    assert trial.start()
    assert trial.start()
    assert holds() == NEW


def test_one_that_is_sent_during_a_trial_leaves_the_old_one_to_go_back_to() -> None:
    trial.switch()
    assert trial.start()
    Path(trial.NEW).write_text("a third one")
    trial.switch()
    assert trial.start()
    assert holds() == "a third one"
    trial.go_back()
    assert holds() == OLD
    assert sorted(os.listdir()) == [trial.NOW]


def test_start_that_cannot_be_counted_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    trial.switch()

    def full(name: str, mode: str = "r") -> None:
        raise OSError(28)

    monkeypatch.setattr(trial, "open", full, raising=False)
    assert not trial.start()
    assert holds() == OLD


@pytest.mark.parametrize("job", [trial.switch, trial.keep, trial.go_back])
@pytest.mark.parametrize("left", range(4))
def test_power_goes_at_each_change(job, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if job is not trial.switch:
        trial.switch()
        trial.start()
    monkeypatch.setattr(trial, "os", Cutter(left))
    try:
        job()
        finished = True
    except Cut:
        finished = False
    monkeypatch.setattr(trial, "os", os)
    on_trial = trial.start()
    assert holds() in (OLD, NEW)
    # What is on trial can always go back, and what is not leaves nothing behind that could.
    assert on_trial == Path(trial.OLD).exists()
    if on_trial:
        assert holds() == NEW
        trial.go_back()
        assert holds() == OLD
    elif finished:
        assert holds() == (NEW if job is trial.keep else OLD)
