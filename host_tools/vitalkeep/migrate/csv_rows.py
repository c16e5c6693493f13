"""Rows of a CSV file, wide (a column for each parameter) or long (one value a row).

A row is one line: what a stray quote spoils ends with its line.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from typing import BinaryIO

from vitalkeep.errors import ToolError
from vitalkeep.migrate.mapping import LONG, Mapping
from vitalkeep.migrate.numbers import parse_number
from vitalkeep.migrate.readings import (
    BED,
    DEVICE,
    ENCODING,
    MALFORMED,
    PARAMETER,
    UNIT,
    Reading,
    Refusal,
    Refused,
    Row,
)
from vitalkeep.migrate.times import Times

_LINE_MAX = 1 << 20
_RAW_MAX = 2000


class CsvRows:
    """Reads files of one mapping."""

    def __init__(self, mapping: Mapping, until_ms: int) -> None:
        self._mapping = mapping
        time = mapping.time
        self._times = Times(mapping.time_format, time.zone, time.twice, until_ms)
        self._parameters = mapping.by_name()
        self._missing = {text.strip() for text in mapping.csv.missing}

    def rows(
        self, file: BinaryIO, name: str, start: tuple[int, int], size: int, is_whole: bool
    ) -> Iterator[Row]:
        """Yield the rows of a file from a place on, `(bytes, lines)` behind its beginning.

        name      of the file, which may say the bed
        size      bytes to read at most: what is written meanwhile is for another time
        is_whole  a last line without its end counts; else somebody may still be writing it
        Raises    ToolError when the file has not the columns of the mapping
        """
        lines = _lines(file, size)
        columns = self._columns(lines, name, is_whole)
        if not columns:
            return
        fixed = {BED: self._mapping.bed.fixed(name), DEVICE: self._mapping.device.fixed(name)}
        before = 0
        for number, end, raw in lines:
            goes_on, before = number == before, number
            if end <= start[0]:
                continue
            if raw[-1:] != b"\n" and end == size and not is_whole:
                return
            # The rest of a line that was refused for its length is no row of its own.
            yield Row(number, end, "") if goes_on else self._row(number, end, raw, columns, fixed)

    def _columns(
        self, lines: Iterator[tuple[int, int, bytes]], name: str, is_whole: bool
    ) -> dict[str, int]:
        """Read up to the line with the names; returns which column is where, "" how many.

        Nothing, while that line may still be written.
        """
        mapping = self._mapping
        line, raw = 0, b""
        for number, _, data in lines:
            line, raw = number, data.removeprefix(codecs.BOM_UTF8) if number == 1 else data
            if number > mapping.csv.skip_lines:
                break
        if len(raw) >= _LINE_MAX:
            raise ToolError(f"{name}:{line}: a line of {_LINE_MAX} bytes or more", "Is it CSV?")
        if raw[-1:] != b"\n" and not is_whole:
            return {}
        if line <= mapping.csv.skip_lines:
            raise ToolError(f"{name}: no line with the names of columns", "See skip_lines.")
        try:
            names = [cell.strip() for cell in self._cells(raw.decode(mapping.encoding))]
        except (UnicodeError, csv.Error) as error:
            raise ToolError(f"{name}:{line}: {error}", "See encoding in the mapping.") from None
        wanted = [*mapping.time_columns]
        wanted += [w.column for w in (mapping.bed, mapping.device) if w.column is not None]
        if mapping.layout == LONG:
            wanted += [mapping.long.parameter, mapping.long.value]
            wanted += [mapping.long.unit] if mapping.long.unit is not None else []
        else:
            wanted += self._parameters
        absent = [column for column in wanted if names.count(column) != 1]
        if absent:
            raise ToolError(
                f"{name}:{line}: want one column each of {', '.join(map(repr, absent))}",
                f"It has {', '.join(names)[:300]}. See delimiter, too.",
            )
        if mapping.layout != LONG:
            known = {*wanted, *mapping.skip}
            strange = [column for column in names if column and column not in known]
            if strange:
                raise ToolError(
                    f"{name}:{line}: the mapping says nothing of {', '.join(strange)[:300]}",
                    "Add [[parameters]] for each, or name it in skip: nothing is left out"
                    " unnoticed.",
                )
        found = {column: names.index(column) for column in wanted}
        return found | {"": len(names)}

    def _cells(self, text: str) -> list[str]:
        text = text.rstrip("\r\n")
        reader = csv.reader([text], delimiter=self._mapping.csv.delimiter, strict=True)
        return next(reader, [])

    def _row(
        self, line: int, end: int, raw: bytes, columns: dict[str, int], fixed: dict[str, str]
    ) -> Row:
        mapping = self._mapping
        try:
            text = raw.decode(mapping.encoding)
        except UnicodeError as error:
            shown = raw.decode("ascii", "backslashreplace").rstrip("\r\n")[:_RAW_MAX]
            return Row(line, end, shown, refusals=(Refusal("", ENCODING, str(error)[:200]),))
        shown = text.rstrip("\r\n")[:_RAW_MAX]
        if not text.strip():
            return Row(line, end, shown, empty=1)
        column = ""
        try:
            if len(raw) >= _LINE_MAX:
                raise Refused(MALFORMED, f"a line of {_LINE_MAX} bytes or more")
            try:
                cells = self._cells(text)
            except csv.Error as error:
                raise Refused(MALFORMED, str(error)) from None
            if len(cells) != columns[""]:
                raise Refused(MALFORMED, f"{len(cells)} cells, want {columns['']}")
            column = " ".join(mapping.time_columns)
            parts = (cells[columns[c]].strip() for c in mapping.time_columns)
            at_ms = self._times.parse(" ".join(parts))
            names = []
            for kind, where in ((BED, mapping.bed), (DEVICE, mapping.device)):
                column = where.column or kind
                given = cells[columns[where.column]] if where.column else fixed[kind]
                names.append(where.name(given, kind))
        except Refused as refused:
            refusal = Refusal(column, refused.reason, str(refused))
            return Row(line, end, shown, refusals=(refusal,))
        readings: list[Reading] = []
        refusals: list[Refusal] = []
        empty = skipped = 0
        for name, cell, unit in self._values(cells, columns):
            if name in mapping.skip:
                skipped += 1
                continue
            if cell.strip() in self._missing:
                empty += 1
                continue
            try:
                parameter = self._parameters.get(name)
                if parameter is None:
                    raise Refused(PARAMETER, f"{name[:40]!r}: the mapping does not name it")
                if unit not in (None, parameter.unit, parameter.written):
                    raise Refused(
                        UNIT, f"{unit[:40]!r}, want {parameter.written or parameter.unit!r}"
                    )
                value = parse_number(cell, mapping.csv.decimal)
                readings.append(Reading(parameter.series(names[0], names[1]), at_ms, *value))
            except Refused as refused:
                refusals.append(Refusal(name[:40], refused.reason, str(refused)))
        return Row(line, end, shown, tuple(readings), tuple(refusals), empty, skipped)

    def _values(
        self, cells: list[str], columns: dict[str, int]
    ) -> Iterator[tuple[str, str, str | None]]:
        """Yield (parameter's name, value, unit or None where no column says it)."""
        long = self._mapping.long
        if self._mapping.layout == LONG:
            unit = cells[columns[long.unit]].strip() if long.unit is not None else None
            yield cells[columns[long.parameter]].strip(), cells[columns[long.value]], unit
        else:
            for name in self._parameters:
                yield name, cells[columns[name]], None


def _lines(file: BinaryIO, size: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield (number from 1, where it ends, the line); one without end comes in pieces."""
    at, number, raw = 0, 0, b"\n"
    while at < size:
        number += raw[-1:] == b"\n"
        raw = file.readline(min(_LINE_MAX, size - at))
        if not raw:
            return
        at += len(raw)
        yield number, at, raw
