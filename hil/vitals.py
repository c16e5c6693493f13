"""What simulated devices measure: a physiological model of our own, or a recorded trace.

Both answer `sample(seconds)` with {label: number or None}; labels are those of the firmware's
parameter table, numbers are in its units. The model moves as vital signs move: heart rate varies
with breath and by itself, saturation falls some seconds after ventilation worsens and the pulse
rises with it, pressures and volumes of the ventilator agree with each other.
"""

import csv
import math
import random
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Vitals = dict[str, float | None]
Sample = Callable[[float], Vitals]

_CYCLE_S = 150.0  # rest, desaturation, recovery, and again
_WORSE_AT_S, _BETTER_AT_S = 35.0, 70.0
_LAG_S = 12.0  # from the alveoli to the fingertip
_CIRCULATION_S = 9.0  # how fast saturation follows


class TraceError(ValueError):
    """A trace file is not what it should be; the message says where."""


@dataclass(frozen=True)
class _Patient:
    """What makes one patient differ from the next."""

    pulse: float
    weight: float
    compliance: float
    resistance: float
    peep: float
    phase: float


class VitalsModel:
    """One patient; the same seed gives the same course."""

    def __init__(self, seed: int) -> None:
        draw = random.Random(seed)
        self._patient = _Patient(
            pulse=draw.uniform(66, 84),
            weight=draw.uniform(58, 88),
            compliance=draw.uniform(38, 60),
            resistance=draw.uniform(8, 13),
            peep=draw.choice((5.0, 6.0, 8.0)),
            phase=draw.uniform(0, 20),
        )
        self._waves = [
            (draw.uniform(0.004, 0.05), draw.uniform(0, 2 * math.pi), draw.uniform(0.4, 1.0))
            for _ in range(12)
        ]

    def sample(self, t_s: float) -> Vitals:
        """Return everything that is measured at `t_s` seconds."""
        p = self._patient
        t = t_s + p.phase
        worse = _plateau(t % _CYCLE_S)
        hypoxia = _plateau((t - _LAG_S) % _CYCLE_S, _CIRCULATION_S)
        rate = 14 + 6 * worse + self._wander(t, 0, 0.6)
        compliance = p.compliance * (1 - 0.28 * worse) + self._wander(t, 1, 0.5)
        resistance = p.resistance * (1 + 0.5 * worse) + self._wander(t, 2, 0.2)
        volume = 7.0 * p.weight * (1 - 0.18 * worse) + self._wander(t, 3, 5)
        plateau = p.peep + volume / compliance
        peak = plateau + resistance * volume / 1000 / 0.9
        breath = math.sin(2 * math.pi * rate / 60 * t)
        pulse = p.pulse + 26 * hypoxia + 1.5 * breath + self._wander(t, 4, 2.0)
        return {
            "SpO2": min(100.0, 97.6 - 11.5 * hypoxia + self._wander(t, 5, 0.5)),
            "PR": pulse,
            "HR": pulse + self._wander(t, 6, 0.4),
            "PI": max(0.2, 2.4 - 1.5 * hypoxia + self._wander(t, 7, 0.25)),
            "RR": rate,
            "VT": volume,
            "MV": volume * rate / 1000,
            "PIP": peak,
            "Pplat": plateau,
            "Pmean": p.peep + (peak - p.peep) * 0.38,
            "PEEP": p.peep,
            "FiO2": 40.0 + 20 * (worse > 0.5),
            "EtCO2": 38 + 9 * worse + self._wander(t, 8, 0.6),
            "Cdyn": compliance * 0.9,
            "Raw": resistance,
            "Temp": 36.8 + self._wander(t / 20, 9, 0.15),
            "Tskin": 36.2 + self._wander(t / 10, 10, 0.3),
            "Warmer power": max(0.0, 40 + self._wander(t / 4, 11, 12)),
            "O2 supply": 412 + self._wander(t / 6, 0, 3),
            "Air supply": 405 + self._wander(t / 6, 1, 3),
            "Vacuum": 58 + self._wander(t / 6, 2, 2),
        }

    def _wander(self, t: float, start: int, size: float) -> float:
        """Return a slow, never repeating movement of about `size`."""
        total = 0.0
        for offset in range(3):
            frequency, phase, weight = self._waves[(start + 4 * offset) % len(self._waves)]
            total += weight * math.sin(2 * math.pi * frequency * t + phase)
        return size * total / 2


