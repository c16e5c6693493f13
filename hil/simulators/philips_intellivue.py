"""IntelliVue monitor, data export on MIB/RS232, 115200 8N1: association, polls, numerics, waves.

    C0 11 01 size u16 message FCS(low byte first) C1; C0, C1, 7D are sent as 7D and the byte ^ 20

It serves one client, wants its MDS create event answered, and forgets a client that is silent for
ten seconds. Source: public decoders of the data export interface.
"""

from __future__ import annotations

import asyncio
import math
import struct
from binascii import unhexlify

from hil.simulators.device import Plug, now_s

BAUD = 115200
CHARACTER_BITS = 10
OPTIONS: dict[str, object] = {}

_ACCEPT = unhexlify(
    "0ece0508130100160102800014020002c1be3180a0808001010000a280a003000001a580308080010081025101"
    "0000308080010081" + "0c2a8648ce1402010000000201" + "00000000" + "61803080020101a0806180a180"
    "060c2a8648ce1402010000000301" + "0000" + "a203020100a305a103020100be802880020102" + "8148"
    "80000000400000000000000000800000200000000000000000" + "01002c00010028" + "8000000000001f40"
    "000003e8000003e8ffffffff600000000001000cf001000888000000" + "00000000" + "00" * 16
)
_REFUSE = bytes((0x0C, 0x05, 0x05, 0x08, 0x13, 0x01, 0x00))
_RELEASED = bytes((0x0A, 0x04, 0x00, 0x00, 0x00, 0x00))
_PATIENCE_S, _ANSWER_S, _MDS_S = 10.0, 0.02, 0.1
_NUMERICS, _WAVES, _ALERTS = 6, 9, 0x36
_SINGLE, _EXTENDED = 0x0C16, 0xF13B
_NAN = 0x7FFFFF
_INVALID = 0x8000
_WAVE_S = 0.256

# label: handle, physio id, unit, decimals, label of what is measured
_VALUES = {
    "HR": (0x1001, 0x4182, 0x0AA0, 0, "HR"),
    "SpO2": (0x1002, 0x4BB8, 0x0220, 1, "SpO2"),
    "PR": (0x1003, 0x4822, 0x0AA0, 0, "PR"),
    "RESP": (0x1004, 0x500A, 0x0AE0, 0, "RESP"),
    "Temp": (0x1005, 0x4B48, 0x17A0, 1, "Temp"),
    "EtCO2": (0x1006, 0x50B0, 0x0F20, 0, "EtCO2"),
}
_PRESSURES = {
    "NBP": (0x1010, 0x4A05, ("NBPs", "NBPd", "NBPm")),
    "ABP": (0x1011, 0x4A15, ("ABPs", "ABPd", "ABPm")),
}


