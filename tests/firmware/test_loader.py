"""Which firmware the loader chooses, and what it says of those that it does not."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from bridge.core import bundle as layout
from bridge.core.bundle import Manifest
from hil.board import FIRMWARE
from vitalkeep.board.bundle import pack

MPY = 0x2B06


@pytest.fixture
def mounted() -> list[Any]:
    """What the loader has mounted, the last one last."""
    return []


@pytest.fixture
def loader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounted: list[Any]
) -> Iterator[ModuleType]:
    def mount(files: Any, where: str, readonly: bool) -> None:
        assert (where, readonly) == ("/app", True)
        mounted.append(files)

    watchdogs: list[int] = []
    monkeypatch.setitem(sys.modules, "vfs", SimpleNamespace(mount=mount))
    machine = SimpleNamespace(WDT=lambda timeout: watchdogs.append(timeout), watchdogs=watchdogs)
    monkeypatch.setitem(sys.modules, "machine", machine)
    monkeypatch.setattr(sys.implementation, "_mpy", MPY, raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundles").mkdir()
    spec = importlib.util.spec_from_file_location("loader", FIRMWARE / "loader.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # It would take this interpreter's own out of sys.modules.
    monkeypatch.setattr(module, "_look_at_image", lambda: None)
    yield module


def put(slot: str, text: bytes, mpy: int = MPY, base: str = "") -> None:
    modules = {"bridge/app.mpy": text, "wiring.mpy": b"wires"}
    made = pack(modules, Manifest("0.2.0", "ANY", mpy, 1, base))
    (Path("bundles") / slot).write_bytes(made.data)


def runs(loader: ModuleType, mounted: list[Any]) -> bytes:
    """Start, and return the text of the module that would be imported; b"" for the image's own."""
    mounted.clear()
    assert loader.start()
    if not mounted:
        return b""
    with mounted[0].open("/bridge/app.mpy", "rb") as file:
        return file.read(3)


def test_without_a_state_the_image_itself_runs(loader: ModuleType, mounted: list[Any]) -> None:
    put("a", b"one")
    assert runs(loader, mounted) == b""


def test_the_slot_that_holds_is_mounted_and_others_are_not_found(
    loader: ModuleType, mounted: list[Any]
) -> None:
    put("a", b"one")
    put("b", b"two")
    loader.write(loader.State("b", "a"))
    assert runs(loader, mounted) == b"two"
    assert sys.path[0] == "/app"
    files = mounted[0]
    assert files.stat("/bridge")[0] == 0x4000
    assert files.stat("/bridge/app.mpy")[0] == 0x8000
    for path in ("/bridge/app", "/bridge/app.py", "/bridge/none.mpy", "/binascii"):
        with pytest.raises(OSError, match="2"):
            files.stat(path)
    with pytest.raises(OSError, match="21"):
        files.open("/bridge", "rb")
    assert sys.modules["machine"].watchdogs == []


def test_a_trial_has_a_watchdog_and_ends_with_the_third_start(
    loader: ModuleType, mounted: list[Any]
) -> None:
    put("a", b"one")
    put("b", b"two")
    loader.write(loader.State("a"))
    loader.switch(True, 5)
    assert [runs(loader, mounted) for _ in range(4)] == [b"two", b"two", b"one", b"one"]
    assert len(sys.modules["machine"].watchdogs) == 2
    assert loader.take_note() == "taken back: did not come back"
    assert loader.take_note() == ""


def test_what_is_kept_stays_and_the_one_before_is_there_when_it_breaks(
    loader: ModuleType, mounted: list[Any]
) -> None:
    put("a", b"one")
    put("b", b"two")
    loader.write(loader.State("a"))
    loader.switch(False, 0)
    runs(loader, mounted)
    loader.keep()
    assert not loader.failed(ValueError("later"))  # no trial: nothing to go back from
    assert [runs(loader, mounted) for _ in range(4)] == [b"two"] * 4
    path = Path("bundles/b")
    path.write_bytes(path.read_bytes().replace(b"wires", b"wirez"))
    assert runs(loader, mounted) == b"one"
    assert loader.take_note() == "taken back: bundle b: damaged"


def test_what_cannot_start_goes_back_at_once(loader: ModuleType, mounted: list[Any]) -> None:
    put("a", b"one")
    loader.switch(False, 0)  # from the image's own
    assert runs(loader, mounted) == b"one"
    assert loader.failed(ImportError("no module"))
    assert runs(loader, mounted) == b""
    assert loader.take_note() == "taken back: ImportError: no module"


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda data: data[:-1], "cut short"),
        (lambda data: b"", "cut short"),
        (lambda data: b"VKB2" + data[4:], "cut short"),
        (lambda data: data[:-99] + b"?" + data[-98:], "damaged"),
        (lambda data: data[:14] + b"\xff" + data[15:], "damaged"),  # in the manifest
    ],
)
def test_what_is_not_whole_does_not_run(
    loader: ModuleType, mounted: list[Any], spoil: Any, why: str
) -> None:
    put("a", b"one")
    path = Path("bundles/a")
    path.write_bytes(spoil(path.read_bytes()))
    loader.write(loader.State("a"))
    assert runs(loader, mounted) == b""
    assert why in loader.take_note()