def _plateau(t: float, soft_s: float = 4.0) -> float:
    """Return 0 at rest, 1 while it is worst, with soft edges of `soft_s` seconds."""
    rise = 1 / (1 + math.exp(-(t - _WORSE_AT_S) / soft_s))
    fall = 1 / (1 + math.exp(-(t - _BETTER_AT_S) / soft_s))
    return rise - fall


# Columns of traces by our labels; the first one that a file has is taken.
_COLUMNS = {
    "SpO2": ("SpO2",),
    "PR": ("PULSE", "HR"),
    "HR": ("HR", "HR_ECG", "PULSE"),
    "RR": ("RR", "RRmand", "RESP"),
    "VT": ("VTemand", "VT"),
    "MV": ("MV", "MVmand"),
    "PIP": ("PIP",),
    "Pplat": ("Pplat",),
    "Pmean": ("Pmean",),
    "PEEP": ("PEEP",),
    "FiO2": ("FiO2",),
    "EtCO2": ("EtCO2",),
    "Cdyn": ("Cdyn",),
    "Raw": ("R",),
    "Temp": ("Tnaso", "Temp"),
    "Tskin": ("Tskin", "Tnaso"),
}
_HEAD = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]$")


class TraceVitals:
    """Replays a CSV of `time_s` and `abbreviation[unit]` columns, over and over; blanks: missing.

    fallback  measures what the file has no column for
    Raises    TraceError naming file, line and reason
    """

    def __init__(self, path: Path, fallback: Sample) -> None:
        self._fallback = fallback
        self._times: list[float] = []
        self._rows: list[list[float | None]] = []
        self._index = self._read(path)
        self._length = self._times[-1] - self._times[0] + self._step()

    def _read(self, path: Path) -> dict[str, int]:
        try:
            with path.open(newline="") as file:
                rows = list(csv.reader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise TraceError(f"{path}: {error}") from None
        if not rows or not rows[0] or rows[0][0] != "time_s":
            raise TraceError(f"{path}: line 1: want time_s and columns like SpO2[%]")
        names = []
        for text in rows[0][1:]:
            found = _HEAD.match(text)
            if not found:
                raise TraceError(f"{path}: line 1: column {text!r}, want abbreviation[unit]")
            # Raw converter counts are waveforms, not values that a device would print.
            names.append("" if found[2] == "adu" else found[1])
        for number, row in enumerate(rows[1:], 2):
            try:
                values = [float(text) if text else None for text in row]
            except ValueError as error:
                raise TraceError(f"{path}: line {number}: {error}") from None
            if len(row) != len(rows[0]) or values[0] is None:
                raise TraceError(f"{path}: line {number}: {len(row)} fields or no time")
            if self._times and values[0] <= self._times[-1]:
                raise TraceError(f"{path}: line {number}: time does not go forward")
            self._times.append(values[0])
            self._rows.append(values[1:])
        if not self._rows:
            raise TraceError(f"{path}: no rows")
        index = {}
        for label, columns in _COLUMNS.items():
            for column in columns:
                if column in names:
                    index[label] = names.index(column)
                    break
        if not index:
            raise TraceError(f"{path}: none of its columns is one that a device could send")
        return index

    def _step(self) -> float:
        return (self._times[-1] - self._times[0]) / max(1, len(self._times) - 1) or 1.0

    def sample(self, t_s: float) -> Vitals:
        """Return the row that holds at `t_s` seconds, completed by the fallback."""
        at = bisect_right(self._times, self._times[0] + t_s % self._length) - 1
        row = self._rows[at]
        return self._fallback(t_s) | {label: row[column] for label, column in self._index.items()}
