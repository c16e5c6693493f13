"""What a serial line looks like on the wire, and what a UART makes of it at another setting.

A signal is a sorted list of (seconds, level): the level holds from that moment on. Idle is 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from vitalkeep.doctor.setting import Setting

Signal = list[tuple[float, int]]

_ODD = "O"


@dataclass(frozen=True)
class Character:
    """One character as a UART gives it: `at_s` is when its last bit was sampled."""

    at_s: float
    byte: int
    framing_error: bool
    parity_error: bool


def _parity_bit(byte: int, parity: str) -> int:
    return byte.bit_count() & 1 ^ (parity == _ODD)


def transmit(pieces: Iterable[tuple[float, bytes]], setting: Setting) -> Signal:
    """Return the signal of bytes: each piece with the time when its last bit is out."""
    bit_s = 1 / setting.baud
    signal: Signal = [(0.0, 1)]
    free_s = 0.0
    for end_s, data in pieces:
        at_s = max(free_s, end_s - len(data) * setting.character_bits * bit_s)
        for byte in data:
            levels = [0] + [byte >> bit & 1 for bit in range(setting.bits)]
            if setting.parity != "N":
                levels.append(_parity_bit(byte & ((1 << setting.bits) - 1), setting.parity))
            for index, level in enumerate([*levels, 1]):
                if level != signal[-1][1]:
                    signal.append((at_s + index * bit_s, level))
            at_s += setting.character_bits * bit_s
        free_s = at_s
    return inverted(signal) if setting.inverted else signal


def inverted(signal: Signal) -> Signal:
    """Return the signal with its two wires swapped."""
    return [(at_s, 1 - level) for at_s, level in signal]


def joined(one: Signal, other: Signal) -> Signal:
    """Return what a bus shows of two talkers: low wins."""
    events = sorted([(at_s, 0, level) for at_s, level in one] + [(t, 1, v) for t, v in other])
    levels = [1, 1]
    signal: Signal = []
    for at_s, which, level in events:
        levels[which] = level
        both = levels[0] & levels[1]
        if not signal or signal[-1][1] != both:
            signal.append((at_s, both))
    return signal


def receive(signal: Signal, setting: Setting, end_s: float | None = None) -> list[Character]:
    """Return the characters that a UART of this setting finds in a signal.

    A start is a falling edge that is still low in the middle of its bit; the stop bit is sampled
    once, and after a break the line must have been high before the next start, as UARTs do.
    """
    if setting.inverted:
        return receive(inverted(signal), replace(setting, inverted=False), end_s)
    if not signal:
        return []
    bit_s = 1 / setting.baud
    last_s = signal[-1][0] + 20 * bit_s if end_s is None else end_s
    found: list[Character] = []
    at = 0  # signal[at] is the level that holds now
    count = len(signal)
    now_s = signal[0][0]

    while True:
        # The next falling edge from now on.
        while at + 1 < count and signal[at + 1][0] <= now_s:
            at += 1
        edge = at + 1
        while edge < count and signal[edge][1]:
            edge += 1
        if edge >= count or signal[edge][0] > last_s:
            return found
        start_s = signal[edge][0]
        at = edge
        samples = []
        for index in range(2 + setting.bits + (setting.parity != "N")):
            sample_s = start_s + (index + 0.5) * bit_s
            while at + 1 < count and signal[at + 1][0] <= sample_s:
                at += 1
            samples.append(signal[at][1])
            if index == 0 and samples[0]:
                break
        now_s = sample_s
        if samples[0]:
            continue  # a spike
        byte = sum(level << bit for bit, level in enumerate(samples[1 : 1 + setting.bits]))
        wrong = setting.parity != "N" and samples[1 + setting.bits] != _parity_bit(
            byte, setting.parity
        )
        found.append(Character(now_s, byte, not samples[-1], wrong))
