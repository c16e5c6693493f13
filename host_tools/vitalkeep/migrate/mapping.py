"""mapping.toml: what the columns and codes of another system's archive mean here."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass
from pathlib import Path

from vitalkeep.migrate import parameters, times, units
from vitalkeep.migrate.readings import NAME_MAX, Refused, Series
from vitalkeep.settings.fields import setting
from vitalkeep.settings.toml import Mistake, parse_as, read_text

WIDE, LONG, HL7 = "wide", "long", "hl7"
_HINT = "docs/guides/migrate.md shows a mapping for each kind of archive."
_ADDRESS = re.compile(r"[A-Z][A-Z0-9]{2}-[1-9]\d?(\.[1-9]\d?)?", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)


def _is_name(text: str) -> None:
    if not _NAME.fullmatch(text):
        raise ValueError("want a short name of a-z, 0-9, point, dash and underscore")


def _is_zone(text: str) -> None:
    times.find_zone(text)


def _is_encoding(text: str) -> None:
    try:
        codecs.lookup(text)
        plain = "\n0".encode(text) == b"\n0"
    except (LookupError, UnicodeError):
        plain = False
    if not plain:
        raise ValueError(
            "want an encoding in which ASCII is itself, as utf-8, latin-1 or cp1252;"
            " make UTF-8 of UTF-16"
        )


def _is_ucum(text: str) -> None:
    if not text or not text.isascii() or any(character.isspace() for character in text):
        raise ValueError('want a UCUM unit, "1" for none')


def _is_pattern(text: str) -> None:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    if groups != 1:
        raise ValueError("want one group in it: what stands there is the name")


@dataclass(frozen=True)
class Csv:
    """How its CSV files are written. A row is one line."""

    delimiter: str = setting(",", "Between cells.")
    decimal: str = setting(".", "Before the decimals.", choices=(".", ","))
    skip_lines: int = setting(0, "Lines before the one with the names of columns.", low=0)
    missing: tuple[str, ...] = setting(
        ("", "-", "--", "---", "NA", "NaN", "null"), "What stands where there is no value."
    )

    def __post_init__(self) -> None:
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise ValueError("delimiter: want one character, no quote and no end of line")
        if self.delimiter == self.decimal:
            raise ValueError("decimal: want another character than the delimiter")


@dataclass(frozen=True)
class Time:
    """When a value was measured."""

    columns: tuple[str, ...] = setting(
        (), "CSV: the columns that make it, with a space between. HL7: fields, of which the first"
        " that is not empty counts; default OBX-14, OBR-7, MSH-7.",
    )  # fmt: skip
    format: str = setting(
        "", 'iso, unix, unix_ms, hl7, or directives of strptime: "%d.%m.%Y %H:%M:%S".',
        check=times.check_form,
    )  # fmt: skip
    zone: str | None = setting(
        None, "What a time without an offset means; without it, such are refused.", check=_is_zone
    )
    twice: str = setting(
        times.REFUSE, "What a local time means that was there twice, as clocks went back.",
        choices=(times.REFUSE, times.FIRST, times.SECOND),
    )  # fmt: skip


@dataclass(frozen=True)
class Where:
    """Which bed, or which device: a column (or field), a fixed value, or a part of file names."""

    column: str | None = setting(None, "Column, or field of HL7 as PV1-3.3.")
    value: str | None = setting(None, "The same for all rows.")
    file: str | None = setting(
        None, "Regular expression with one group, of the file's name.", check=_is_pattern
    )
    names: dict[str, str] | None = setting(
        None, "What they are called here. With it, others are refused."
    )

    def __post_init__(self) -> None:
        if sum(part is not None for part in (self.column, self.value, self.file)) > 1:
            raise ValueError("want one of column, value and file")

    def fixed(self, file: str) -> str:
        """Return what is the same for all rows of a file, "" where a column says it."""
        if self.file is not None:
            found = re.search(self.file, file)
            return found[1] or "" if found else ""
        return self.value or ""

    def name(self, found: str, reason: str) -> str:
        """Return what something is called here; raises Refused."""
        found = found.strip()
        if not found:
            raise Refused(reason, f"no {reason}")
        if len(found) > NAME_MAX:
            raise Refused(
                reason, f"{found[:40]!r}: {len(found)} characters, want {NAME_MAX} at most"
            )
        if not self.names:
            return found
        if found not in self.names:
            raise Refused(reason, f"{found[:40]!r}: the mapping does not name this {reason}")
        return str(self.names[found])


@dataclass(frozen=True)
class Long:
    """Of a CSV with one value a row: which column is what."""

    parameter: str = setting("parameter", "Column with the parameter's name.")
    value: str = setting("value", "Column with the value.")
    unit: str | None = setting(None, "Column with its unit: one that is not as said is refused.")


@dataclass(frozen=True)
class Compare:
    """How far the two sides may be from each other and still say the same."""

    time_s: float = setting(2.0, "Between the times of one value on both sides.", low=0, unit="s")
    shift_s: float = setting(
        0.0, "How far the other system's clock is ahead of the truth.", unit="s"
    )


@dataclass(frozen=True)
class Parameter:
    """One parameter of the other system."""

    name: str = setting(MISSING, "Column of a wide CSV, name in a long one, OBX-3 in HL7.")
    parameter: str = setting(
        MISSING, "MDC reference id or code, or a label of docs/protocols/parameters.md; for one"
        " that is not there, its MDC reference id and a label.",
    )  # fmt: skip
    unit: str = setting(MISSING, "UCUM, as the values are written.", check=_is_ucum)
    written: str | None = setting(None, "How the unit is written there, where it is not UCUM.")
    label: str | None = setting(None, "Of a parameter that this site's table lacks.")
    tolerance: float = setting(0.0, "By which values may differ, in `unit`.", low=0)
    time_s: float | None = setting(None, "As in [compare], of this one.", low=0, unit="s")
    every_s: float = setting(
        0.0, "The archive keeps a value so often; 0: each value that was shown.", low=0, unit="s"
    )

    def series(self, bed: str, device: str) -> Series:
        """Return what its values at a bed are of."""
        known = parameters.find(self.parameter)
        label = known.label if known else self.label or self.parameter
        mdc = known.mdc if known else self.parameter
        return Series(bed, device, label, mdc, self.unit)


@dataclass(frozen=True)
class Mapping:
    """A whole file."""

    system: str = setting(MISSING, "What the other system is called here.", check=_is_name)
    layout: str = setting(MISSING, "Of its files.", choices=(WIDE, LONG, HL7))
    encoding: str = setting("utf-8", "Of its files.", check=_is_encoding)
    skip: tuple[str, ...] = setting(
        (), "What is left out on purpose: columns, parameters, types of HL7 messages as ADT."
    )
    csv: Csv = setting(Csv(), "CSV files.")
    time: Time = setting(Time(), "When.")
    bed: Where = setting(Where(), "Which bed.")
    device: Where = setting(Where(), "Which device.")
    long: Long = setting(Long(), "A CSV with one value a row.")
    compare: Compare = setting(Compare(), "Comparison.")
    parameters: tuple[Parameter, ...] = setting((), "What is taken.")

    @property
    def time_format(self) -> str:
        return self.time.format or (times.HL7 if self.layout == HL7 else times.ISO)

    @property
    def time_columns(self) -> tuple[str, ...]:
        if self.time.columns:
            return self.time.columns
        return ("OBX-14", "OBR-7", "MSH-7") if self.layout == HL7 else ("time",)

    def by_name(self) -> dict[str, Parameter]:
        return {parameter.name: parameter for parameter in self.parameters}

    def parameter_of(self, series: Series) -> Parameter | None:
        """Return what says how far a series may differ, None where nothing does."""
        for one in self.parameters:
            if one.series(series.bed, series.device) == series:
                return one
        return None


def parse(text: str, name: str = "mapping.toml") -> Mapping:
    """Return what a text says; raises ToolError with every mistake and its line."""
    return parse_as(Mapping, text, name, _mistakes, _HINT)


def load(path: Path) -> tuple[Mapping, str, bytes]:
    """Return what a file says, its text, and the SHA-256 of that; raises ToolError."""
    text = read_text(path, _HINT)
    return parse(text, str(path)), text, hashlib.sha256(text.encode()).digest()


def _mistakes(mapping: Mapping) -> Iterator[Mistake]:
    is_hl7 = mapping.layout == HL7
    if not mapping.parameters and not is_hl7:
        yield (), "want [[parameters]]: without them nothing is taken"
    if not is_hl7:
        for kind, where in (("bed", mapping.bed), ("device", mapping.device)):
            if where.column is where.value is where.file is None:
                yield (kind,), "want one of column, value and file"
    for kind, where in (("bed", mapping.bed), ("device", mapping.device)):
        if is_hl7 and where.column is not None and not _ADDRESS.fullmatch(where.column):
            yield (kind, "column"), "want a field of HL7, as PV1-3.3"
        for name, called in (where.names or {}).items():
            if not isinstance(called, str) or not called:
                yield (kind, "names", name), "want what it is called here"
    for column in mapping.time.columns:
        if is_hl7 and not _ADDRESS.fullmatch(column):
            yield ("time", "columns"), "want fields of HL7, as OBX-14"
    seen: set[str] = set()
    for index, one in enumerate(mapping.parameters):
        here = ("parameters", index)
        if one.name in seen or one.name in mapping.skip:
            yield (*here, "name"), f"{one.name!r} comes twice"
        seen.add(one.name)
        known = parameters.find(one.parameter)
        if known is None and not (one.label and one.parameter.startswith("MDC_")):
            yield (
                (*here, "parameter"),
                f"{one.parameter!r} is not in docs/protocols/parameters.md: want an MDC reference"
                " id and a label",
            )
        elif known is not None and one.label not in (None, known.label):
            yield (*here, "label"), f"it is called {known.label} here: leave it out"
        elif known is not None and units.converter(one.unit, known.unit) is None:
            yield (*here, "unit"), f"{known.label} is in {known.unit} here, not in {one.unit}"
