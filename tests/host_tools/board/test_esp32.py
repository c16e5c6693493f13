"""The real esptool against a simulated ESP32: nothing is lost, and each failure has a name."""

import json
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hil.bedside.devkit import Devkit
from tests.support.bench import fails, plugged_in, run, units_of
from tests.support.images import STOCK_TABLE, esp32_firmware, sha256
from vitalkeep.board.flash import Order
from vitalkeep.board.kinds import find_kind
from vitalkeep.board.partitions import TABLE_AT, need, pack_table, parse_csv, parse_table

KIND = find_kind("ESP32_GENERIC")
JOURNAL, KEYS, VFS = (need(KIND.partitions, label) for label in ("journal", "keys", "vfs"))
IMAGE = esp32_firmware(frozen=True)
LONG = os.environ.get("VITALKEEP_BEDSIDE") == "long"
NEWER = esp32_firmware(frozen=True, seed=7)


def order(folder: Path, image: bytes = IMAGE, board: str = "ESP32_GENERIC") -> Order:
    path = folder / f"{sha256(image)[:8]}.bin"
    path.write_bytes(image)
    return Order(home=folder / "home", board=board, image=path, sha256=sha256(image), files=False)


@pytest.fixture
def devkit(tmp_path: Path) -> Iterator[Devkit]:
    kit = Devkit(tmp_path / "board")
    with plugged_in(kit):
        yield kit


def write(kit: Devkit, offset: int, data: bytes) -> None:
    kit.flash[offset : offset + len(data)] = data


def has_image(kit: Devkit, image: bytes) -> bool:
    at = 0x1000
    # Byte 3 of the header says the flash size, and esptool makes its own digest of it.
    rest = slice(0x10000 - at, len(image))
    return kit.flash[at + rest.start : at + rest.stop] == image[rest]


def a_gateway(kit: Devkit) -> None:
    """Put a table of ours, a log, keys and files on it."""
    write(kit, TABLE_AT, pack_table(KIND.partitions))
    write(kit, JOURNAL.offset, b"sealed sector" * 500)
    write(kit, KEYS.offset, b"chain key" * 10)
    write(kit, VFS.offset, b"littlefs" * 10)


def test_a_bare_board_gets_image_and_table_and_a_second_run_writes_nothing(
    devkit: Devkit, tmp_path: Path
) -> None:
    done = run(order(tmp_path), units_of(devkit))
    assert done.image_written
    assert done.saved is None  # there was nothing
    assert done.id == "bench-0"
    assert has_image(devkit, IMAGE)
    assert parse_table(devkit.flash[TABLE_AT : TABLE_AT + 4096]) == KIND.partitions
    assert devkit.boots() is not None
    devkit.loader.erased.clear()
    again = run(order(tmp_path), units_of(devkit))
    assert not again.image_written
    assert [step.outcome for step in again.steps][1] == "unchanged"
    assert devkit.loader.erased == []


def test_a_board_of_16_mb_says_so_in_its_header(tmp_path: Path) -> None:
    image = esp32_firmware(9, frozen=True)
    kit = Devkit(tmp_path / "board", "esp32s3", 16 << 20)
    with plugged_in(kit):
        run(order(tmp_path, image, "ESP32_GENERIC_S3"), units_of(kit))
        assert kit.flash[3] >> 4 == 4
        start = kit.boots()
        assert start is not None  # the bootloader takes a table that goes to 16 MB
        assert start.partitions["keys"] == (0xFFC000, 0x4000)


def test_the_only_board_that_fits_a_chip_need_not_be_named(tmp_path: Path) -> None:
    kit = Devkit(tmp_path / "board", "esp32s3", 16 << 20)
    with plugged_in(kit):
        image = esp32_firmware(9, frozen=True)
        done = run(order(tmp_path, image), units_of(kit), board=None)
        assert done.kind.name == "ESP32_GENERIC_S3"


def test_a_chip_that_is_on_several_boards_has_to_be_named(devkit: Devkit, tmp_path: Path) -> None:
    error = fails("which-kind", order(tmp_path), units_of(devkit), board=None)
    assert "ESP32_GENERIC, OLIMEX_ESP32_POE" in error.message


