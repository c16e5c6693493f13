"""The real mpremote against a board's prompt and littlefs: hashes, resuming, full files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.core.bundle import Manifest
from hil.bedside.devkit import Devkit
from tests.support.bench import fails, frozen_firmware, plugged_in, run, small_firmware, units_of
from tests.support.images import esp32_firmware
from vitalkeep.board import install
from vitalkeep.board.bundle import pack
from vitalkeep.board.compile import compile_firmware, compiler_options, usual_mpy
from vitalkeep.board.errors import BoardError
from vitalkeep.board.flash import Order, flash
from vitalkeep.board.install import ask, copy_files
from vitalkeep.board.kinds import find_kind
from vitalkeep.board.mpremote import Mpremote
from vitalkeep.board.partitions import TABLE_AT, need, pack_table
from vitalkeep.board.program import Run
from vitalkeep.board.progress import Progress

KIND = find_kind("ESP32_GENERIC")
ALL = ["/bundles/a", "/lib/loader.mpy", "/main.py", "/bundles/state"]
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
    percents: list[float] = []
    progress = Progress(lambda step, percent: percents.append(percent or 0), watched=True)
    done = flash(order, progress, units_of(devkit))
    assert any(0 < percent < 100 for percent in percents), percents
    assert done.installed is not None
    assert done.installed.written == ALL
    assert done.unique_id == "240ac4000001"
    devkit.wait_for("gateway 0.1.0 ESP32_GENERIC")
    again = run(order, units_of(devkit))
    assert again.installed is not None
    assert again.installed.written == []
    assert again.installed.unchanged == 2  # beside the bundle


def version_of(order: Order, version: str) -> None:
    (order.firmware / "bridge" / "release.py").write_text(
        f'VERSION = "{version}"\nCONFIG_VERSION = 1\n'
    )


def test_another_firmware_goes_into_the_other_slot_and_the_one_before_stays(
    devkit: Devkit, order: Order
) -> None:
    run(order, units_of(devkit))
    board = Mpremote(str(devkit.port))
    board.evaluate(
        "f = open('/main.py', 'w')\nf.write('print(1)')\nf.close()\nprint(1)", fresh=True
    )
    devkit.said.clear()
    version_of(order, "0.2.0")
    done = run(order, units_of(devkit))
    devkit.wait_for("gateway 0.2.0")
    assert done.installed is not None
    assert done.installed.written == ["/bundles/b", "/main.py", "/bundles/state"]
    assert done.saved is not None
    assert (done.saved / "main.py").read_text() == "print(1)"
    there = ask(board, fresh=True)
    assert (there.now, there.state["before"], there.running) == ("b", "a", "0.2.0")
    version_of(order, "0.1.0")
    fails("older", order, units_of(devkit))
    run(order, units_of(devkit), older=True)
    there = ask(board, fresh=True)
    assert (there.now, there.running) == ("a", "0.1.0")


def test_a_bundle_that_somebody_has_signed_is_left_as_it_is(devkit: Devkit, order: Order) -> None:
    run(order, units_of(devkit))
    board = Mpremote(str(devkit.port))
    change = "with open('/bundles/a', 'r+b') as f: f.seek(%d, 2); f.write(b'%s')\nprint(1)"
    board.evaluate(change % (-64, "s" * 64), fresh=True)
    done = run(order, units_of(devkit))
    assert done.installed is not None
    assert done.installed.written == []
    board.evaluate(change % (-99, "s"), fresh=True)
    done = run(order, units_of(devkit))
    assert done.installed is not None
    assert "/bundles/b" in done.installed.written


def test_a_board_that_was_flashed_before_there_were_bundles_is_brought_over(
    devkit: Devkit, order: Order
) -> None:
    board = Mpremote(str(devkit.port))
    old = "import bridge.app\nprint('old gateway')\n"
    files = {"bridge/__init__.py": "", "bridge/app.py": "x = 1", "wiring.py": ""}
    board.evaluate(
        "import os\nos.mkdir('/lib')\nos.mkdir('/lib/bridge')\n"
        f"for name, text in {files!r}.items():\n"
        " with open('/lib/' + name, 'w') as f: f.write(text)\n"
        f"with open('/main.py', 'w') as f: f.write({old!r})\nprint(1)",
        fresh=True,
    )
    done = run(order, units_of(devkit))
    devkit.wait_for("gateway 0.1.0 ESP32_GENERIC")
    assert done.installed is not None
    assert done.installed.written == ALL
    assert sorted(done.installed.removed) == [
        "/lib/bridge/__init__.py", "/lib/bridge/app.py", "/lib/wiring.py"
    ]  # fmt: skip
    assert done.saved is not None
    assert (done.saved / "main.py").read_text() == old


def test_a_copy_that_was_cut_short_leaves_no_gateway_and_the_next_run_finishes(
    devkit: Devkit, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = units_of(devkit)()
    cut_short(devkit, order, found, monkeypatch)
    there = ask(Mpremote(str(devkit.port)), fresh=True)
    assert "/main.py" not in there.files
    done = run(order, lambda: found)
    assert done.installed is not None
    assert done.installed.written
    devkit.wait_for("gateway 0.1.0")


def test_a_new_firmware_that_was_cut_short_leaves_the_one_before(
    devkit: Devkit, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = units_of(devkit)()
    run(order, lambda: found)
    version_of(order, "0.2.0")
    devkit.said.clear()
    cut_short(devkit, order, found, monkeypatch)
    devkit.wait_for("gateway 0.1.0")
    run(order, lambda: found)
    devkit.wait_for("gateway 0.2.0")


def cut_short(devkit: Devkit, order: Order, found: list, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pull the cable in the midst of the copying, and put it back."""

    def half(self: Mpremote, folder: Path, progress: object = None) -> None:
        for path in (path for path in folder.rglob("*") if path.is_file()):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        copy(self, folder)
        devkit.cable(False)
        self.evaluate("print(1)")

    copy = Mpremote.copy
    with monkeypatch.context() as patch:
        patch.setattr(Mpremote, "copy", half)
        fails("no-board", order, lambda: found)
    devkit.cable(True)
    devkit.boot()


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


