"""Each folder of boards/ against what the firmware needs, and the firmware on each of them."""

import asyncio
import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.core.journal.layout import SECTOR_SIZE
from hil.board import BOARDS, VirtualBoard, read_partitions
from tests.support.site_client import GATEWAY, LOG_ID, ROOT, SITE
from vitalkeep.board.budget import BUNDLE, budget, hours_of_log, problems
from vitalkeep.board.bundle import pack
from vitalkeep.board.compile import compile_firmware, usual_mpy
from vitalkeep.board.kinds import FIRMWARE, Kind, all_kinds, find_kind
from vitalkeep.errors import ToolError
from vitalkeep.keys.provision import key_region

KINDS = all_kinds()
NAMES = [kind.name for kind in KINDS]


def test_the_boards_that_are_promised_are_there() -> None:
    assert {
        "ESP32_GENERIC", "ESP32_GENERIC_S3", "OLIMEX_ESP32_POE",
        "RPI_PICO_W", "RPI_PICO2_W", "W5500_EVB_PICO",
    } <= set(NAMES)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_a_board_has_what_the_firmware_needs(kind: Kind) -> None:
    assert problems(kind) == []
    assert kind.name == kind.wiring.BOARD
    names = {path.name for path in kind.folder.iterdir()}
    own = {"board.json", "manifest.py", "mpconfigboard.cmake", "mpconfigboard.h"}
    assert own | {"partitions.csv", "wiring.py", "README.md"} <= names
    page = (kind.folder / "README.md").read_text()
    for word in ("RS232", "RS485", "isolat", "Budget"):
        assert word in page, word
    assert "Console button" in page
    assert kind.wiring.CONSOLE_BUTTON in kind.chip.pins
    for row in kind.wiring.UARTS.values():
        assert f"| {row['tx']} | {row['rx']} |" in page


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_a_boards_page_has_the_budget_that_is_computed(kind: Kind) -> None:
    from vitalkeep.board.page import budget_table

    assert budget_table(kind) in (kind.folder / "README.md").read_text(), (
        f"python -m vitalkeep.board.page {kind.name}"
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_gateway_starts_with_a_boards_wiring(name: str, tmp_path: Path) -> None:
    wiring = find_kind(name).wiring
    uart = max(wiring.UARTS)
    device = {"name": "oximeter", "class": "A", "unit": 0}
    line = {"uart": uart, "protocol": "masimo_set", "baud": 9600, "devices": [device]}
    line["rs485"] = uart in wiring.RS485_ENABLE
    site = {"name": "primary", "id": SITE.hex(), "host": "127.0.0.1", "port": 9, "tls": False}

    async def run() -> None:
        board = VirtualBoard(tmp_path, board=name, uarts=(uart,))
        board.write_partition("keys", key_region(ROOT, GATEWAY, LOG_ID, [SITE], 4))
        links = {"wifi": {"ssid": "ward", "key": "secret words"}}
        board.write_config({"bed": "bed-1", "sites": [site], "lines": [line], "links": links})
        try:
            await board.start()
            await board.wait_for("listening")
            assert not [text for text in board.output if text.startswith("job ")]
        finally:
            await board.close()

    asyncio.run(run())
    start, _ = read_partitions(name)["journal"]
    with (tmp_path / "flash.bin").open("rb") as flash:
        flash.seek(start)
        assert flash.read(SECTOR_SIZE) != b"\xff" * SECTOR_SIZE


def test_a_bundle_has_the_room_that_is_kept_for_it() -> None:
    kind = find_kind("RPI_PICO2_W")
    made = compile_firmware(FIRMWARE, kind, usual_mpy(kind))
    assert BUNDLE - 64 * 1024 < len(pack(made.modules, made.manifest).data) <= BUNDLE


def changed(kind: Kind, **values: Any) -> Kind:
    return dataclasses.replace(kind, wiring=SimpleNamespace(**{**vars(kind.wiring), **values}))


def refused(kind: Kind, *words: str) -> None:
    said = "\n".join(problems(kind))
    for word in words:
        assert word in said, said


def resized(kind: Kind, label: str, **values: int) -> Kind:
    parts = [
        dataclasses.replace(part, **values) if part.label == label else part
        for part in kind.partitions
    ]
    return dataclasses.replace(kind, partitions=parts)


def test_a_table_that_does_not_fit_is_refused() -> None:
    kind = find_kind("ESP32_GENERIC")
    refused(resized(kind, "journal", size=0x13C800), "journal: want an offset", "keys: begins at")
    refused(resized(kind, "journal", size=0x60000), "journal: 20.7 h", "want 24")
    refused(resized(kind, "keys", size=0x3000), "keys: 3 blocks, want 4")
    refused(resized(kind, "keys", size=0x5000), "ends at 0x401000, the flash at 0x400000")
    refused(resized(kind, "nvs", offset=0x8000), "nvs: begins at 0x8000")
    refused(resized(kind, "factory", offset=0x11000), "factory: want an offset of 0x10000")
    pico = find_kind("RPI_PICO2_W")
    refused(resized(pico, "vfs", size=0x90000), "room for two bundles")
    refused(changed(pico, JOURNAL={**pico.wiring.JOURNAL, "start": 0}), "journal: the wiring and")
    refused(changed(pico, FILES={"start": 0, "size": 4096}), "files: the wiring and")


def test_pins_and_uarts_that_cannot_be_are_refused() -> None:
    kind = find_kind("ESP32_GENERIC")
    refused(
        changed(kind, UARTS={**kind.wiring.UARTS, 3: {"tx": 12, "rx": 13}}), "uart 3: this chip"
    )
    refused(changed(kind, RS485_ENABLE={1: 25}), "enable of uart 1: pin 25 is uart 1's")
    refused(changed(kind, RS485_ENABLE={1: 6}), "pin 6 is not free on this chip")
    refused(changed(kind, RS485_ENABLE={1: 34}), "pin 34 is an input")
    refused(changed(kind, CONSOLE_BUTTON=25), "console button: pin 25 is uart 1's")
    refused(changed(kind, RXBUF_MAX=0), "RXBUF_MAX")
    olimex = find_kind("OLIMEX_ESP32_POE")
    refused(changed(olimex, CONTACTS={0: 22}), "pin 22 is")  # the PHY's
    pico = find_kind("RPI_PICO_W")
    refused(changed(pico, UARTS={0: {"tx": 4, "rx": 5}}), "uart 0: pins 4 and 5 are not its own")
    refused(changed(pico, CONTACTS={0: 23}), "pin 23 is not free")
    w5500 = find_kind("W5500_EVB_PICO")
    chip = {**w5500.wiring.JOURNAL, "spi": 0}
    refused(changed(w5500, JOURNAL=chip), "flash chip: spi 0 is w5500's", "are not spi 0's")


def test_memory_that_does_not_fit_is_refused() -> None:
    pico = find_kind("RPI_PICO_W")
    by_dma = {uart: {**row, "dma": "rp2040"} for uart, row in pico.wiring.UARTS.items()}
    refused(changed(pico, UARTS=by_dma), "131072 bytes", "beside 2 TLS sessions")
    refused(changed(pico, HEAP=150 * 1024), "HEAP: 153600 bytes")
    assert not budget(pico).takes_mpy
    assert budget(find_kind("ESP32_GENERIC_S3")).takes_mpy


def test_hours_are_whole_sectors_over_the_rate() -> None:
    assert hours_of_log(5 * SECTOR_SIZE, 5) == 0
    assert hours_of_log(45 * SECTOR_SIZE, 4096 / 3600) == 40
    kind = find_kind("ESP32_GENERIC")
    assert budget(kind, 10).hours == pytest.approx(budget(kind).hours / 2)


def test_a_folder_that_is_no_board_says_what_it_lacks(tmp_path: Path) -> None:
    folder = tmp_path / "ODD"
    folder.mkdir()
    (folder / "wiring.py").write_text("BOARD = 'ODD'\n")
    with pytest.raises(ToolError, match=r"board\.json"):
        all_kinds(tmp_path)
    (folder / "board.json").write_text('{"mcu": "z80", "product": "odd"}')
    with pytest.raises(ToolError, match="z80"):
        all_kinds(tmp_path)
    (folder / "board.json").write_text('{"mcu": "esp32", "product": "odd"}')
    (folder / "partitions.csv").write_text("# fine\njournal, data\n")
    with pytest.raises(ToolError, match=r"partitions\.csv:2: want label"):
        all_kinds(tmp_path)
    with pytest.raises(ToolError, match="no board 'NONE'"):
        find_kind("NONE")


def test_a_new_board_is_a_new_folder_and_nothing_else(tmp_path: Path) -> None:
    copy = tmp_path / "MY_BOARD"
    copy.mkdir()
    for path in (BOARDS / "RPI_PICO_W").iterdir():
        (copy / path.name).write_text(path.read_text().replace("RPI_PICO_W", "MY_BOARD"))
    assert [kind.name for kind in all_kinds(tmp_path)] == ["MY_BOARD"]
    assert problems(find_kind("MY_BOARD", tmp_path)) == []
