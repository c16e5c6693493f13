"""A tool that is run as a program: what it says is followed, and not all of it kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitalkeep.board import program
from vitalkeep.board.program import run_module

FLOOD = """\
import sys
for number in range(64):
    sys.stdout.write("x" * 100_000)
print()
print("the end")
sys.exit(3)
"""


def test_flood_is_followed_and_its_end_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flooding.py").write_text(FLOOD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    heard: list[int] = []
    run = run_module("flooding", [""], 60, lambda text: heard.append(len(text)))
    assert (run.code, run.last) == (3, "the end")
    assert sum(heard) > 6_400_000
    assert len(run.said) <= program.SAID_MAX
