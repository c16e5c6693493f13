"""The real mpremote against a board's prompt and littlefs: hashes, resuming, full files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.bedside.devkit import Devkit
from tests.support.bench import fails, plugged_in, run, small_firmware, units_of
from tests.support.images import esp32_firmware
from vitalkeep.board.bundle import compile_firmware, compiler_options
from vitalkeep.board.errors import BoardError
from vitalkeep.board.flash import Order
from vitalkeep.board.install import ask
from vitalkeep.board.kinds import find_kind
from vitalkeep.board.mpremote import Mpremote
from vitalkeep.board.partitions import TABLE_AT, need, pack_table

KIND = find_kind("ESP32_GENERIC")
VFS = need(KIND.partitions, "vfs")


@pytest.fixture
def devkit(tmp_path: Path) -> Iterator[Devkit]:
    """A board with an image and our table, and files that its port has just formatted."""
    kit = Devkit(tmp_path / "board")
    image = esp32_firmware(frozen=False, size=2000)
    kit.flash[0x1000 : 0x1000 + len(image)] = image
    table = pack_table(KIND.partitions)
    kit.flash[TABLE_AT : TABLE_AT + len(table)] = table
    with plugged_in(kit):
        yield kit


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return Order(
        home=tmp_path / "home", board=KIND.name, trial=True,
        firmware=small_firmware(tmp_path / "firmware"),
    )  # fmt: skip


def test_firmware_is_installed_started_and_left_alone_by_a_second_run(
    devkit: Devkit, order: Order
) -> None:
    done = run(order, units_of(devkit))
    assert done.installed is not None
    assert "/lib/bridge/core/journal/fast.mpy" in done.installed.written  # in machine code
    assert done.installed.written[-1] == "/main.py"
    assert done.unique_id == "240ac4000001"
    devkit.wait_for("gateway 0.1.0 ESP32_GENERIC")
    again = run(order, units_of(devkit))
    assert again.installed is not None
    assert again.installed.written == []
    assert again.installed.unchanged == len(done.installed.written)


def test_what_differs_is_written_and_what_is_in_the_way_is_removed(
    devkit: Devkit, order: Order
) -> None:
    run(order, units_of(devkit))
    board = Mpremote(str(devkit.port))
    board.evaluate(
        "f = open('/lib/bridge/release.py', 'w')\nf.write('VERSION = 0')\nf.close()\n"
        "f = open('/lib/bridge/core/rings.mpy', 'w')\nf.write('torn')\nf.close()\n"
        "f = open('/main.py', 'w')\nf.write('print(1)')\nf.close()\nprint(1)",
        fresh=True,
    )
    devkit.said.clear()
    done = run(order, units_of(devkit))
    devkit.wait_for("gateway 0.1.0")
    assert done.installed is not None
    assert done.installed.written == ["/lib/bridge/core/rings.mpy", "/main.py"]
    assert done.installed.removed == ["/lib/bridge/release.py"]
    assert done.saved is not None
    assert (done.saved / "main.py").read_text() == "print(1)"


def test_a_copy_that_was_cut_short_leaves_no_gateway_and_the_next_run_finishes(
    devkit: Devkit, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Mpremote.copy

    def half(self: Mpremote, folder: Path, progress: object = None) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        for path in files[len(files) // 2 :]:
            path.unlink()
        copy(self, folder)
        devkit.cable(False)
        self.evaluate("print(1)")

    found = units_of(devkit)()
    with monkeypatch.context() as patch:
        patch.setattr(Mpremote, "copy", half)
        fails("no-board", order, lambda: found)
    devkit.cable(True)
    there = ask(Mpremote(str(devkit.port)), fresh=True)
    assert "/main.py" not in there.files
    done = run(order, lambda: found)
    assert done.installed is not None
    assert done.installed.unchanged > 0
    assert done.installed.written
    devkit.wait_for("gateway 0.1.0")


def test_a_full_file_system_is_told_before_anything_is_changed(
    devkit: Devkit, order: Order
) -> None:
    board = Mpremote(str(devkit.port))
    board.evaluate(
        "f = open('/ballast', 'w')\nfor _ in range(183): f.write('x' * 4096)\nf.close()\nprint(1)",
        fresh=True,
    )
    fails("full", order, units_of(devkit))
    there = ask(board, fresh=True)
    assert there.files == {}
    board.remove(["/ballast"])
    run(order, units_of(devkit))
    devkit.wait_for("gateway 0.1.0")


def test_files_that_cannot_be_read_stay_until_it_is_said_that_they_may_go(
    devkit: Devkit, order: Order
) -> None:
    devkit.flash[VFS.offset : VFS.offset + 64] = b"not littlefs".ljust(64, b"!")
    fails("files-unreadable", order, units_of(devkit))
    assert devkit.flash[VFS.offset : VFS.offset + 12] == b"not littlefs"


def test_firmware_that_does_not_fit_the_memory_is_refused(devkit: Devkit, order: Order) -> None:
    error = fails("memory", order, units_of(devkit), trial=False)
    assert "boards/ESP32_GENERIC" in error.hint


def test_a_port_without_a_prompt_has_a_name(tmp_path: Path, order: Order) -> None:
    blank = Devkit(tmp_path / "blank")
    with plugged_in(blank):
        fails("no-answer", order, units_of(blank))


def test_the_compiler_is_told_the_boards_own_machine_code() -> None:
    assert compiler_options(6 | 4 << 10) == ["-O2", "-march=armv6m"]
    assert compiler_options(6 | 10 << 10) == ["-O2", "-march=xtensawin"]
    assert compiler_options(6) == ["-O2"]
    with pytest.raises(BoardError, match="0x0"):
        compiler_options(0)


def test_another_mpy_version_is_refused_and_paths_of_this_computer_stay_here(
    tmp_path: Path,
) -> None:
    firmware = small_firmware(tmp_path / "firmware")
    with pytest.raises(BoardError, match=r"reads \.mpy version 5") as caught:
        compile_firmware(firmware, KIND, 5 | 4 << 10)
    assert caught.value.cause == "mpy"
    bundle = compile_firmware(firmware, KIND, 6 | 4 << 10)
    assert not [path for path, data in bundle.files.items() if str(tmp_path).encode() in data]
    assert list(bundle.files)[-1] == "/main.py"
