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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

Vitals = dict[str, float | None]
Sample = Callable[[float], Vitals]

_CYCLE_S = 150.0  # rest, desaturation, recovery, and again
_WORSE_AT_S, _BETTER_AT_S = 35.0, 70.0
_SOFT_S = 4.0  # how fast ventilation changes
_LAG_S = 12.0  # from the alveoli to the fingertip
_CIRCULATION_S = 7.0  # how fast saturation follows
_REST_RR, _MORE_RR = 14.0, 6.0
_MAYER_HZ = 0.1  # blood pressure waves that the heart rate follows
_INSPIRATION_S = 0.9

# How far each value moves by itself, and how many times slower than the heart rate does
_WANDER = {
    "RR": (0.6, 1),
    "Cdyn": (0.5, 1),
    "Raw": (0.2, 1),
    "VT": (5.0, 1),
    "HR": (2.0, 1),
    "PR": (0.4, 1),
    "SpO2": (0.4, 1),
    "PI": (0.25, 1),
    "EtCO2": (0.6, 1),
    "Temp": (0.15, 20),
    "ABP": (3.0, 2),
    "CVP": (0.8, 3),
    "BIS": (6.0, 3),
    "Tskin": (0.3, 10),
    "Warmer power": (12.0, 4),
    "O2 supply": (3.0, 6),
    "Air supply": (3.0, 6),
    "Vacuum": (2.0, 6),
}


class _Wander:
    """A slow movement around 0 of at most `size` that hardly ever repeats."""

    def __init__(self, draw: random.Random, size: float, slower: int) -> None:
        waves = [(draw.uniform(0.004, 0.05), draw.uniform(0, 2 * math.pi)) for _ in range(3)]
        self._waves = [(2 * math.pi * hertz / slower, phase) for hertz, phase in waves]
        self._size = size / len(waves)

    def at(self, t: float) -> float:
        return self._size * sum(math.sin(omega * t + phase) for omega, phase in self._waves)

    def integral(self, t: float) -> float:
        """Return the integral from 0 to `t`."""
        return self._size * sum(
            (math.cos(phase) - math.cos(omega * t + phase)) / omega for omega, phase in self._waves
        )


@dataclass(frozen=True)
class _Patient:
    """What makes one patient differ from the next."""

    heart: float
    weight: float
    compliance: float
    resistance: float
    peep: float
    phase: float


class VitalsModel:
    """One patient; the same seed gives the same course, whenever and however often it is asked."""

    def __init__(self, seed: int) -> None:
        draw = random.Random(seed)
        self._patient = _Patient(
            heart=draw.uniform(66, 84),
            weight=draw.uniform(58, 88),
            compliance=draw.uniform(38, 60),
            resistance=draw.uniform(8, 13),
            peep=draw.choice((5.0, 6.0, 8.0)),
            phase=draw.uniform(0, 20),
        )
        self._wander = {label: _Wander(draw, *entry) for label, entry in _WANDER.items()}

    def sample(self, t_s: float) -> Vitals:
        """Return everything that is measured at `t_s` seconds."""
        p = self._patient
        t = t_s + p.phase
        moved = {label: wander.at(t) for label, wander in self._wander.items()}
        worse = _plateau(t % _CYCLE_S, _SOFT_S)
        hypoxia = _plateau((t - _LAG_S) % _CYCLE_S, _CIRCULATION_S)
        rate = _REST_RR + _MORE_RR * worse + moved["RR"]
        compliance = p.compliance * (1 - 0.28 * worse) + moved["Cdyn"]
        resistance = p.resistance * (1 + 0.5 * worse) + moved["Raw"]
        volume = 7.0 * p.weight * (1 - 0.18 * worse) + moved["VT"]
        plateau = p.peep + volume / compliance
        peak = plateau + resistance * volume / 1000 / _INSPIRATION_S
        heart = p.heart + 26 * hypoxia + moved["HR"]
        heart += 1.5 * math.sin(2 * math.pi * self._breaths(t))
        heart += 0.8 * math.sin(2 * math.pi * _MAYER_HZ * t)
        return {
            "SpO2": min(100.0, 97.4 - 11.5 * hypoxia + moved["SpO2"]),
            "PR": heart + moved["PR"],
            "PI": max(0.2, 2.4 - 1.5 * hypoxia + moved["PI"]),
            "HR": heart,
            "RR": rate,
            "VT": volume,
            "MV": volume * rate / 1000,
            "PIP": peak,
            "Pplat": plateau,
            "Pmean": p.peep + (peak - p.peep) * 0.38,
            "PEEP": p.peep,
            "FiO2": 60.0 if worse > 0.5 else 40.0,  # someone turns it up, and down again
            "RESP": rate,
            "EtCO2": 38 + 9 * worse + moved["EtCO2"],
            "FiCO2": 0.0,
            "RRco2": rate,
            "ABPs": 118 + 14 * hypoxia + moved["ABP"],
            "ABPd": 68 + 7 * hypoxia + 0.6 * moved["ABP"],
            "ABPm": 85 + 9 * hypoxia + 0.7 * moved["ABP"],
            "CVPm": 8 + moved["CVP"],
            "NBPs": 121.0,
            "NBPd": 70.0,
            "NBPm": 87.0,
            "BIS": 46 + moved["BIS"],
            "EMG": 31 + 0.2 * moved["BIS"],
            "Cdyn": compliance,
            "Raw": resistance,
            "Temp": 36.8 + moved["Temp"],
            "Tskin": 36.2 + moved["Tskin"],
            "Warmer power": 40 + moved["Warmer power"],
            "O2 supply": 412 + moved["O2 supply"],
            "Air supply": 405 + moved["Air supply"],
            "Vacuum": 58 + moved["Vacuum"],
        }

    def _breaths(self, t: float) -> float:
        """Return the number of breaths since 0: a rate times a time would jump as it changes."""
        cycles, rest_s = divmod(t, _CYCLE_S)
        worse_s = cycles * _plateau_integral(_CYCLE_S) + _plateau_integral(rest_s)
        return (_REST_RR * t + _MORE_RR * worse_s + self._wander["RR"].integral(t)) / 60


