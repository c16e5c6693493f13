"""The doctor's ear on a board: its script runs on the virtual board, and is understood."""

import asyncio
from pathlib import Path

import pytest

from hil.board import VirtualBoard
from hil.simulators.line import SerialLine
from tests.support.traffic import traffic
from vitalkeep.doctor.board import parse, script
from vitalkeep.doctor.diagnose import SURE, diagnose
from vitalkeep.doctor.setting import Setting
from vitalkeep.errors import ToolError

SETTING = Setting(9600)


def test_a_board_hears_an_oximeter(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(script(1, {"tx": 8, "rx": 9}, SETTING, 3.0))
    line = b"".join(piece for _, piece in traffic("masimo_set").sent)

    async def run() -> str:
        board = VirtualBoard(tmp_path / "board", uarts=(1,), firmware=tmp_path)
        try:
            await board.start()
            await board.wait_for("idle")
            speaking = SerialLine(board.lines[1].master, SETTING.baud)
            await speaking.send(line[:1500])
            await board.wait_for("done")
            return "\n".join(board.output)
        finally:
            await board.close()

    recording = parse(asyncio.run(run()), SETTING, 3.0)
    assert recording.data in line
    assert len(recording.data) > 1000
    found = diagnose([recording])
    assert (found.verdict, found.protocol) == (SURE, "masimo_set")


def test_a_board_that_stumbles_is_told() -> None:
    with pytest.raises(ToolError, match="UART\\(7\\)"):
        parse("Traceback\nValueError: UART(7) does not exist", SETTING, 1.0)


def test_what_it_prints_is_read() -> None:
    recording = parse("idle 0\npiece 120 4142\npiece 250 43\ndone", SETTING, 1.0)
    assert recording.heard == [(0.12, b"AB"), (0.25, b"C")]
    assert recording.idle == 0
