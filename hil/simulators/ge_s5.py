"""S/5 monitor on RS232, 19200 8E1: displayed values and waves as asked for, over DRI.

    7E record sum 7E; 7E inside is 7D 5E, 7D is 7D 5D; sum of the record's bytes before that

It ignores a second request within five seconds and forgets all requests when it restarts.
Source: GE Healthcare S/5 Computer Interface and DRI Specifications.
"""

from __future__ import annotations

import asyncio
import math
import struct
import time

from hil.simulators.device import Plug, now_s

BAUD = 19200
CHARACTER_BITS = 11
OPTIONS: dict[str, object] = {}

_LEVEL, _PLUG = 9, 4660
_INVALID = -32767
_IGNORE_S = 5.0
_PHYSIOLOGICAL, _WAVE, _ALARM = 0, 1, 4
_RATES = {1: 300, 4: 100, 8: 100, 9: 25, 13: 25, 14: 25, 15: 25, 23: 25}


def framed(record: bytes) -> bytes:
    """Return a frame."""
    body = record + bytes((sum(record) & 0xFF,))
    escaped = body.replace(b"\x7d", b"\x7d\x5d").replace(b"\x7e", b"\x7d\x5e")
    return b"\x7e" + escaped + b"\x7e"


def unframed(frame: bytes) -> bytes | None:
    """Return the record between two flags, None when its sum or size is wrong."""
    body = frame.replace(b"\x7d\x5e", b"\x7e").replace(b"\x7d\x5d", b"\x7d")
    if len(body) < 42 or sum(body[:-1]) & 0xFF != body[-1]:
        return None
    return body[:-1] if struct.unpack_from("<h", body)[0] == len(body) - 1 else None


