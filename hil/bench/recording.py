"""What is fed to a subject: a real recording in the log's own terms, or one made of a model."""

import csv
import os
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path

from bridge.core.codes import PARAMETERS
from bridge.core.journal.layout import FIRST_CONFIGURED
from hil.board import REPOSITORY
from hil.errors import RigError
from hil.vitals import VitalsModel

_HEAD = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]$")
_UNITS = {"bpm": "/min", "degC": "Cel", "mmHg": "mm[Hg]", "mbar/L/s": "mbar.s/L"}
# What recordings and the common table call differently
_LABELS = {
    "PULSE": "PR",
    "HR_ECG": "HR ECG",
    "R": "Raw",
    "MVmand": "MV",
    "Tapn": "Tapnoea",
    "O2Flow": "O2 flow",
    "AirFlow": "Air flow",
    "set_Ti": "Tinsp set",
    "set_RR": "RR set",
    "set_PEEP": "PEEP set",
    "set_Pmax": "Pmax set",
    "set_FGF": "Freshgas set",
    "set_FGO2": "FiO2 set",
}
_WAVE_PERIOD_S = 0.1  # closer together than this, rows are samples of waveforms

# Of the model: 18 values, as an operating theatre's monitor has, with digits behind the point
_MODEL_COLUMNS = {
    **{"SpO2[%]": 1, "PR[/min]": 0, "PI[%]": 2, "HR[/min]": 0, "RR[/min]": 0, "VT[mL]": 0},
    **{"MV[L/min]": 1, "PIP[mbar]": 1, "Pplat[mbar]": 1, "Pmean[mbar]": 1, "PEEP[mbar]": 1},
    **{"FiO2[%]": 0, "EtCO2[mmHg]": 0, "Cdyn[mL/mbar]": 0, "Raw[mbar/L/s]": 1, "Temp[degC]": 2},
    **{"Tskin[degC]": 2, "O2 supply[kPa]": 0},
}
_MODEL_SECONDS = 1200


@dataclass(frozen=True)
class Column:
    """One column: `label` is what text formats call it, `parameter` what the log does.

    decimals  digits behind the point, the most that any of its values has
    extra     (label, unit) where the common table lacks the parameter
    """

    label: str
    parameter: int
    decimals: int
    extra: tuple[str, str] | None

    def number(self, value: int) -> int | float:
        """Return a value as a person would write it: 967 with one decimal is 96.7."""
        scale: int = 10**self.decimals
        return value // scale if value % scale == 0 else value / scale


@dataclass(frozen=True)
class Recording:
    """Rows of decimal integers, one for each column, None where there is no value."""

    name: str
    columns: tuple[Column, ...]
    times_s: tuple[float, ...]
    rows: tuple[tuple[int | None, ...], ...]

    @property
    def extras(self) -> dict[int, tuple[str, str]]:
        return {column.parameter: column.extra for column in self.columns if column.extra}

    @property
    def period_s(self) -> float:
        steps = [after - before for before, after in pairwise(self.times_s)]
        return sorted(steps)[len(steps) // 2]

    @property
    def has_waves(self) -> bool:
        return self.period_s < _WAVE_PERIOD_S


def find_recording(name: str) -> Path | None:
    """Return the path of a real recording, which are beside the repository, or None."""
    beside = REPOSITORY.parent / "shared" / "data" / "vitals"
    path = Path(os.environ.get("VITALKEEP_VITALS", beside)) / f"{name}.csv"
    return path if path.is_file() else None


def read_recording(path: Path) -> Recording:
    """Return a CSV of `time_s` and `abbreviation[unit]` columns; blanks have no value.

    Raises  RigError naming file, line and what is wrong
    """
    line = 1
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            heads = next(reader, [])
            times, texts = [], []
            for row in reader:
                line = reader.line_num
                if len(row) != len(heads):
                    raise ValueError(f"{len(row)} fields, want {len(heads)}")
                times.append(float(row[0]))
                texts.append([Decimal(text) if text.strip() else None for text in row[1:]])
                if len(times) > 1 and times[-1] <= times[-2]:
                    raise ValueError(f"time {row[0]} does not go forward")
        line = 1
        if heads[:1] != ["time_s"] or len(heads) < 2:
            raise ValueError("want time_s and columns like SpO2[%]")
        if len(times) < 2:
            raise ValueError("want two rows or more")
        decimals = [_most_decimals(column) for column in zip(*texts, strict=True)]
        columns = _columns(heads[1:], decimals)
    except (OSError, csv.Error, ValueError, InvalidOperation) as error:
        reason = "not a number" if isinstance(error, InvalidOperation) else str(error)
        raise RigError(
            f"{path}: line {line}: {reason}", "Give a CSV in the form that the README describes."
        ) from None
    rows = [
        tuple(
            None if value is None else int(value.scaleb(digits))
            for value, digits in zip(row, decimals, strict=True)
        )
        for row in texts
    ]
    return Recording(path.stem, columns, tuple(times), tuple(rows))


def model_recording(seed: int) -> Recording:
    """Return a recording of the physiological model, one row a second."""
    model = VitalsModel(seed)
    columns = _columns(list(_MODEL_COLUMNS), list(_MODEL_COLUMNS.values()))
    labels = [head.split("[")[0] for head in _MODEL_COLUMNS]
    rows = []
    for second in range(_MODEL_SECONDS):
        vitals = model.sample(second)
        rows.append(
            tuple(
                _scaled(vitals[label], column.decimals)
                for label, column in zip(labels, columns, strict=True)
            )
        )
    return Recording("model_1hz", columns, tuple(map(float, range(_MODEL_SECONDS))), tuple(rows))


def _scaled(value: float | None, decimals: int) -> int | None:
    return None if value is None else round(value * 10**decimals)


def _most_decimals(column: tuple[Decimal | None, ...]) -> int:
    exponents = [value.as_tuple().exponent for value in column if value is not None]
    if not all(isinstance(exponent, int) for exponent in exponents):
        raise ValueError("a value is not a finite number")
    digits = max((-exponent for exponent in exponents if isinstance(exponent, int)), default=0)
    if digits > 6:
        raise ValueError(f"{digits} digits behind the point, the log has at most 6")
    return max(digits, 0)


def _columns(heads: list[str], decimals: list[int]) -> tuple[Column, ...]:
    known = {(label, unit): number for number, label, _, _, unit, _ in PARAMETERS}
    parts = []
    for head in heads:
        found = _HEAD.match(head)
        if not found:
            raise ValueError(f"column {head!r}, want abbreviation[unit]")
        parts.append((found[1], _UNITS.get(found[2], found[2])))
    names = [name for name, _ in parts]
    taken: set[int] = set()
    columns: list[Column] = []
    for (name, unit), digits in zip(parts, decimals, strict=True):
        # Text formats need no unit where the name alone tells the columns apart.
        label = name if names.count(name) == 1 else f"{name} {unit}"
        table = _LABELS.get(name, name)
        parameter = known.get((table, unit)) or known.get((f"{table} {unit}", unit))
        extra = None
        if parameter is None or parameter in taken:
            parameter = FIRST_CONFIGURED + len(columns)
            extra = (label, unit)
        taken.add(parameter)
        columns.append(Column(label, parameter, digits, extra))
    return tuple(columns)