@pytest.mark.parametrize("about", [b"[]", b"{}", b"3"])
def test_a_bundle_that_is_whole_and_makes_no_sense_gives_way(
    loader: ModuleType, mounted: list[Any], about: bytes
) -> None:
    put("a", b"one")
    size = layout.HEAD_SIZE + len(about) + layout.TAIL_SIZE
    body = struct.pack(layout.HEAD, layout.MAGIC, size, len(about), 0) + about
    signature = bytes(layout.SIGNATURE_SIZE)
    Path("bundles/b").write_bytes(body + hashlib.sha256(body).digest() + signature)
    loader.write(loader.State("b", "a"))
    assert runs(loader, mounted) == b"one"
    assert loader.read().now == "a"


def test_a_bundle_for_which_there_is_no_memory_gives_way(
    loader: ModuleType, mounted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    put("a", b"one")
    put("b", b"two")
    loader.write(loader.State("b", "a"))
    left = [MemoryError("memory allocation failed")]

    def loads(data: bytes) -> Any:
        if left:
            raise left.pop()
        return json.loads(data)

    mine = SimpleNamespace(load=json.load, dump=json.dump, loads=loads)
    monkeypatch.setattr(loader, "json", mine)
    assert runs(loader, mounted) == b"one"
    assert "memory allocation failed" in loader.take_note()


def test_a_bundle_for_another_micropython_does_not_run(
    loader: ModuleType, mounted: list[Any]
) -> None:
    put("a", b"one", mpy=6)
    loader.write(loader.State("a"))
    assert runs(loader, mounted) == b""
    assert loader.take_note() == "taken back: bundle a: for another MicroPython"


def test_a_patch_runs_on_the_image_that_it_was_made_for_alone(
    loader: ModuleType, mounted: list[Any]
) -> None:
    for image, text in (("0.1.0", b"one"), ("0.1.1", b""), ("", b"")):
        put("a", b"one", base="0.1.0")
        loader.write(loader.State("a"))
        loader.image = image
        assert runs(loader, mounted) == text
    assert loader.take_note() == "taken back: bundle a: for another image"


def test_a_state_that_nobody_can_read_has_both_slots_tried(
    loader: ModuleType, mounted: list[Any]
) -> None:
    put("b", b"two")
    for text in ("", "{", '{"now": "a", "unknown": 1}', "[]"):
        Path("bundles/state").write_text(text)
        assert runs(loader, mounted) == b"two", text


def test_somebody_who_waits_has_one_start_end_at_the_prompt(
    loader: ModuleType, mounted: list[Any]
) -> None:
    put("a", b"one")
    loader.write(loader.State("a"))
    Path("bundles/wait").write_text("")
    assert not loader.start()
    assert mounted == []
    assert runs(loader, mounted) == b"one"


def test_a_flash_that_is_full_stops_no_start(
    loader: ModuleType, mounted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    put("a", b"one")
    put("b", b"two")
    loader.write(loader.State("a", "b"))
    whole = open

    def full(name: Any, mode: str = "r", *more: Any) -> Any:
        if "w" in mode and str(name).startswith("bundles/"):
            raise OSError(28)
        return whole(name, mode, *more)

    with monkeypatch.context() as patch:
        patch.setattr(loader, "open", full, raising=False)
        assert runs(loader, mounted) == b"one"
        assert not loader.switch(False, 0)
        with pytest.raises(OSError, match="28"):
            loader.clear_spare()
    assert loader.switch(False, 0)
    with monkeypatch.context() as patch:
        patch.setattr(loader, "open", full, raising=False)
        # Starts that cannot be counted are none: it never comes to a board that tries for ever.
        assert [runs(loader, mounted) for _ in range(4)] == [b"one"] * 4
        # What was taken back is not kept later, and of this trial nothing more is said.
        assert loader.read().now == "a"
        assert not loader.is_busy()
        assert not loader.keep()
        assert not loader.failed(ImportError("x"))
    assert loader.keep()
    assert runs(loader, mounted) == b"one"
    assert loader.switch(False, 0)
    assert runs(loader, mounted) == b"two"
    with monkeypatch.context() as patch:
        patch.setattr(loader, "open", full, raising=False)
        assert not loader.keep()
        assert loader.failed(ImportError("x"))
    assert runs(loader, mounted) == b"two"
    assert loader.keep()


def test_filling_a_slot_begins_with_striking_it(loader: ModuleType) -> None:
    put("a", b"one")
    put("b", b"two")
    loader.write(loader.State("a", "b"))
    Path("bundles/offer").write_text("{}")
    assert loader.is_busy()
    loader.clear_spare()
    assert json.loads(Path("bundles/state").read_text())["before"] == ""
    assert sorted(path.name for path in Path("bundles").iterdir()) == ["a", "state"]
    assert not loader.is_busy()


def test_the_loader_reads_what_the_format_says(loader: ModuleType) -> None:
    for name in ("HEAD", "MAGIC"):
        assert getattr(loader, f"_{name}") == getattr(layout, name)
    assert loader._ENTRY_SIZE == layout.ENTRY_SIZE
    assert (
        hashlib.sha256().digest_size,
        layout.SIGNATURE_SIZE,
    ) == (loader._DIGEST_SIZE, loader._SIGNATURE_SIZE)
