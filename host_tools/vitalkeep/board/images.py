"""Images: a local file or a pinned download, and never one whose hash nobody named.

The list of pins is a text file, one image a line, # begins a remark:

    # board        SHA-256 of the file (64 hex digits)    where: a path or an http(s) address
    ESP32_GENERIC  9f86d081884c7d659a2feaa0c55ad015...    images/ESP32_GENERIC.bin
"""

from __future__ import annotations

import hashlib
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from vitalkeep.board import uf2
from vitalkeep.board.errors import BoardError
from vitalkeep.board.kinds import Kind
from vitalkeep.board.partitions import TABLE_AT, TABLE_SIZE, need
from vitalkeep.errors import ToolError
from vitalkeep.keys.private_files import write_file

_SIZE_MAX = 32 << 20
_TIMEOUT_S = 60
_ESP_MAGIC = 0xE9
_CHIP_ID_AT = 12
_APP_AT = 0x10000
_FROZEN = b"bridge/app.py\0"  # among the names of what an image froze
_MAPPED = b"wiring.py\0"


@dataclass(frozen=True)
class Image:
    """A checked image.

    has_firmware  whether the gateway is frozen into it: built from boards/
    """

    name: str
    data: bytes
    sha256: str
    has_firmware: bool


@dataclass(frozen=True)
class Pin:
    """One line of the list."""

    board: str
    sha256: str
    where: str


def read_pins(path: Path) -> list[Pin]:
    """Return the list of pinned images; raises ToolError with the line's number."""
    pins = []
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ToolError(
            f"{path}: {error}", "See docs/guides/flash.md for what it holds."
        ) from None
    for number, line in enumerate(lines, 1):
        fields = line.partition("#")[0].split(None, 2)
        if not fields:
            continue
        if len(fields) != 3 or not re.fullmatch(r"[0-9a-fA-F]{64}", fields[1]):
            raise ToolError(
                f"{path}:{number}: want a board, 64 hex digits and a place",
                "See docs/guides/flash.md for what it holds.",
            )
        pins.append(Pin(fields[0], fields[1].lower(), fields[2].strip()))
    return pins


def get_image(
    kind: Kind, path: Path | None, sha256: str, pins: Path | None, cache: Path
) -> Image | None:
    """Return the image for a kind of board, checked; None when none was named or pinned.

    path    a local file; its hash is `sha256`, or one that is pinned for this board
    pins    the list; cache: folder of what was fetched
    Raises  BoardError, ToolError
    """
    rows = [pin for pin in read_pins(pins) if pin.board == kind.name] if pins else []
    if path is not None:
        data = _read(path)
        found = hashlib.sha256(data).hexdigest()
        known = {sha256.lower()} if sha256 else {pin.sha256 for pin in rows}
        if not known:
            raise BoardError(
                "unchecked",
                f"{path}: nobody said which hash it must have",
                f"If its maker published {found}, say so: --sha256 {found}",
            )
        if found not in known:
            raise BoardError(
                "hash-mismatch",
                f"{path}: SHA-256 {found}, want {' or '.join(sorted(known))}",
                "It is another version, or was damaged: fetch it anew.",
            )
        return _checked(kind, path.name, data)
    if not rows:
        return None
    pin = rows[-1]
    assert pins is not None
    kept = cache / pin.sha256
    if not kept.exists() or hashlib.sha256(kept.read_bytes()).hexdigest() != pin.sha256:
        data = _fetch(pin.where, pins.parent)
        found = hashlib.sha256(data).hexdigest()
        if found != pin.sha256:
            raise BoardError(
                "hash-mismatch",
                f"{pin.where}: SHA-256 {found}, want {pin.sha256}",
                "It was replaced or tampered with: ask who wrote the list.",
            )
        cache.mkdir(parents=True, exist_ok=True)
        write_file(kept, data, 0o644)
    return _checked(kind, pin.where.rsplit("/", 1)[-1], kept.read_bytes())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ToolError(f"{path}: {error.strerror}", "Name the image's file: --image.") from None


def _fetch(where: str, base: Path) -> bytes:
    if not re.match(r"https?://", where):
        return _read(base / where)
    try:
        with urllib.request.urlopen(where, timeout=_TIMEOUT_S) as answer:
            data: bytes = answer.read(_SIZE_MAX + 1)
    except (OSError, ValueError) as error:
        raise BoardError(
            "download", f"{where}: {error}", "Fetch it elsewhere, and name the file: --image."
        ) from None
    if len(data) > _SIZE_MAX:
        raise BoardError("download", f"{where}: more than {_SIZE_MAX} bytes", "Is it the image?")
    return data


# --- what an image is ---


def _checked(kind: Kind, name: str, data: bytes) -> Image:
    contents = data
    if kind.chip.port == "esp32":
        _check_esp32(kind, name, data)
    else:
        contents = _check_rp2(kind, name, data)
    has_firmware = _FROZEN in contents
    if kind.needs_own_image and not (has_firmware and _MAPPED in contents):
        raise BoardError(
            "stock-image",
            f"{name} was not built from boards/{kind.name}: at its start such an image takes "
            "the whole storage area for files, and would format the log",
            f"Build the image from boards/{kind.name} (its README), or choose a board whose "
            "log is on a chip of its own.",
        )
    return Image(name, data, hashlib.sha256(data).hexdigest(), has_firmware)


def _check_esp32(kind: Kind, name: str, data: bytes) -> None:
    chip = kind.chip
    table, app = TABLE_AT - chip.image_at, _APP_AT - chip.image_at
    if data[:1] != bytes((_ESP_MAGIC,)) or data[table : table + 2] != b"\xaa\x50":
        raise BoardError(
            "wrong-image",
            f"{name}: not a whole image of an ESP32 with bootloader and table",
            f"Take the file that is meant for {chip.image_at:#x}: firmware.bin of a build.",
        )
    found = int.from_bytes(data[_CHIP_ID_AT : _CHIP_ID_AT + 2], "little")
    if found != chip.image_id or data[app : app + 1] != bytes((_ESP_MAGIC,)):
        raise BoardError(
            "wrong-image",
            f"{name}: for chip {found}, and {kind.name} has chip {chip.image_id} ({kind.mcu})",
            "Take the image of this board.",
        )
    room = need(kind.partitions, "factory")
    if app + room.size < len(data):
        raise BoardError(
            "wrong-image",
            f"{name}: {len(data) - app} bytes of program, and there is room for {room.size}",
            "Take a smaller image, or change partitions.csv.",
        )


def _check_rp2(kind: Kind, name: str, data: bytes) -> bytes:
    image = uf2.parse(data)
    if image.family != kind.chip.family:
        raise BoardError(
            "wrong-image",
            f"{name}: for {uf2.family_name(image.family)}, and {kind.name} is an {kind.mcu}",
            "Take the image of this board.",
        )
    room = kind.wiring.FLASH - kind.wiring.STORAGE
    if image.end > room:
        raise BoardError(
            "wrong-image",
            f"{name}: ends at {image.end}, and files begin at {room}",
            "Take the image that was built from this board's folder.",
        )
    return image.contents()


def split(kind: Kind, data: bytes, table: bytes) -> list[tuple[int, bytes]]:
    """Return (offset, bytes) of an ESP32's image with our table, which comes last.

    What lies between, the system's own settings, is left alone.
    """
    at = kind.chip.image_at
    assert len(table) == TABLE_SIZE
    boot, app = data[: TABLE_AT - at], data[_APP_AT - at :]
    return [(at, boot), (_APP_AT, app), (TABLE_AT, table)]
