"""Which boards are plugged in, which is meant, and that two runs never have the same one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bench import usb_port
from vitalkeep.board.errors import BoardError
from vitalkeep.board.units import (
    Unit,
    choose,
    find_units,
    from_drive,
    from_port,
    locked,
    mcu_of,
    unit_at,
)


def test_ports_are_known_by_their_usb_ids() -> None:
    unit = from_port(usb_port(Path("/dev/x")))
    assert unit is not None
    assert (unit.identity, unit.device) == ("0001", "/dev/x")
    assert from_port(usb_port(Path("/dev/x"), vid=0x303A, pid=0x1001)) is not None
    assert from_port(usb_port(Path("/dev/x"), vid=0x046D, pid=1)) is None
    assert from_port(usb_port(Path("/dev/x"), vid=None, pid=None)) is None
    nameless = from_port(usb_port(Path("/dev/x"), serial_number=None))
    assert nameless is not None
    assert nameless.identity == "1-2"  # where it is plugged in


def test_drives_are_known_by_what_is_on_them(tmp_path: Path) -> None:
    (tmp_path / "RPI-RP2").mkdir()
    info = tmp_path / "RPI-RP2" / "INFO_UF2.TXT"
    info.write_text("UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n")
    (tmp_path / "stick").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "INFO_UF2.TXT").write_text("Board-ID: SAMD21G18A\n")
    found = find_units(list, lambda: sorted(tmp_path.iterdir()))
    assert [unit.drive for unit in found] == [tmp_path / "RPI-RP2"]
    assert mcu_of(tmp_path / "RPI-RP2") == "rp2040"
    info.write_text("Board-ID: RP2350\r\n")
    assert mcu_of(tmp_path / "RPI-RP2") == "rp2350"
    assert from_drive(tmp_path / "stick") is None
    with pytest.raises(BoardError, match="Hold BOOTSEL" if False else "no RP2 that waits"):
        mcu_of(tmp_path / "stick")


def test_one_is_chosen_only_when_it_is_clear_which() -> None:
    one, two = Unit("a", "/dev/a", None, ""), Unit("b", "/dev/b", None, "")
    assert choose([one], None) == one
    assert choose([one, two], "b") == two
    for units, name, cause in (
        ([], None, "no-board"), ([one], "c", "no-board"), ([one, two], None, "several-boards"),
    ):  # fmt: skip
        with pytest.raises(BoardError) as caught:
            choose(units, name)
        assert caught.value.cause == cause


def test_a_port_that_was_named_is_the_board_behind_it(tmp_path: Path) -> None:
    (tmp_path / "tty").write_text("")
    (tmp_path / "by-id").symlink_to(tmp_path / "tty")
    unit = Unit("serial", str(tmp_path / "tty"), None, "ESP32")
    assert unit_at(str(tmp_path / "by-id"), [unit]) == unit
    assert unit_at(str(tmp_path / "no"), [unit]).identity == str(tmp_path / "no")


_HOLD = """
import sys
from pathlib import Path
from vitalkeep.board.units import locked
with locked(sys.argv[1], Path(sys.argv[2])):
    print("has it", flush=True)
    sys.stdin.read()
"""


def test_a_board_is_locked_for_other_processes_and_free_when_they_die(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLD, "1-2/a:b", str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=os.getcwd()
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"has it\n"
        with pytest.raises(BoardError) as caught, locked("1-2/a:b", tmp_path):
            raise AssertionError
        assert caught.value.cause == "locked"
        with locked("another", tmp_path):
            pass
        holder.kill()
        holder.wait()
    with locked("1-2/a:b", tmp_path):
        pass
