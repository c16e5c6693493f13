"""What an Evita 4 puts into its MEDIBUS responses: codes, formats, alarms, texts.

    24H  code(2 hex) value(4), over and over       29H  code(2 hex) value(5)
    27H, 2EH  priority(30H + 1..31) code(2 hex) phrase(12)

A value that is not available, or does not fit its format, is not sent.

Source: MEDIBUS for intensive care devices 90 28 329; protocol definition 90 28 258 rev 4.03.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from hil.vitals import Vitals

Said = dict[str, str | None]

IDENTITY = b"8240'Evita 4'04.12:04.00"
TEXT = b"06" + bytes((0x30 + 9,)) + b"Mode SIMV" + b"\x03"
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAI", "JUN", "JUL", "AUG", "SEP", "OKT", "NOV", "DEZ")


@dataclass(frozen=True)
class _Form:
    """One way of writing a value; `below` is where the device changes to the next.

    per  our unit in one of the device's: 1000 mL in a litre
    """

    code: int
    below: float
    form: str
    per: int = 1


_MEASURED: tuple[tuple[str, tuple[_Form, ...]], ...] = (
    ("Cdyn", (_Form(0x06, 99.95, "{:4.1f}"), _Form(0x07, 999.5, " {:3.0f}"))),
    ("Raw", (_Form(0x0B, 99.95, "{:4.1f}"), _Form(0x08, 999.5, "{:3.0f} "))),
    ("Pmean", (_Form(0x73, 999.5, "{:3.0f} "),)),
    ("Pplat", (_Form(0x74, 999.5, "{:3.0f} "),)),
    ("PEEP", (_Form(0x78, 999.5, "{:3.0f} "),)),
    ("PIP", (_Form(0x7D, 999.5, "{:3.0f} "),)),
    ("VT", (_Form(0x88, 999.5, " {:3.0f}"), _Form(0x82, 9994, "{:4.2f}", 1000))),
    ("MV", (_Form(0xB8, 0.995, "{:4.2f}"), _Form(0xB9, 99.95, "{:4.1f}"))),
    ("RR", (_Form(0xD6, 999.5, "{:3.0f} "),)),
    ("FiO2", (_Form(0xF0, 100.5, "{:3.0f} "),)),
)
_SETTINGS: tuple[tuple[str, _Form], ...] = (
    ("FiO2 set", _Form(0x01, 100.5, " {:3.0f} ")),
    ("VT set", _Form(0x04, 9999, "{:5.3f}", 1000)),
    ("RR set", _Form(0x0A, 999, "{:5.1f}")),
    ("PEEP set", _Form(0x0B, 99, " {:4.1f}")),
    ("Psupp set", _Form(0x12, 99, "  {:2.0f} ")),
    ("Pmax set", _Form(0x13, 999, "{:5.1f}")),
)
_SET = {"VT set": 480.0, "RR set": 15.0, "Psupp set": 10.0, "Pmax set": 45.0}


@dataclass(frozen=True)
class Limits:
    """Where alarms begin: mbar, L/min, breaths a minute, %."""

    paw_high: float = 35.0
    mv_low: float = 3.0
    rr_apnoea: float = 2.0
    fio2_low: float = 18.0
    fio2_high: float = 70.0


def _written(value: float, forms: tuple[_Form, ...], width: int) -> tuple[int, str, str] | None:
    """Return the code, the field, and what it says; None for what does not fit."""
    for form in forms:
        if value < form.below:
            field = form.form.format(value / form.per)
            if len(field) != width:
                return None
            text = field.strip()
            said = str(int(Decimal(text) * form.per)) if form.per != 1 else text
            return form.code, field, said
    return None


def measured(vitals: Vitals, wanted: Collection[int] | None = None) -> tuple[bytes, Said]:
    """Return the data of a 24H response and what it says.

    wanted  codes that the host has asked for by 4AH, None for all
    """
    out, said = "", Said()
    for label, forms in _MEASURED:
        value = vitals[label]
        written = None if value is None else _written(value, forms, 4)
        if written is not None and (wanted is None or written[0] in wanted):
            out += f"{written[0]:02X}{written[1]}"
            said[label] = written[2]
    return out.encode(), said


def settings(vitals: Vitals, wanted: Collection[int] | None = None) -> tuple[bytes, Said]:
    """Return the data of a 29H response and what it says; oxygen and PEEP are set as measured."""
    out, said = "", Said()
    values = {**_SET, "FiO2 set": vitals["FiO2"], "PEEP set": vitals["PEEP"]}
    for label, form in _SETTINGS:
        value = values[label]
        written = None if value is None else _written(value, (form,), 5)
        if written is not None and (wanted is None or written[0] in wanted):
            out += f"{written[0]:02X}{written[1]}"
            said[label] = written[2]
    return out.encode(), said


def alarms(vitals: Vitals, limits: Limits) -> tuple[bytes, bytes]:
    """Return the data of the responses to 27H and 2EH."""
    first, second = [], []
    pressure, volume, rate, oxygen = (vitals[label] for label in ("PIP", "MV", "RR", "FiO2"))
    if rate is not None and rate < limits.rr_apnoea:
        first.append((31, 0x98, "APNEA"))
        second.append((25, 0x93, "APNEA VENT"))
    if pressure is not None and pressure > limits.paw_high:
        first.append((30, 0x10, "PAW HIGH"))
    if volume is not None and volume < limits.mv_low:
        first.append((29, 0x19, "MV LOW"))
    if oxygen is not None and oxygen < limits.fio2_low:
        first.append((28, 0x08, "% O2 LOW"))
    if oxygen is not None and oxygen > limits.fio2_high:
        first.append((20, 0x37, "% O2 HIGH"))
    return _alarm_data(first), _alarm_data(second)


def _alarm_data(entries: list[tuple[int, int, str]]) -> bytes:
    return b"".join(
        bytes((0x30 + priority,)) + f"{code:02X}{phrase:<12}".encode()
        for priority, code, phrase in entries
    )


def date_and_time(utc_s: float) -> bytes:
    """Return the data of a 28H response; months are German."""
    now = time.gmtime(utc_s)
    day = f"{now.tm_mday:02d}-{_MONTHS[now.tm_mon - 1]}-{now.tm_year % 100:02d}"
    return (time.strftime("%H:%M:%S", now) + day).encode()