def _plateau(t: float, soft_s: float) -> float:
    """Return 0 at rest, 1 while it is worst, with soft edges of `soft_s` seconds."""
    rise = 1 / (1 + math.exp(-(t - _WORSE_AT_S) / soft_s))
    fall = 1 / (1 + math.exp(-(t - _BETTER_AT_S) / soft_s))
    return rise - fall


def _plateau_integral(t: float) -> float:
    """Return the integral from 0 to `t` of the plateau of ventilation."""

    def ramp(start_s: float) -> float:
        return math.log1p(math.exp((t - start_s) / _SOFT_S)) - math.log1p(
            math.exp(-start_s / _SOFT_S)
        )

    return _SOFT_S * (ramp(_WORSE_AT_S) - ramp(_BETTER_AT_S))


# By our labels: the unit, and the columns of traces; the first one that a file has is taken.
_COLUMNS = {
    "SpO2": ("%", ("SpO2",)),
    "PR": ("/min", ("PULSE", "PR", "HR")),
    "PI": ("%", ("PI",)),
    "HR": ("/min", ("HR", "HR_ECG", "PULSE")),
    "RR": ("/min", ("RR", "RRmand", "RESP")),
    "VT": ("mL", ("VTemand", "VT")),
    "MV": ("L/min", ("MV", "MVmand")),
    "PIP": ("mbar", ("PIP",)),
    "Pplat": ("mbar", ("Pplat",)),
    "Pmean": ("mbar", ("Pmean",)),
    "PEEP": ("mbar", ("PEEP",)),
    "FiO2": ("%", ("FiO2",)),
    "EtCO2": ("mmHg", ("EtCO2",)),
    "Cdyn": ("mL/mbar", ("Cdyn",)),
    "Raw": ("mbar/L/s", ("R", "Raw")),
    "Temp": ("degC", ("Tnaso", "Temp")),
    "Tskin": ("degC", ("Tskin", "Tnaso")),
}
_SAME_UNIT = {"bpm": "/min", "Cel": "degC", "hPa": "mbar", "mm[Hg]": "mmHg"}
_FACTORS = {
    ("L", "mL"): 1000.0,
    ("mL/min", "L/min"): 0.001,
    ("kPa", "mmHg"): 7.50062,
    ("kPa", "mbar"): 10.0,
    ("cmH2O", "mbar"): 0.980665,
    ("mL/cmH2O", "mL/mbar"): 1.019716,
}
_ZERO_IS_MISSING = ("SpO2", "PR", "HR")  # recorders write 0 where no sensor is connected
_HEAD = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]$")


