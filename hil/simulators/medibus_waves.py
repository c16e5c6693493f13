"""MEDIBUS realtime data: bytes with bit 7 set that may stand between any two slow bytes.

    1101xxxx  values of the streams in these four bits follow
    10dddddd 10dddddd  one 12-bit value, bits 0-5 first
    1100cccc 1100aaaa  command: C1 Cx from the host enables, C6 C0 / C6 C1 breath in / out

Source: Draeger MEDIBUS protocol definition 90 28 258 rev 4.03, realtime extension.
"""

import math
from dataclasses import dataclass

from hil.vitals import Vitals

_COMMAND_ENABLE, _COMMAND_PHASE = 0xC1, 0xC6
_INTERVAL_MS = 16
_MAX_BIN = 0xFFF
_STREAMS_MAX = 3
_BACKLOG_S = 0.5  # older samples are not sent any more
_INSPIRATION = 0.33  # of a breath


@dataclass(frozen=True)
class _Stream:
    code: int
    low: int
    high: int

    def config(self) -> str:
        """Return the 23 characters of a 53H response: the interval is in microseconds."""
        low = f"-{-self.low:4d}" if self.low < 0 else f"{self.low:5d}"
        interval = 1000 * _INTERVAL_MS
        return f"{self.code:02X}{interval:8d}{low}{self.high:5d}{_MAX_BIN:03X}"


_PRESSURE, _FLOW, _VOLUME = _Stream(0x00, -20, 100), _Stream(0x01, -200, 200), _Stream(3, 0, 2000)
_STREAMS = {stream.code: stream for stream in (_PRESSURE, _FLOW, _VOLUME)}


class Waves:
    """What the host has asked for, and the samples that are due."""

    def __init__(self) -> None:
        self.stop()

    def stop(self) -> None:
        """Forget what was asked for."""
        self._chosen: list[tuple[_Stream, int]] = []
        self._mask = 0
        self._command = 0
        self._tick = 0
        self._breathing_in = False

    @property
    def running(self) -> bool:
        return bool(self._mask and self._chosen)

    def config(self) -> bytes:
        """Return the data of a 53H response."""
        return "".join(stream.config() for stream in _STREAMS.values()).encode()

    def choose(self, argument: bytes) -> None:
        """Take the argument of a 54H command: code and multiplier, two hex digits each."""
        chosen = []
        for at in range(0, len(argument) - 3, 4):
            try:
                code, multiplier = (
                    int(argument[at : at + 2], 16),
                    int(argument[at + 2 : at + 4], 16),
                )
            except ValueError:
                return
            if code in _STREAMS and multiplier:
                chosen.append((_STREAMS[code], multiplier))
        self._chosen = chosen[:_STREAMS_MAX]

    def take(self, byte: int) -> None:
        """Take one byte with bit 7 from the host."""
        if byte & 0xF0 != 0xC0:
            self._command = 0
        elif not self._command:
            self._command = byte
        else:
            if self._command == _COMMAND_ENABLE:
                self._mask = byte & 0x0F
            self._command = 0

    def due(self, now_s: float, vitals: Vitals) -> list[bytes]:
        """Return the records since the last call."""
        tick = int(now_s * 1000 / _INTERVAL_MS)
        first = max(self._tick + 1, tick - int(_BACKLOG_S * 1000 / _INTERVAL_MS))
        self._tick = tick
        records = (
            [self._record(at, vitals) for at in range(first, tick + 1)] if self.running else []
        )
        return [record for record in records if record]

    def _record(self, tick: int, vitals: Vitals) -> bytes:
        part = (tick * _INTERVAL_MS / 1000 * (vitals["RR"] or 15) / 60) % 1
        out = b""
        if (part < _INSPIRATION) != self._breathing_in:
            self._breathing_in = part < _INSPIRATION
            out += bytes((_COMMAND_PHASE, 0xC0 if self._breathing_in else 0xC1))
        values = _curves(part, vitals)
        bits, data = 0, b""
        for index, (stream, multiplier) in enumerate(self._chosen):
            if self._mask >> index & 1 and tick % multiplier == 0:
                bits |= 1 << index
                span = stream.high - stream.low
                value = round((values[stream.code] - stream.low) / span * _MAX_BIN)
                value = min(_MAX_BIN, max(0, value))
                data += bytes((0x80 | value & 0x3F, 0x80 | value >> 6))
        if bits:
            out = bytes((0xD0 | bits,)) + data + out
        return out


def _curves(part: float, vitals: Vitals) -> dict[int, float]:
    """Return pressure, flow and volume at a part of the breath."""
    low, high = vitals["PEEP"] or 5.0, vitals["PIP"] or 20.0
    volume, rate = vitals["VT"] or 450.0, vitals["RR"] or 15.0
    breath_min = 1 / rate
    if part < _INSPIRATION:
        done = part / _INSPIRATION
        flow = volume / 1000 / (_INSPIRATION * breath_min)
        return {0: low + (high - low) * (1 - math.exp(-4 * done)), 1: flow, 3: volume * done}
    left = math.exp(-6 * (part - _INSPIRATION) / (1 - _INSPIRATION))
    flow = -volume / 1000 * 6 / ((1 - _INSPIRATION) * breath_min) * left
    return {0: low + (high - low) * left, 1: flow, 3: volume * left}