def test_a_port_without_a_prompt_has_a_name(
    tmp_path: Path, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "START_S", 0)  # nobody waits for it to start
    blank = Devkit(tmp_path / "blank")
    with plugged_in(blank):
        fails("no-answer", order, units_of(blank))


def test_what_boards_say_of_their_format_is_known_without_them() -> None:
    assert usual_mpy(KIND) == 6 | 3 << 8 | 10 << 10
    assert usual_mpy(find_kind("RPI_PICO_W")) == 6 | 3 << 8 | 4 << 10
    assert usual_mpy(find_kind("RPI_PICO2_W")) == 6 | 3 << 8 | 7 << 10


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
    made = compile_firmware(firmware, KIND, 6 | 4 << 10)
    assert "bridge/core/journal/fast.mpy" in made.modules
    assert not [path for path, data in made.modules.items() if str(tmp_path).encode() in data]
    assert str(tmp_path).encode() not in made.loader


def test_an_image_with_the_gateway_in_it_goes_before_an_older_bundle_and_not_a_newer_one(
    tmp_path: Path, order: Order
) -> None:
    kit = Devkit(tmp_path / "board-2", frozen=frozen_firmware(tmp_path / "frozen-in-it", KIND))
    image = esp32_firmware(frozen=True)
    kit.flash[0x1000 : 0x1000 + len(image)] = image
    table = pack_table(KIND.partitions)
    kit.flash[TABLE_AT : TABLE_AT + len(table)] = table
    with plugged_in(kit):
        board = Mpremote(str(kit.port))

        def bundle_of(version: str) -> None:
            bundle = pack({"bridge/app.mpy": b"M"}, Manifest(version, KIND.name, 6, 1))
            state = b'{"now": "a", "before": ""}'
            copy_files(board, {"/bundles/a": bundle.data, "/bundles/state": state}, None)

        def removed(**changes: bool) -> list[str]:
            done = run(order, units_of(kit), **changes)
            assert done.installed is not None
            assert done.installed.frozen == "0.1.0"
            return done.installed.removed

        bundle_of("0.2.0")
        assert removed() == []
        assert ask(board, fresh=True).running == "0.2.0"
        assert removed(older=True) == ["/bundles/state"]
        assert ask(board, fresh=True).running == "0.1.0"
        bundle_of("0.0.9")
        assert removed() == ["/bundles/state"]


@pytest.mark.parametrize(
    "said",
    [
        {"files": {"/bundles/a": ("aa", "9")}}, {"files": []}, {"bundles": {}}, {"id": "no hex"},
        {"bundles": {"a": ("0.1", "00"), "b": None}}, {"bundles": {"a": (1, "00"), "b": None}},
        {"state": []}, {"state": {"tries": "3"}}, {"space": (1, 2)}, {"space": (1, 2, -3)},
        {"mpy": None}, {"frozen": "zero"}, {"more": 1},
    ],
)  # fmt: skip
def test_board_that_says_something_else_is_refused(
    said: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = {
        "files": {}, "frozen": "", "state": {}, "bundles": {"a": None, "b": None}, "space": None,
        "mpy": 1, "version": "", "id": "aa",
    }  # fmt: skip
    board = Mpremote("/dev/none")
    monkeypatch.setattr(Mpremote, "_checked", lambda *more, **named: Run(0, repr(right)))
    assert ask(board).running == ""
    monkeypatch.setattr(Mpremote, "_checked", lambda *more, **named: Run(0, repr(right | said)))
    with pytest.raises(BoardError) as caught:
        ask(board)
    assert caught.value.cause == "no-answer"


def test_what_a_board_says_of_a_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "ORDER = {'pieces': [(0, 0, 'c0ffee')]}"
    monkeypatch.setattr(Mpremote, "_checked", lambda *more, **named: Run(0, script))
    with pytest.raises(BoardError) as caught:
        Mpremote("/dev/none").evaluate_secret(script)
    assert "c0ffee" not in f"{caught.value!r} {caught.value.message} {caught.value.__context__}"
    monkeypatch.setattr(Mpremote, "_checked", lambda *more, **named: Run(0, "x" * 100_000))
    with pytest.raises(BoardError) as caught:
        Mpremote("/dev/none").evaluate("1")
    assert len(caught.value.message) < 400
