"""An RP2 board on the bench: a drive that waits for an image, or MicroPython behind a serial port.

Written from the data sheets' description of the boot ROM's drive and the UF2 specification, apart
from what the host tools know of UF2.
"""

from __future__ import annotations

import struct
from pathlib import Path

from hil.bedside.bench import BenchBoard
from hil.bedside.interpreter import Start

INFO = "INFO_UF2.TXT"

_BLOCK = 512
_MAGICS = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
_FLASH_AT = 0x10000000
_FAMILIES = {"rp2040": 0xE48BFF56, "rp2350": 0xE48BFF59}
_BOARD_IDS = {"rp2040": "RPI-RP2", "rp2350": "RP2350"}


class Pico(BenchBoard):
    """One board with an RP2040 or RP2350.

    storage     bytes at the end of the flash that an image leaves to its programs
    files       (start, size) in it that our own image takes for files; a stock one takes all
    frozen      folder of what our own image froze
    drive       folder that is its drive while it waits for an image
    pull_after  the cable comes out once so many bytes of an image have arrived, 0 for never
    """

    def __init__(
        self,
        root: Path,
        mcu: str = "rp2040",
        flash_size: int = 2 << 20,
        storage: int = 640 << 10,
        files: tuple[int, int] | None = None,
        frozen: Path | None = None,
        unique_id: bytes = b"\xe6\x61\x40\x00\x00\x00\x00\x01",
    ) -> None:
        super().__init__(root, flash_size)
        self.mcu = mcu
        self.frozen = frozen
        self.unique_id = unique_id
        self.drive = self.root / "drive"
        self.pull_after = 0
        self._size = flash_size
        self._storage = storage
        self._files = files or (0, storage)
        self._seen = 0

    def hold_bootsel(self) -> None:
        """Plug it in with the button held: it shows its drive."""
        self.stop()
        self.unplug()
        self.drive.mkdir(exist_ok=True)
        self._seen = 0
        for path in self.drive.iterdir():
            path.unlink()
        text = f"UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: {_BOARD_IDS[self.mcu]}\n"
        (self.drive / INFO).write_text(text)

    def pull(self) -> None:
        """Take the cable out: port and drive are gone."""
        self.stop()
        self.unplug()
        if self.drive.exists():
            for path in self.drive.iterdir():
                path.unlink()
            self.drive.rmdir()

    def received(self, data: bytes) -> None:
        """Nothing listens at the port of a board without a program."""

    def has_reset(self, cause: str) -> None:
        if cause == "bootloader":
            self.hold_bootsel()
        else:
            self.unplug()  # USB goes away with the chip's reset, and comes back
            self.boot()
            self.plug()

    def turn(self) -> None:
        if not (self.drive / INFO).exists():
            return
        for path in self.drive.iterdir():
            if path.name == INFO:
                continue
            try:
                data = path.read_bytes()
            except OSError:
                continue
            if self.pull_after and len(data) >= self.pull_after:
                self.pull_after = 0
                self.pull()
            elif len(data) != self._seen:
                self._seen = len(data)
                if self._takes(data):
                    self.pull()
                    self.boot()
                    self.plug()
            return

    def _takes(self, data: bytes) -> bool:
        """Program the blocks that have come; says whether that was the last of them."""
        got: set[int] = set()
        wanted = -1
        with self.flash_path.open("r+b") as flash:
            for at in range(0, len(data) - _BLOCK + 1, _BLOCK):
                block = data[at : at + _BLOCK]
                first, second, _, address, size, number, count, family = struct.unpack_from(
                    "<8I", block
                )
                last = struct.unpack_from("<I", block, _BLOCK - 4)[0]
                if (first, second, last) != _MAGICS or family != _FAMILIES[self.mcu]:
                    continue
                flash.seek(address - _FLASH_AT)
                flash.write(block[32 : 32 + size])
                got.add(number)
                wanted = count
        return len(got) == wanted

    def contents(self) -> bytes:
        return self.flash_path.read_bytes()

    def boots(self) -> Start | None:
        code = self.contents()[: self._size - self._storage]
        if code[:4096] == b"\xff" * 4096:
            return None
        base = self._size - self._storage
        own = b"bridge/app.py\0" in code
        start, size = self._files if own else (0, self._storage)
        return Start(
            "rp2",
            (base + start, size),
            {"storage": (base, self._storage)},
            page=256,
            when_unreadable="keep" if own and self._files[1] != self._storage else "format",
            frozen=self.frozen if own else None,
            unique_id=self.unique_id,
        )