def test_files_of_a_stock_board_are_saved_before_they_are_erased(
    devkit: Devkit, tmp_path: Path
) -> None:
    write(devkit, TABLE_AT, pack_table(parse_csv(STOCK_TABLE, "stock")))
    write(devkit, VFS.offset, b"someone's files")
    write(devkit, KEYS.offset - 100, b"more of them")  # where the log will be
    done = run(order(tmp_path), units_of(devkit))
    assert done.saved is not None
    files = (done.saved / "before-vfs-200000.bin").read_bytes()
    assert files.startswith(b"someone's files")
    assert len(files) == VFS.size
    assert (done.saved / "before-journal-2c0000.bin").read_bytes()[-100:-88] == b"more of them"
    assert stat.S_IMODE(done.saved.stat().st_mode) == 0o700
    listed = json.loads((done.saved / "saved.json").read_text())
    assert listed["files"][0]["sha256"] == sha256(files)
    # Blank: the port formats it at the next start, and calls anything else corrupted.
    for part in (VFS, JOURNAL, KEYS):
        assert devkit.flash[part.offset : part.end] == b"\xff" * part.size


def test_a_gateway_keeps_its_log_keys_and_files_through_a_new_image(
    devkit: Devkit, tmp_path: Path
) -> None:
    a_gateway(devkit)
    before = [devkit.flash[part.offset : part.end] for part in (JOURNAL, KEYS, VFS)]
    done = run(order(tmp_path), units_of(devkit))
    assert [devkit.flash[part.offset : part.end] for part in (JOURNAL, KEYS, VFS)] == before
    assert done.saved is not None
    for part, data in zip((JOURNAL, KEYS, VFS), before, strict=True):
        assert (done.saved / f"{part.label}-{part.offset:06x}.bin").read_bytes() == data
    assert has_image(devkit, IMAGE)
    run(order(tmp_path, NEWER), units_of(devkit))
    assert has_image(devkit, NEWER)
    assert [devkit.flash[part.offset : part.end] for part in (JOURNAL, KEYS, VFS)] == before


def test_a_log_in_another_place_is_saved_and_goes_only_when_that_was_said(
    devkit: Devkit, tmp_path: Path
) -> None:
    old = "journal, data, 0x41, 0x200000, 0x1FC000\nkeys, data, 0x42, 0x3FC000, 0x4000\n"
    write(devkit, TABLE_AT, pack_table(parse_csv(STOCK_TABLE + old, "old")))
    write(devkit, 0x200000, b"sealed sector")
    write(devkit, KEYS.offset, b"chain key")
    before = devkit.flash[:]
    error = fails("log-in-the-way", order(tmp_path), units_of(devkit))
    assert "journal" in error.message
    assert devkit.flash[:] == before
    run(order(tmp_path), units_of(devkit), erase_log=True)
    assert devkit.flash[KEYS.offset : KEYS.offset + 9] == b"chain key"  # its place is the same
    assert devkit.flash[JOURNAL.offset : JOURNAL.end] == b"\xff" * JOURNAL.size
    saved = sorted((tmp_path / "home" / "saved" / "bench-0").glob("*/journal-200000.bin"))
    assert [path.read_bytes()[:13] for path in saved] == [b"sealed sector"] * 2


def test_what_cannot_be_read_is_not_erased(devkit: Devkit, tmp_path: Path) -> None:
    a_gateway(devkit)
    write(devkit, TABLE_AT, pack_table(parse_csv(STOCK_TABLE, "stock")))
    before = devkit.flash[:]
    devkit.faults.pull_read = 100000
    error = fails("cable", order(tmp_path), units_of(devkit))
    assert "nothing was erased" in error.message
    assert devkit.flash[:] == before
    assert devkit.loader.erased == []


