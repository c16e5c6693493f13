"""UF2 onto a drive that restarts into a board, and all that can go wrong on the way."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.bedside.pico import Pico
from tests.support.bench import fails, frozen_firmware, plugged_in, run, small_firmware, units_of
from tests.support.images import rp2_firmware, sha256
from vitalkeep.board import rp2, uf2
from vitalkeep.board.flash import Order
from vitalkeep.board.kinds import find_kind

KIND, PICO2 = find_kind("RPI_PICO_W"), find_kind("RPI_PICO2_W")
OWN = rp2_firmware(KIND.chip.family, frozen=True)


def order(folder: Path, image: bytes = OWN, board: str = "RPI_PICO_W", **more: bool) -> Order:
    path = folder / "firmware.uf2"
    path.write_bytes(image)
    firmware = small_firmware(folder / "firmware")
    return Order(
        home=folder / "home", board=board, image=path, sha256=sha256(image), firmware=firmware,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture
def pico(tmp_path: Path) -> Iterator[Pico]:
    board = Pico(tmp_path / "board", frozen=frozen_firmware(tmp_path / "frozen", KIND))
    with plugged_in(board, port=False):
        yield board


def find(*boards: Pico) -> object:
    return units_of(*boards, vid=0x2E8A, pid=5)


def test_a_drive_gets_the_image_and_becomes_a_gateway(pico: Pico, tmp_path: Path) -> None:
    pico.hold_bootsel()
    done = run(order(tmp_path), find(pico))  # type: ignore[arg-type]
    assert done.image_written
    assert pico.contents().startswith(uf2.parse(OWN).contents())
    assert done.installed is not None
    assert done.installed.frozen == "0.1.0"  # the code is in the image: no file was copied
    assert done.unique_id == "e661400000000001"


def test_a_running_board_is_asked_to_wait_for_an_image(pico: Pico, tmp_path: Path) -> None:
    pico.hold_bootsel()
    run(order(tmp_path), find(pico))  # type: ignore[arg-type]
    newer = rp2_firmware(KIND.chip.family, frozen=True, seed=5)
    run(order(tmp_path, newer), find(pico))  # type: ignore[arg-type]
    assert pico.contents().startswith(uf2.parse(newer).contents())


def test_a_cable_that_is_pulled_costs_nothing_but_a_second_run(
    pico: Pico, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pico.hold_bootsel()
    pico.pull_after = 60000
    monkeypatch.setattr(rp2, "_RETURN_S", 2)
    fails("cable", order(tmp_path), find(pico), files=False)  # type: ignore[arg-type]
    pico.hold_bootsel()
    run(order(tmp_path), find(pico), files=False)  # type: ignore[arg-type]
    assert pico.contents().startswith(uf2.parse(OWN).contents())


def test_wrong_chips_and_stock_images_are_refused_before_anything_is_written(
    pico: Pico, tmp_path: Path
) -> None:
    pico.hold_bootsel()
    own = rp2_firmware(PICO2.chip.family, frozen=True)
    fails("wrong-chip", order(tmp_path, own, "RPI_PICO2_W"), find(pico))  # type: ignore[arg-type]
    stock = rp2_firmware(PICO2.chip.family, frozen=False)
    error = fails(
        "stock-image", order(tmp_path, stock, "RPI_PICO2_W"), find(pico)  # type: ignore[arg-type]
    )  # fmt: skip
    assert "would format the log" in error.message
    assert set(pico.contents()) == {0xFF}
    assert [path.name for path in pico.drive.iterdir()] == ["INFO_UF2.TXT"]


def test_a_drive_that_takes_nothing_is_told(
    pico: Pico, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rp2, "_ACCEPT_S", 0.5)
    pico.hold_bootsel()
    pico.mcu = "rp2350"  # its drive says one thing, and its chip is another
    fails("not-accepted", order(tmp_path), find(pico), files=False)  # type: ignore[arg-type]


def test_two_drives_are_not_mixed_up(pico: Pico, tmp_path: Path) -> None:
    other = Pico(tmp_path / "other")
    with plugged_in(other, port=False):
        pico.hold_bootsel()
        other.hold_bootsel()
        fails("several-boards", order(tmp_path), find(pico, other))  # type: ignore[arg-type]
        run(
            order(tmp_path), find(pico, other), drive=other.drive, files=False  # type: ignore[arg-type]
        )  # fmt: skip
        assert set(pico.contents()) == {0xFF}
        assert other.contents().startswith(uf2.parse(OWN).contents())


def test_a_stock_image_formats_what_is_not_files_and_our_own_does_not(tmp_path: Path) -> None:
    """Why the one is refused where the log is in the board's own flash."""
    kept = {}
    for frozen in (False, True):
        wiring = PICO2.wiring
        board = Pico(
            tmp_path / str(frozen), "rp2350", wiring.FLASH, wiring.STORAGE,
            (wiring.FILES["start"], wiring.FILES["size"]),
            frozen_firmware(tmp_path / f"frozen-{frozen}", PICO2),
        )  # fmt: skip
        base = wiring.FLASH - wiring.STORAGE
        with board.flash_path.open("r+b") as flash:
            flash.write(uf2.parse(rp2_firmware(PICO2.chip.family, frozen=frozen)).contents())
            flash.seek(base)
            flash.write(b"not littlefs")
        with plugged_in(board):
            board.boot()
            board.wait_for(">>> ")
        kept[frozen] = board.contents()[base : base + 12] == b"not littlefs"
    assert kept == {False: False, True: True}
