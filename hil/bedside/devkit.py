"""An ESP32 board on the bench: the loader in its ROM, and what that put into its flash.

Pseudo-terminals carry no DTR and RTS, by which a host resets such a board. So a greeting of the
loader's protocol resets it into the loader, whatever it does, and anything else that comes while
it is there resets it into what is in its flash.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from pathlib import Path

from hil.bedside.bench import BenchBoard
from hil.bedside.interpreter import Start
from hil.bedside.rom_loader import MODELS, SYNC, CablePulled, Faults, RomLoader
from hil.board import Line

_IMAGE_AT = {"esp32": 0x1000, "esp32s3": 0}
_TABLE_AT = 0x8000
_ENTRY = struct.Struct("<2sBBII16sI")
_SIZES = {0: 1, 1: 2, 2: 4, 3: 8, 4: 16}  # MB, by the upper half of byte 3 of an image's header


class Devkit(BenchBoard):
    """One board with an ESP32.

    chip    esp32 or esp32s3
    frozen  folder of what the image that will be written froze
    lines   {number: far end} of its UARTs, as the rig opens them before `start`
    """

    def __init__(
        self,
        root: Path,
        chip: str = "esp32",
        flash_size: int = 4 << 20,
        mac: bytes = b"\x24\x0a\xc4\x00\x00\x01",
        frozen: Path | None = None,
    ) -> None:
        super().__init__(root, flash_size)
        self.chip = chip
        self.mac = mac
        self.frozen = frozen
        self.lines: dict[int, Line] = {}
        self._file = self.flash_path.open("r+b")
        self.flash = mmap.mmap(self._file.fileno(), flash_size)
        self.faults = Faults()
        self.loader = RomLoader(chip, self.flash, mac, self.faults)  # type: ignore[arg-type]
        assert chip in MODELS

    def takes_over(self, data: bytes) -> bool:
        if SYNC in data:
            self.stop()
            self.loader.reset()
            return True
        return False

    def received(self, data: bytes) -> None:
        if b"\xc0" not in data and not self.loader.is_in_frame:
            if data.strip(b"\x00"):
                self.boot()
                if self._app is not None:
                    self._app.write(data)
            return
        if SYNC in data:
            self.loader.reset()
        try:
            self.say(self.loader.feed(data))
        except CablePulled:
            self.unplug()

    def table(self) -> dict[str, tuple[int, int]] | None:
        """Return {label: (offset, size)} of the table in flash, None when its check fails."""
        places: dict[str, tuple[int, int]] = {}
        data = self.flash[_TABLE_AT : _TABLE_AT + 0xC00]
        for at in range(0, len(data), _ENTRY.size):
            magic, _, _, offset, size, label, _ = _ENTRY.unpack_from(data, at)
            if magic == b"\xeb\xeb":
                found = hashlib.md5(data[:at], usedforsecurity=False).digest()
                return places if found == data[at + 16 : at + 32] else None
            if magic != b"\xaa\x50":
                return None
            places[label.rstrip(b"\0").decode()] = (offset, size)
        return None

    def boots(self) -> Start | None:
        table = self.table()
        at = _IMAGE_AT[self.chip]
        app = (table or {}).get("factory", (0, 0))[0]
        if not table or self.flash[at] != 0xE9 or self.flash[app] != 0xE9:
            return None
        # The bootloader goes by the size in the image's header, and refuses what lies beyond.
        size = _SIZES[self.flash[at + 3] >> 4] << 20
        end = max(offset + length for offset, length in table.values())
        if size > len(self.flash) or end > size:
            return None
        vfs = table.get("vfs", (end, size - end))
        own = b"bridge/app.py\0" in self.flash[app : app + table["factory"][1]]
        return Start(
            "esp32",
            vfs,
            table,
            frozen=self.frozen if own else None,
            unique_id=self.mac,
            uarts={number: line.slave for number, line in self.lines.items()},
        )

    def close(self) -> None:
        super().close()
        for line in self.lines.values():
            line.close()
        self.flash.close()
        self._file.close()