class TraceError(ValueError):
    """A trace file is not what it should be."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(f"{path}: line {line}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


@dataclass(frozen=True)
class _Column:
    """Where a label's numbers stand in a row, and what makes our unit of them."""

    index: int
    factor: float
    zero_is_missing: bool

    def value(self, row: list[float | None]) -> float | None:
        number = row[self.index]
        if number is None or (number == 0 and self.zero_is_missing):
            return None
        return number * self.factor


class TraceVitals:
    """Replays a CSV of `time_s` and `abbreviation[unit]` columns, over and over; blanks: missing.

    fallback  measures what the file has no column for
    Raises    TraceError naming file, line and reason
    """

    def __init__(self, path: Path, fallback: Sample) -> None:
        self._path = path
        self._fallback = fallback
        self._times: list[float] = []
        self._rows: list[list[float | None]] = []
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.reader(file)
                self._columns = self._understand(next(reader, []))
                for row in reader:
                    self._add(reader.line_num, row)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise TraceError(path, len(self._rows) + 1, str(error)) from None
        if not self._rows:
            raise TraceError(path, 1, "no rows follow the names of the columns")
        length_s = self._times[-1] - self._times[0]
        self._length_s = length_s + (length_s / max(1, len(self._times) - 1) or 1.0)

    def sample(self, t_s: float) -> Vitals:
        """Return the row that holds at `t_s` seconds, completed by the fallback."""
        at = bisect_right(self._times, self._times[0] + t_s % self._length_s) - 1
        row = self._rows[at]
        vitals = self._fallback(t_s)
        vitals.update({label: column.value(row) for label, column in self._columns.items()})
        if "MV" not in self._columns:  # volume or rate may be the file's: keep all three in step
            volume, rate = vitals["VT"], vitals["RR"]
            vitals["MV"] = None if volume is None or rate is None else volume * rate / 1000
        return vitals

    def _understand(self, names: list[str]) -> dict[str, _Column]:
        if not names or names[0] != "time_s":
            raise TraceError(self._path, 1, "want time_s and columns like SpO2[%]")
        heads = []
        for name in names[1:]:
            found = _HEAD.match(name)
            if not found:
                raise TraceError(self._path, 1, f"column {name!r}, want abbreviation[unit]")
            # Raw converter counts are waveforms, not values that a device would print.
            abbreviation = "" if found[2] == "adu" else found[1]
            heads.append((abbreviation, _SAME_UNIT.get(found[2], found[2])))
        columns = {}
        for label, (unit, known) in _COLUMNS.items():
            for column in known:
                if any(head == column for head, _ in heads):
                    columns[label] = self._choose(label, column, unit, heads)
                    break
        if not columns:
            raise TraceError(self._path, 1, "none of its columns is one that a device could send")
        return columns

    def _choose(self, label: str, name: str, unit: str, heads: list[tuple[str, str]]) -> _Column:
        """Return the column of this name in our unit, else one that can be converted to it."""

        def fitting() -> Iterator[_Column]:
            for wanted in (unit, *(source for source, ours in _FACTORS if ours == unit)):
                if (name, wanted) in heads:
                    factor = _FACTORS.get((wanted, unit), 1.0)
                    at = heads.index((name, wanted))
                    yield _Column(at, factor, label in _ZERO_IS_MISSING)

        found = next(fitting(), None)
        if found is None:
            units = ", ".join(f"{name}[{has}]" for column, has in heads if column == name)
            raise TraceError(self._path, 1, f"column {units}: its unit is not {unit}")
        return found

    def _add(self, line: int, row: list[str]) -> None:
        if self._rows and len(row) - 1 != len(self._rows[0]):
            want = len(self._rows[0]) + 1
            raise TraceError(self._path, line, f"{len(row)} fields, want {want}")
        try:
            values = [float(text) if text.strip() else None for text in row]
        except ValueError as error:
            raise TraceError(self._path, line, str(error)) from None
        if not all(value is None or math.isfinite(value) for value in values):
            raise TraceError(self._path, line, "a value is not a finite number")
        if not values or values[0] is None:
            raise TraceError(self._path, line, "no time")
        if self._times and values[0] <= self._times[-1]:
            raise TraceError(self._path, line, f"time {values[0]:g} does not go forward")
        self._times.append(values[0])
        self._rows.append(values[1:])
