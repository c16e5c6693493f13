"""Lines for the wiring doctor: real traffic as a signal, listened to at any setting."""

from __future__ import annotations

import random
from bisect import bisect_right
from functools import cache

from hil.simulators import setting_of
from hil.simulators.waveform import Signal, receive, transmit
from hil.traffic import traffic_of
from vitalkeep.doctor.recording import Recording
from vitalkeep.doctor.setting import Setting


class Wire:
    """A signal whose time goes on as the doctor listens, and starts again when it is over."""

    def __init__(self, signal: Signal) -> None:
        self._signal = signal
        self._times = [at_s for at_s, _ in signal]
        self._now_s = 0.0

    def listen(self, setting: Setting, seconds: float) -> Recording:
        """Return what a UART of this setting hears in the next seconds."""
        start_s, end_s = self._now_s, self._now_s + seconds
        self._now_s = end_s if end_s < self._times[-1] else 0.0
        first = bisect_right(self._times, start_s)
        last = bisect_right(self._times, end_s)
        level = self._signal[first - 1][1] if first else 1
        found = receive([(start_s, level), *self._signal[first:last]], setting, end_s)
        recording = Recording(setting, seconds)
        recording.heard = [(one.at_s - start_s, bytes((one.byte,))) for one in found]
        recording.framing_errors = sum(one.framing_error for one in found)
        recording.parity_errors = sum(one.parity_error for one in found)
        high_s = sum(
            min(after, end_s) - max(at_s, start_s)
            for (at_s, level), after in zip(
                [(start_s, level), *self._signal[first:last]],
                [*self._times[first:last], end_s],
                strict=True,
            )
            if level
        )
        recording.idle = int(high_s > seconds / 2)
        return recording


def spoilt(
    pieces: list[tuple[float, bytes]], noise: float, draw: random.Random
) -> list[tuple[float, bytes]]:
    """Return pieces in which some bytes, one in 1/noise, are wrong, gone or doubled."""
    found = []
    for at_s, piece in pieces:
        out = bytearray()
        for byte in piece:
            if draw.random() >= noise:
                out.append(byte)
                continue
            kind = draw.randrange(3)
            if kind == 0:
                out.append(byte ^ 1 << draw.randrange(8))
            elif kind == 1:
                out += bytes((byte, draw.randrange(256)))
        found.append((at_s, bytes(out)))
    return found


_PATIENT = 7


@cache
def _sent(name: str, seconds: float) -> list[tuple[float, bytes]]:
    """Return what the device of a protocol sends when its driver asks."""
    return traffic_of(name, seconds, _PATIENT).sent


def signal_of(name: str, seconds: float, noise: float = 0.0, seed: int = 0) -> Signal:
    """Return what the device of a protocol puts on its wire, asked as its driver asks."""
    draw = random.Random(f"{name} {seed}")
    start_s = draw.uniform(0.0, 3.0)
    sent = [(at_s - start_s, piece) for at_s, piece in _sent(name, seconds + 5.0)]
    sent = [(at_s, piece) for at_s, piece in sent if 0.1 < at_s < seconds]
    return transmit(spoilt(sent, noise, draw), setting_of(name))