class S5Monitor:
    """One monitor; `refused` counts requests that it does not know."""

    def __init__(self, plug: Plug) -> None:
        self.refused = 0
        self._plug = plug
        self._counter = 0
        self._interval_s = 0.0
        self._asked_s: dict[int, float] = {}
        self._waves: list[int] = []
        self._cuff: tuple[int, ...] = ()

    async def run(self) -> None:
        """Serve, for ever."""
        await asyncio.gather(self._listen(), self._serve(), self._serve_waves())

    async def _listen(self) -> None:
        waiting = b""
        while True:
            waiting = (waiting + await self._plug.line.read())[-400:]
            *frames, waiting = waiting.split(b"\x7e")
            for frame in frames:
                record = unframed(frame) if frame else None
                if record is not None:
                    await self._take(record)

    async def _take(self, record: bytes) -> None:
        kind = struct.unpack_from("<h", record, 14)[0]
        now = now_s()
        if now - self._asked_s.get(kind, -_IGNORE_S) < _IGNORE_S:
            return
        self._asked_s[kind] = now
        if kind == _PHYSIOLOGICAL and record[40] == 1:
            interval = struct.unpack_from("<h", record, 41)[0]
            self._interval_s = float(interval) if interval >= 5 else 0.0
            if interval == -1 or interval >= 5:
                await self._say_values()
        elif kind == _WAVE:
            stops = struct.unpack_from("<h", record, 40)[0] == 1
            wanted = record[44:52].partition(b"\xff")[0]
            self._waves = [] if stops else [kind for kind in wanted if kind in _RATES]
        elif kind == _ALARM:
            entries = b"".join(self._alarm(text) for text in self._alarms())
            body = bytes(12) + entries.ljust(5 * 98, b"\x00") + bytes(10)
            await self._plug.line.send(framed(self._record(_ALARM, [(1, body)])))
        else:
            self.refused += 1

    def _record(self, kind: int, subrecords: list[tuple[int, bytes]]) -> bytes:
        self._counter = self._counter + 1 & 0xFF
        descriptions, body = b"", b""
        for type_, data in subrecords:
            descriptions += struct.pack("<hB", len(body), type_)
            body += data
        if len(subrecords) < 8:
            descriptions += b"\x00\x00\xff"
        head = struct.pack("<BBHI", self._counter, _LEVEL, _PLUG, int(time.time()))
        head += bytes(4) + struct.pack("<h", kind) + descriptions.ljust(24, b"\x00")
        return struct.pack("<h", 2 + len(head) + len(body)) + head + body

    # --- values ---

    async def _serve(self) -> None:
        due_s = now_s()
        while True:
            await asyncio.sleep(0.1)
            if self._interval_s and now_s() >= due_s:
                due_s = now_s() + self._interval_s
                if now_s() - self._asked_s.get(_PHYSIOLOGICAL, 0.0) >= 1.0:
                    await self._say_values()

    async def _say_values(self) -> None:
        vitals = self._plug.measure()
        said: dict[str, str | None] = {}

        def value(label: str, source: str, decimals: int, factor: float = 1.0) -> int:
            found = vitals[source]
            if found is None:
                said[label] = None
                return _INVALID
            whole = round(found * factor * 10**decimals)
            said[label] = f"{whole / 10**decimals:.{decimals}f}"
            return whole

        def none(*labels: str) -> list[int]:
            said.update(dict.fromkeys(labels))
            return [_INVALID] * len(labels)

        data = bytearray(270)

        def group(at: int, label: int, values: list[int]) -> None:
            struct.pack_into(f"<IH{len(values)}h", data, at, 3, label, *values)

        ecg = [value("HR", "HR", 0), *none("ST1", "ST2", "ST3"), value("RESP", "RESP", 0)]
        group(0, 0x0200, ecg)
        struct.pack_into("<I", data, 0, 0x0B)  # the rate comes from the ECG
        pressures = [value(f"ABP{part}", f"ABP{part}", 2) for part in "sdm"]
        group(16, 8, [*pressures, ecg[0]])
        group(30, 2, [_INVALID, _INVALID, value("CVPm", "CVPm", 2), _INVALID])
        group(86, 1, [value("Teso", "Temp", 2)])
        group(118, 0, [value("SpO2", "SpO2", 2), value("PR", "PR", 0), *none("IR amp"), _INVALID])
        group(132, 0, [value("EtCO2 %", "EtCO2", 2, 1 / 7.6), *none("FiCO2 %")])
        struct.pack_into("<hh", data, 142, value("RRco2", "RRco2", 0), 7600)
        said["Pamb mmHg"] = "760.0"
        flow = [value("RR", "RR", 0), value("PIP cmH2O", "PIP", 2), value("PEEP cmH2O", "PEEP", 2)]
        flow += [value("Pplat cmH2O", "Pplat", 2), *none("VTi"), value("VTe", "VT", 1)]
        flow += [*none("Compliance"), value("MVe", "MV", 2)]
        group(178, 0, flow)
        record = struct.pack("<I", int(time.time())) + bytes(data) + struct.pack("<BBH", 0, 0, 0)
        cuff = self._measure_cuff(vitals)
        if cuff is not None:
            struct.pack_into("<IH4h", data, 72, 3, 0, *cuff, _INVALID)
            record = struct.pack("<I", int(time.time())) + bytes(data) + bytes(4)
        await self._plug.say(framed(self._record(_PHYSIOLOGICAL, [(1, record)])), 0, said)
        if cuff is not None and cuff != self._cuff:
            self._cuff = cuff
            texts = {
                f"NBP{part}": f"{number / 100:.2f}"
                for part, number in zip("sdm", cuff, strict=True)
            }
            self._plug.ledger.record(self._plug.bed, self._plug.device, 1, texts)

    def _measure_cuff(self, vitals: dict[str, float | None]) -> tuple[int, ...] | None:
        """Return a measurement of every minute, shown for as long."""
        minute = now_s() // 60
        found = []
        for part in "sdm":
            value = vitals[f"NBP{part}"]
            if value is None:
                return None
            found.append(round(100 * (value + minute)))
        return tuple(found)

    # --- waves and alarms ---

    async def _serve_waves(self) -> None:
        second = 0
        while True:
            await asyncio.sleep(1.0)
            second += 1
            if self._waves:
                subrecords = []
                for kind in self._waves:
                    # As a real one: about as many samples as its rate says.
                    count = _RATES[kind] + (second % 3 - 1 if _RATES[kind] >= 100 else 0)
                    samples = self._samples(kind, second, count)
                    head = struct.pack("<hHH", count, 0, 8 if kind == 4 else 0)
                    subrecords.append((kind, head + struct.pack(f"<{count}h", *samples)))
                await self._plug.line.send(framed(self._record(_WAVE, subrecords)))

    def _samples(self, kind: int, second: int, count: int) -> list[int]:
        rate = self._plug.measure()["HR"] or 0.0
        found = []
        for index in range(count):
            part = (second + index / count) * rate / 60 % 1
            if kind == 1:
                found.append(round(1200 * math.exp(-(((part - 0.3) / 0.02) ** 2))))
            elif kind == 4:
                found.append(round(8000 + 4000 * math.sin(2 * math.pi * part)))
            else:
                found.append(round(100 + 90 * math.sin(2 * math.pi * part)))
        return found

    def _alarms(self) -> list[str]:
        return ["Asystole"] if self._plug.measure()["HR"] is None else []

    def _alarm(self, text: str) -> bytes:
        return text.encode().ljust(80, b"\x00") + struct.pack("<hhh", 1, 3, 1) + bytes(12)
