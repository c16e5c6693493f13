"""Certificates on the board's file system: taken over, cut short at every step, spoilt.

The code runs under MicroPython as on a board, on real files.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest

from hil.board import FIRMWARE, find_micropython
from tests.support.secure_site import make_authority, now

PRELUDE = f"""
    import sys

    sys.path.append({str(FIRMWARE)!r})
    from bridge.core.errors import ConfigError
    from bridge.uplink import credentials


    class CutOff(BaseException):
        pass


    class Limited:
        # The board's `os`, whose power goes before a change of so many.
        def __init__(self, left):
            self.left = left

        def _change(self, work, *paths):
            if not self.left:
                raise CutOff
            self.left -= 1
            work(*paths)

        def rename(self, old, new):
            self._change(os.rename, old, new)

        def remove(self, path):
            self._change(os.remove, path)

        def rmdir(self, path):
            self._change(os.rmdir, path)

        def listdir(self, path):
            return os.listdir(path)

    os = credentials.os
"""

NAMES = ("now", "new")


class Board:
    """A folder with certificates, and what a script under MicroPython makes of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        authority, signer = make_authority(root / "ca")
        for name, days in (("now", 10), ("new", 90)):
            bundle = authority.issue(signer, "gateway", "ab" * 8, now(), days=days)
            bundle.write(root / "issued" / name)
        self.files = root / "board"

    def reset(self, *names: str) -> None:
        shutil.rmtree(self.files, ignore_errors=True)
        for name in names:
            shutil.copytree(self.root / "issued" / name, self.files / "tls" / name)

    def run(self, script: str) -> str:
        path = self.root / "script.py"
        path.write_text(dedent(PRELUDE) + dedent(script))
        done = subprocess.run(
            [find_micropython(), str(path)],
            cwd=self.files,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=30,
            check=False,
        )
        return done.stdout.strip()

    def holds(self) -> dict[str, str]:
        """Return which certificate is in which folder; "part" for half of one."""
        found = {}
        folder = self.files / "tls"
        for place in folder.iterdir() if folder.exists() else ():
            files = {file.name: file.read_bytes() for file in place.iterdir()}
            found[place.name] = "part"
            for name in NAMES:
                issued = self.root / "issued" / name
                if files == {file.name: file.read_bytes() for file in issued.iterdir()}:
                    found[place.name] = name
        return found


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return Board(tmp_path_factory.mktemp("board"))


TAKE_OVER = """
    made = credentials.Credentials()
    new = made.choose(0)
    credentials.os = Limited({cut})
    try:
        print(made.proved(new))
    except CutOff:
        print("cut")
"""


def test_successor_that_brought_a_receipt_takes_over(board: Board) -> None:
    board.reset("now", "new")
    assert board.run(TAKE_OVER.format(cut=99)) == "True"
    assert board.holds() == {"now": "new"}


def test_power_cut_at_every_step_leaves_one_that_works(board: Board) -> None:
    outcomes = []
    for cut in range(20):
        board.reset("now", "new")
        if board.run(TAKE_OVER.format(cut=cut)) == "True":
            break
        held = board.holds()
        # Whatever the moment: the next boot has a whole certificate and clears what is left over.
        said = board.run("made = credentials.Credentials(); print(made.choose(0) is not None)")
        assert said == "True", (cut, held)
        after = board.holds()
        assert after in ({"now": "now", "new": "new"}, {"now": "new"}), (cut, held, after)
        outcomes.append(after["now"])
    # Each change of the take-over was cut once: before the first rename, between both, after.
    assert outcomes == ["now"] + ["new"] * 5


def test_cut_in_the_boot_that_mends_is_mended_by_the_next(board: Board) -> None:
    for first in (2, 4):
        for second in range(5):
            board.reset("now", "new")
            board.run(TAKE_OVER.format(cut=first))
            board.run(f"""
                credentials.os = Limited({second})
                try:
                    credentials.Credentials()
                except CutOff:
                    pass
                credentials.os = os
                credentials.Credentials()
            """)
            assert board.holds() == {"now": "new"}, (first, second)


def test_successor_is_given_to_one_and_again_after_an_hour(board: Board) -> None:
    board.reset("now", "new")
    said = board.run("""
        made = credentials.Credentials()
        new, now = made.choose(0), made.choose(1)
        print(new is now, made.is_on_trial(new), made.may_stay(new), made.proved(now))
        print(made.choose(3599999) is now, made.choose(3600000) is new)
        made.try_successor()
        print(made.choose(3600001) is new)
    """)
    assert said.splitlines() == ["False True False False", "True True", "True"]


def test_successor_that_is_replaced_or_taken_away_is_noticed(board: Board) -> None:
    board.reset("now")
    said = board.run("""
        made = credentials.Credentials()
        print(made.watch(0, 0), made.choose(0) is made.choose(1))
        os.rename("tls/now", "tls/new")
        print(made.watch(4000, 0), made.choose(4000) is made.choose(4001))
        print(made.watch(5000, 0), made.choose(5000) is made.choose(5001))
        first = made.choose(3605000)
        os.rename("tls/new", "tls/now")
        made.watch(3610000, 0)
        print(made.may_stay(first), made.choose(3610000) is first, made.proved(first))
    """)
    assert said.splitlines() == ["None True", "None True", "None False", "False False False"]


def test_files_on_their_way_are_waited_for_and_damage_is_said_once(board: Board) -> None:
    board.reset("now", "new")
    whole = (board.files / "tls" / "new" / "key.der").read_bytes()
    (board.files / "tls" / "new" / "key.der").write_bytes(whole[:50])
    said = board.run(f"""
        made = credentials.Credentials()
        print(made.watch(0, 0))
        print(made.watch(10000, 0))
        with open("tls/new/key.der", "wb") as file:
            file.write({whole!r})
        print(made.watch(20000, 0), made.choose(20000) is made.choose(20001))
    """)
    lines = said.splitlines()
    assert lines[0].startswith("tls/new does not load: ")
    assert lines[1:] == ["None", "None False"]


def test_without_any_certificate_there_is_a_word_and_no_crash(board: Board) -> None:
    board.reset()
    board.files.mkdir()
    said = board.run("""
        made = credentials.Credentials()
        print(made.watch(0, 0))
        print(made.days_left(1700000000000))
        try:
            made.choose(0)
        except ConfigError as error:
            print(error)
    """)
    assert said.splitlines() == [
        "tls/now: no certificate there; provision one",
        "None",
        "tls/now: no certificate; provision one",
    ]


def test_end_is_said_weeks_ahead_once_a_day(board: Board) -> None:
    board.reset("now")
    today_ms = round(now().timestamp() * 1000)
    day_ms = 86400000
    said = board.run(f"""
        made = credentials.Credentials()
        for day in (-20, -19, -18, 0, 0, 8, 9, 10, 11):
            print(day, made.watch(0, {today_ms} + day * {day_ms}))
    """)
    assert said.splitlines() == [
        "-20 None",
        "-19 ends in 28 days",
        "-18 ends in 27 days",
        "0 ends in 9 days",
        "0 None",
        "8 ends in 1 days",
        "9 ends in 0 days",
        "10 has ended",
        "11 has ended",
    ]
