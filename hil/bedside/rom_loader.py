"""The serial loader in an ESP32's ROM, and the stub that hosts put into its RAM: bytes to bytes.

Written from Espressif's public description of the serial protocol (SLIP frames; commands, their
arguments and status bytes; the stub's streaming read). Beside the commands there are only the
registers that a host reads to learn which chip this is, how large its flash is, and its address.

Not modelled: security features, other SPI pins, the time that anything takes.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

SECTOR = 4096

_END, _ESCAPE, _ESCAPED_END, _ESCAPED_ESCAPE = 0xC0, 0xDB, 0xDC, 0xDD
_CHECKSUM_SEED = 0xEF
_HEAD = struct.Struct("<BBHI")
_SLOW_READ = 64  # bytes that the ROM returns at once
_SYNCS = 8
_SYNC_OF_ROM = 0x20120707
_BAD_MESSAGE, _BAD_CHECK, _FAILED = 0x05, 0x07, 0x06
_SPI_USR = 1 << 18
_READ_ID = 0x9F
_WINBOND = 0xEF

SYNC = b"\x00\x08\x24\x00"  # how the first request of a host begins


@dataclass(frozen=True)
class Model:
    """What tells one chip from another.

    magic      of the register at 0x40001000, for chips whose ROM does not say its id
    chip_id    in the answer to GET_SECURITY_INFO, None where the ROM has none
    mac        addresses of the two words of the eFuse MAC
    spi        base of the flash controller; usr2, w0: offsets in it
    registers  others that a host wants, with values
    """

    magic: int
    chip_id: int | None
    mac: tuple[int, int]
    spi: int
    usr2: int
    w0: int
    registers: dict[int, int] = field(default_factory=dict)


_MAGIC_AT = 0x40001000
MODELS = {
    # The clock divider is that of 115200 baud with a crystal of 40 MHz.
    "esp32": Model(
        0x00F01D83, None, (0x3FF5A004, 0x3FF5A008), 0x3FF42000, 0x24, 0x80, {0x3FF40014: 347}
    ),
    "esp32s3": Model(0x9, 9, (0x60007044, 0x60007048), 0x60002000, 0x20, 0x58),
}


@dataclass
class Faults:
    """What goes wrong, and how often; 0 for never.

    pull_after     the cable comes out after so many blocks to flash
    pull_read      the same after so many bytes were read
    flip           one bit of the so manyth block to flash arrives wrong, behind every check
    silent         whether the chip answers nothing
    refuse_block   so many blocks are answered with an error, and are right when sent again
    """

    pull_after: int = 0
    pull_read: int = 0
    flip: int = 0
    silent: bool = False
    refuse_block: int = 0


class CablePulled(Exception):
    """The rig is to cut the line now."""


class RomLoader:
    """One chip that waits for a host.

    flash   its contents: bytearray-like of the flash's size, changed in place
    erased  (offset, size) of all that was erased so far
    """

    def __init__(self, chip: str, flash: bytearray, mac: bytes, faults: Faults | None = None):
        self.model = MODELS[chip]
        self.flash = flash
        self.faults = faults or Faults()
        self.erased: list[tuple[int, int]] = []
        self._registers = dict(self.model.registers)
        self._registers[_MAGIC_AT] = self.model.magic
        low, high = self.model.mac
        self._registers[low] = int.from_bytes(mac[2:], "big")
        self._registers[high] = int.from_bytes(mac[:2], "big")
        self._handlers: dict[int, Callable[[bytes, int], bytes]] = {
            0x02: self._flash_begin, 0x03: self._flash_data, 0x04: self._done,
            0x05: self._done, 0x06: self._ram_end, 0x07: self._ram_data,
            0x09: self._write_register, 0x0A: self._read_register, 0x0B: self._done,
            0x0D: self._done, 0x0E: self._read_slowly, 0x0F: self._done,
            0x10: self._deflated_begin, 0x11: self._deflated_data, 0x12: self._done,
            0x13: self._md5, 0x14: self._security,
            0xD0: self._erase_all, 0xD1: self._erase_region, 0xD2: self._read,
        }  # fmt: skip
        self._blocks = 0
        self._bytes_read = 0
        self.reset()

    def reset(self) -> None:
        """What a reset does: RAM is gone, and the stub with it."""
        self._stub = self._starting = False
        self._frame: bytearray | None = None
        self._escaped = False
        self._value = 0
        self._after = b""  # frames that follow the answer
        self._stream: tuple[int, int, int] | None = None  # sent, acknowledged, end of a reading
        self._place = self._limit = 0
        self._expand: zlib._Decompress | None = None

    @property
    def is_in_frame(self) -> bool:
        """Whether a frame has begun that has not ended."""
        return bool(self._frame)

    def feed(self, data: bytes) -> bytes:
        """Return what the chip answers to some bytes; raises CablePulled."""
        answer = bytearray()
        for byte in data:
            if byte == _END:
                if self._frame:
                    answer += self._take(bytes(self._frame))
                self._frame = bytearray()
                self._escaped = False
            elif self._frame is None:
                continue  # noise before the first frame
            elif self._escaped:
                self._escaped = False
                self._frame.append({_ESCAPED_END: _END, _ESCAPED_ESCAPE: _ESCAPE}.get(byte, byte))
            elif byte == _ESCAPE:
                self._escaped = True
            else:
                self._frame.append(byte)
        return b"" if self.faults.silent else bytes(answer)

    # --- requests ---

    def _take(self, frame: bytes) -> bytes:
        if self._stream is not None and len(frame) == 4:
            return self._acknowledged(frame)
        self._stream = None  # a host that asks for something else has given the reading up
        if len(frame) < _HEAD.size:
            return b""
        direction, code, size, check = _HEAD.unpack_from(frame)
        payload = frame[_HEAD.size :]
        if direction or size != len(payload):
            return b""
        if code == 0x08:
            value = 0 if self._stub else _SYNC_OF_ROM
            return self._answer(code, b"", value=value) * _SYNCS
        handler = self._handlers.get(code)
        if handler is None or (code >= 0xD0 and not self._stub):
            return self._answer(code, b"", _BAD_MESSAGE)
        self._value, self._after = 0, b""
        try:
            body = handler(payload, check)
        except _Refused as refused:
            return self._answer(code, b"", refused.reason)
        answer = self._answer(code, body, value=self._value) + self._after
        self._stub = self._stub or self._starting  # the ROM still answered the last one itself
        return answer

    def _answer(self, code: int, body: bytes, reason: int = 0, value: int = 0) -> bytes:
        status = bytes((1 if reason else 0, reason)) + (b"" if self._stub else bytes(2))
        return slip(_HEAD.pack(1, code, len(body + status), value) + body + status)

    def _done(self, payload: bytes, check: int) -> bytes:
        return b""

    def _block(self, payload: bytes, check: int) -> bytes:
        size = struct.unpack_from("<I", payload)[0]
        data = payload[16:]
        if size != len(data) or _checksum(data) != check & 0xFF:
            raise _Refused(_BAD_CHECK)
        return data

    # --- memory ---

    def _ram_data(self, payload: bytes, check: int) -> bytes:
        self._block(payload, check)
        return b""

    def _ram_end(self, payload: bytes, check: int) -> bytes:
        stays, _ = struct.unpack("<II", payload)
        if not stays:
            self._after = slip(b"OHAI")
            self._starting = True
        return b""

    def _read_register(self, payload: bytes, check: int) -> bytes:
        self._value = self._registers.get(struct.unpack("<I", payload)[0], 0)
        return b""

    def _write_register(self, payload: bytes, check: int) -> bytes:
        spi = self.model.spi
        for address, value, mask, _ in struct.iter_unpack("<IIII", payload):
            old = self._registers.get(address, 0)
            self._registers[address] = old & ~mask | value & mask
            if address == spi and value & _SPI_USR:
                self._registers[spi] = 0  # done at once
                if self._registers.get(spi + self.model.usr2, 0) & 0xFF == _READ_ID:
                    capacity = (len(self.flash) - 1).bit_length()
                    self._registers[spi + self.model.w0] = _WINBOND | 0x40 << 8 | capacity << 16
        return b""

    def _security(self, payload: bytes, check: int) -> bytes:
        if self.model.chip_id is None:
            raise _Refused(_BAD_MESSAGE)
        return struct.pack("<IB7BII", 0, 0, *bytes(7), self.model.chip_id, 0)

    # --- flash ---

    def _begin(self, payload: bytes) -> None:
        size, _, _, offset = struct.unpack_from("<IIII", payload)
        if offset + size > len(self.flash) or offset % SECTOR:
            raise _Refused(_FAILED)
        self._place, self._limit = offset, offset + size
        self._erase(offset, -(-size // SECTOR) * SECTOR)

    def _flash_begin(self, payload: bytes, check: int) -> bytes:
        self._begin(payload)
        return b""

    def _deflated_begin(self, payload: bytes, check: int) -> bytes:
        self._begin(payload)
        self._expand = zlib.decompressobj()
        return b""

    def _flash_data(self, payload: bytes, check: int) -> bytes:
        self._write(self._block(payload, check))
        return b""

    def _deflated_data(self, payload: bytes, check: int) -> bytes:
        data = self._block(payload, check)
        if self._expand is None:
            raise _Refused(_FAILED)
        if self.faults.refuse_block:
            self.faults.refuse_block -= 1
            raise _Refused(_BAD_CHECK)
        try:
            self._write(self._expand.decompress(data))
        except zlib.error:
            raise _Refused(_FAILED) from None
        return b""

    def _write(self, data: bytes) -> None:
        self._blocks += 1
        if self.faults.pull_after and self._blocks > self.faults.pull_after:
            raise CablePulled
        if self.faults.flip == self._blocks:
            data = bytes((data[0] ^ 0x10,)) + data[1:]
        data = data[: self._limit - self._place]  # the last block is filled up
        self.flash[self._place : self._place + len(data)] = data
        self._place += len(data)

    def _erase(self, offset: int, size: int) -> None:
        if size:
            self.erased.append((offset, size))
        self.flash[offset : offset + size] = b"\xff" * size

    def _erase_all(self, payload: bytes, check: int) -> bytes:
        self._erase(0, len(self.flash))
        return b""

    def _erase_region(self, payload: bytes, check: int) -> bytes:
        offset, size = struct.unpack("<II", payload)
        if offset % SECTOR or size % SECTOR or offset + size > len(self.flash):
            raise _Refused(_FAILED)
        self._erase(offset, size)
        return b""

    def _md5(self, payload: bytes, check: int) -> bytes:
        offset, size, _, _ = struct.unpack("<IIII", payload)
        found = hashlib.md5(self.flash[offset : offset + size], usedforsecurity=False)
        return found.digest() if self._stub else found.hexdigest().encode()

    def _read_slowly(self, payload: bytes, check: int) -> bytes:
        offset, size = struct.unpack("<II", payload)
        self._count(size)
        return bytes(self.flash[offset : offset + size]).ljust(_SLOW_READ, b"\0")

    def _read(self, payload: bytes, check: int) -> bytes:
        offset, size, block, at_once = struct.unpack("<IIII", payload)
        if offset + size > len(self.flash):
            raise _Refused(_FAILED)
        self._reading = offset, size, block, at_once
        self._stream = 0, 0, size
        self._after = self._go_on()
        return b""

    def _acknowledged(self, frame: bytes) -> bytes:
        assert self._stream is not None
        sent, _, size = self._stream
        self._stream = sent, struct.unpack("<I", frame)[0], size
        return self._go_on()

    def _go_on(self) -> bytes:
        """Return the next pieces of a reading, as many as may be on the way, and then its MD5."""
        assert self._stream is not None
        sent, acknowledged, size = self._stream
        offset, _, block, at_once = self._reading
        frames = bytearray()
        while sent < size and sent - acknowledged < block * at_once:
            piece = bytes(self.flash[offset + sent : offset + min(size, sent + block)])
            self._count(len(piece))
            frames += slip(piece)
            sent += len(piece)
        self._stream = sent, acknowledged, size
        if acknowledged >= size:
            whole = bytes(self.flash[offset : offset + size])
            frames += slip(hashlib.md5(whole, usedforsecurity=False).digest())
            self._stream = None
        return bytes(frames)

    def _count(self, size: int) -> None:
        self._bytes_read += size
        if self.faults.pull_read and self._bytes_read > self.faults.pull_read:
            raise CablePulled


class _Refused(Exception):
    """A request that is answered with a reason."""

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason


def slip(data: bytes) -> bytes:
    """Return a frame as it goes over the line (RFC 1055, with a mark at both ends)."""
    escaped = data.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
    return b"\xc0" + escaped + b"\xc0"


def _checksum(data: bytes) -> int:
    check = _CHECKSUM_SEED
    for byte in data:
        check ^= byte
    return check