@pytest.mark.parametrize("blocks", [1, 2, 3] if LONG else [2])
def test_a_cable_that_is_pulled_costs_nothing_but_a_second_run(
    blocks: int, devkit: Devkit, tmp_path: Path
) -> None:
    a_gateway(devkit)
    before = [devkit.flash[part.offset : part.end] for part in (JOURNAL, KEYS, VFS)]
    devkit.faults.pull_after = blocks
    units = units_of(devkit)
    found = units()
    error = fails("cable", order(tmp_path), lambda: found)
    assert "run the same again" in error.hint
    fails("no-board", order(tmp_path), units)
    devkit.faults.pull_after = 0
    devkit.plug()
    run(order(tmp_path), units)
    assert has_image(devkit, IMAGE)
    assert devkit.boots() is not None
    assert [devkit.flash[part.offset : part.end] for part in (JOURNAL, KEYS, VFS)] == before


def test_a_bit_that_arrives_wrong_is_found_and_the_next_run_finishes(
    devkit: Devkit, tmp_path: Path
) -> None:
    devkit.faults.flip = 2
    fails("verify", order(tmp_path), units_of(devkit))
    run(order(tmp_path), units_of(devkit))
    assert has_image(devkit, IMAGE)


def test_a_block_that_is_refused_is_sent_again(devkit: Devkit, tmp_path: Path) -> None:
    devkit.faults.refuse_block = 1
    run(order(tmp_path), units_of(devkit))
    assert has_image(devkit, IMAGE)


def test_wrong_chips_are_refused_before_anything_is_written(
    devkit: Devkit, tmp_path: Path
) -> None:
    before = devkit.flash[:]
    s3 = order(tmp_path, esp32_firmware(9, frozen=True), "ESP32_GENERIC_S3")
    error = fails("wrong-chip", s3, units_of(devkit))
    assert "this chip is an esp32, and ESP32_GENERIC_S3 has an esp32s3" in error.message
    assert devkit.flash[:] == before


def test_a_chip_with_too_little_flash_is_refused(tmp_path: Path) -> None:
    kit = Devkit(tmp_path / "board", flash_size=2 << 20)
    with plugged_in(kit):
        error = fails("flash-too-small", order(tmp_path), units_of(kit))
        assert "2 MB" in error.message
        assert set(kit.flash[:]) == {0xFF}


def test_a_board_that_does_not_answer_has_a_name_and_a_next_action(
    devkit: Devkit, tmp_path: Path
) -> None:
    devkit.faults.silent = True
    error = fails("no-answer", order(tmp_path), units_of(devkit))
    assert "BOOT" in error.hint


def test_the_loader_in_rom_alone_can_do_it_all(devkit: Devkit, tmp_path: Path) -> None:
    run(order(tmp_path), units_of(devkit), stub=False)
    assert has_image(devkit, IMAGE)


def test_a_port_that_another_program_has_is_told(devkit: Devkit, tmp_path: Path) -> None:
    import serial

    with serial.Serial(str(devkit.port), exclusive=True):
        fails("port-busy", order(tmp_path), units_of(devkit))


def test_two_boards_side_by_side_get_what_is_theirs(tmp_path: Path) -> None:
    kits = [
        Devkit(tmp_path / name, mac=bytes((2, 0, 0, 0, 0, at))) for at, name in enumerate("ab")
    ]
    for kit, keys in zip(kits, (b"first's", b"second's"), strict=True):
        a_gateway(kit)
        write(kit, KEYS.offset, keys)
    with plugged_in(kits[0]), plugged_in(kits[1]):
        units = units_of(*kits)
        fails("several-boards", order(tmp_path), units)
        with ThreadPoolExecutor(2) as pool:
            jobs = [
                pool.submit(run, order(tmp_path, image), units, id=f"bench-{number}")
                for number, image in enumerate((IMAGE, NEWER))
            ]
            done = [job.result() for job in jobs]
        assert has_image(kits[0], IMAGE)
        assert has_image(kits[1], NEWER)
        for one, keys in zip(done, (b"first's", b"second's"), strict=True):
            assert one.saved is not None
            assert (one.saved / "keys-3fc000.bin").read_bytes().startswith(keys)