def fcs(data: bytes) -> int:
    """Return CRC-16/X-25."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
    return crc ^ 0xFFFF


def framed(message: bytes) -> bytes:
    """Return a frame."""
    body = struct.pack(">BBH", 0x11, 0x01, len(message)) + message
    body += struct.pack("<H", fcs(body))
    out = b"".join(
        bytes((0x7D, byte ^ 0x20)) if byte in b"\xc0\xc1\x7d" else bytes((byte,)) for byte in body
    )
    return b"\xc0" + out + b"\xc1"


def unframed(frame: bytes) -> bytes | None:
    """Return the message between C0 and C1, None when its size or FCS is wrong."""
    body = bytearray()
    escaped = False
    for byte in frame:
        if byte == 0x7D and not escaped:
            escaped = True
        else:
            body.append(byte ^ 0x20 if escaped else byte)
            escaped = False
    if len(body) < 6 or struct.pack("<H", fcs(bytes(body[:-2]))) != bytes(body[-2:]):
        return None
    size = struct.unpack_from(">H", body, 2)[0]
    return bytes(body[4:-2]) if size == len(body) - 6 else None


def number(value: float | None, decimals: int) -> bytes:
    """Return a FLOAT-Type; NaN for None."""
    if value is None:
        return struct.pack(">I", _NAN)
    return struct.pack(">I", (-decimals & 0xFF) << 24 | round(value * 10**decimals) & 0xFFFFFF)


def attribute(id: int, value: bytes) -> bytes:
    """Return one attribute."""
    return struct.pack(">HH", id, len(value)) + value


def listed(items: list[bytes]) -> bytes:
    """Return {count, size, items}."""
    data = b"".join(items)
    return struct.pack(">HH", len(items), len(data)) + data


class IntellivueMonitor:
    """One monitor; `refused` counts requests that it does not know."""

    def __init__(self, plug: Plug) -> None:
        self.refused = 0
        self._plug = plug
        self._associated = False
        self._created = False
        self._heard_s = 0.0
        self._until_s: dict[int, float] = {}  # class: when its extended poll ends
        self._polls: dict[int, tuple[int, int]] = {}  # class: invoke id and poll number
        self._sequence = 0
        self._told: set[int] = set()  # waves whose static attributes were sent

    async def run(self) -> None:
        """Serve, for ever."""
        await asyncio.gather(self._listen(), self._serve(_NUMERICS, 1.0), self._serve_waves())

    async def _listen(self) -> None:
        waiting = b""
        while True:
            for byte in await self._plug.line.read():
                if byte == 0xC0:
                    waiting = b""
                elif byte == 0xC1:
                    message = unframed(waiting)
                    if message is not None:
                        self._heard_s = now_s()
                        await asyncio.sleep(_ANSWER_S)
                        await self._take(message)
                    waiting = b""
                else:
                    waiting = (waiting + bytes((byte,)))[-1200:]

    async def _send(self, message: bytes) -> None:
        await self._plug.line.send(framed(message))

    async def _take(self, message: bytes) -> None:
        kind = message[0]
        if kind == 0x0D:
            if b"\x80\x00\x00\x00\x40\x00\x00\x00" not in message:
                await self._send(_REFUSE)
                return
            self._forget()
            self._associated = True
            await self._send(_ACCEPT)
            await asyncio.sleep(_MDS_S)
            time = round(now_s() * 8000) & 0xFFFFFFFF
            event = struct.pack(">HHHIHH", 0x21, 0, 0, time, 0x0D06, 10)
            event += struct.pack(">HHH", 0x21, 0, 0) + bytes(4)
            await self._operation(1, 1, 1, event)
        elif kind == 0x09:
            self._forget()
            await self._send(_RELEASED)
        elif kind == 0xE1 and self._associated:
            await self._export(message)

    def _forget(self) -> None:
        self._associated = self._created = False
        self._until_s.clear()
        self._told.clear()

    async def _operation(self, kind: int, invoke: int, command: int, data: bytes) -> None:
        body = struct.pack(">HHH", invoke, command, len(data)) + data
        await self._send(struct.pack(">HHHH", 0xE100, 2, kind, len(body)) + body)

    async def _export(self, message: bytes) -> None:
        _, _, kind, _, invoke, command, _ = struct.unpack_from(">HHHHHHH", message)
        if kind == 2 and command == 1:
            self._created = message[14:18] == b"\x00\x21\x00\x00"
            return
        if kind != 1 or command != 7 or not self._created:
            self.refused += 1
            return
        action = struct.unpack_from(">H", message, 24)[0]
        poll, _, code, _ = struct.unpack_from(">HHHH", message, 28)
        self._polls[code] = (invoke, poll)
        if action == _EXTENDED:
            period = struct.unpack_from(">I", message, len(message) - 4)[0]
            self._until_s[code] = now_s() + period / 8000
        elif action == _SINGLE and code == _NUMERICS:
            await self._say_numerics(_SINGLE)
        elif action == _SINGLE and code == _ALERTS:
            no_alarm = attribute(0x0902, listed([])) + attribute(0x0904, listed([]))
            objects = [struct.pack(">HHH", 0x2001, 2, len(no_alarm)) + no_alarm]
            await self._result(_SINGLE, _ALERTS, objects)
        else:
            self.refused += 1
            body = struct.pack(">HHH", invoke, 9, 0)
            await self._send(struct.pack(">HHHH", 0xE100, 2, 3, len(body)) + body)

    async def _serve(self, code: int, period_s: float) -> None:
        while True:
            await asyncio.sleep(period_s)
            if self._associated and now_s() - self._heard_s > _PATIENCE_S:
                self._forget()
            if self._created and now_s() < self._until_s.get(code, 0.0):
                await self._say_numerics(_EXTENDED)

    async def _serve_waves(self) -> None:
        tick = 0
        while True:
            tick += 1
            await asyncio.sleep(_WAVE_S)
            if self._created and now_s() < self._until_s.get(_WAVES, 0.0):
                objects = [self._ecg(tick), self._pleth(tick)]
                await self._plug.line.send(framed(self._reply(_EXTENDED, _WAVES, objects)))

    def _reply(self, action: int, code: int, objects: list[bytes]) -> bytes:
        invoke, poll = self._polls[code]
        now = round(now_s() * 8000) & 0xFFFFFFFF
        head = struct.pack(">H", poll)
        if action == _EXTENDED:
            self._sequence = self._sequence + 1 & 0xFFFF
            head += struct.pack(">H", self._sequence)
        head += struct.pack(">I", now) + unhexlify("2026010109301500")
        head += struct.pack(">HHH", 1, code, 0)
        contexts = listed([struct.pack(">H", 0) + listed(objects)])
        data = head + contexts
        result = struct.pack(">HHHHH", 0x21, 0, 0, action, len(data)) + data
        body = struct.pack(">HHH", invoke, 7, len(result)) + result
        return struct.pack(">HHHH", 0xE100, 2, 2, len(body)) + body

    async def _result(self, action: int, code: int, objects: list[bytes]) -> None:
        await self._send(self._reply(action, code, objects))

    async def _say_numerics(self, action: int) -> None:
        vitals = self._plug.measure()
        said: dict[str, str | None] = {}
        objects = []

        def observed(physio: int, unit: int, value: float | None, decimals: int) -> bytes:
            state = _INVALID if value is None else 0
            return struct.pack(">HHH", physio, state, unit) + number(value, decimals)

        for label, (handle, physio, unit, decimals, source) in _VALUES.items():
            value = vitals[source]
            said[label] = None if value is None else f"{value:.{decimals}f}"
            if value is not None:
                value = float(f"{value:.{decimals}f}")
            attributes = attribute(0x0924, struct.pack(">I", 0x20000 | physio))
            attributes += attribute(0x0950, observed(physio, unit, value, decimals))
            objects.append(struct.pack(">HHH", handle, 2, len(attributes)) + attributes)
        for handle, physio, labels in _PRESSURES.values():
            values = []
            for index, label in enumerate(labels):
                value = vitals[label]
                said[label] = None if value is None else str(round(value))
                rounded = None if value is None else float(round(value))
                values.append(observed(physio + index, 0x0F20, rounded, 0))
            attributes = attribute(0x094B, listed(values))
            objects.append(struct.pack(">HHH", handle, 1, len(attributes)) + attributes)
        await self._plug.say(framed(self._reply(action, _NUMERICS, objects)), 0, said)

    def _wave(
        self, handle: int, physio: int, period: int, bits: int, scale: bytes, samples: list[int]
    ) -> bytes:
        attributes = []
        if handle not in self._told:
            self._told.add(handle)
            attributes.append(attribute(0x098D, struct.pack(">I", period)))
            attributes.append(attribute(0x096D, struct.pack(">HBBH", len(samples), 16, bits, 0)))
            attributes.append(attribute(0x096F, scale))
        value = struct.pack(">HHH", physio, 0, 2 * len(samples))
        value += struct.pack(f">{len(samples)}H", *samples)
        attributes.append(attribute(0x096E, value))
        data = b"".join(attributes)
        return struct.pack(">HHH", handle, len(attributes), len(data)) + data

    def _ecg(self, tick: int) -> bytes:
        rate = self._plug.measure()["HR"] or 0.0
        samples = []
        for index in range(128):
            part = (tick * 128 + index) / 500 * rate / 60 % 1
            millivolts = 1.2 * math.exp(-(((part - 0.3) / 0.012) ** 2)) if rate else 0.0
            millivolts += 0.25 * math.exp(-(((part - 0.55) / 0.05) ** 2)) if rate else 0.0
            samples.append(round((millivolts + 40.96) / 0.005) & 0x3FFF)
        scale = number(-40.96, 2) + number(40.955, 3) + struct.pack(">HH", 0, 0x3FFF)
        return self._wave(0x3001, 0x0102, 16, 14, scale, samples)

    def _pleth(self, tick: int) -> bytes:
        rate = self._plug.measure()["PR"] or 0.0
        samples = [
            round(2048 + 1500 * math.sin(2 * math.pi * (tick * 32 + index) / 125 * rate / 60))
            for index in range(32)
        ]
        scale = number(0, 0) + number(4095, 0) + struct.pack(">HH", 0, 4095)
        return self._wave(0x3002, 0x4BB4, 64, 12, scale, samples)
