"""Results in files of HL7 v2 messages, ORU^R01: plain, batches with FHS and BHS, dumps of MLLP.

A row is one OBX segment, counted as a line. PID and all that names the patient is not looked at.
Source: HL7 v2.6 chapters 2 and 7, IHE PCD-01.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import hl7

from vitalkeep.migrate import parameters, units
from vitalkeep.migrate.hl7_fields import text_at
from vitalkeep.migrate.mapping import Mapping, Where
from vitalkeep.migrate.numbers import parse_number
from vitalkeep.migrate.readings import (
    BED,
    DEVICE,
    ENCODING,
    MALFORMED,
    NAME_MAX,
    NOT_A_RESULT,
    NUMBER,
    PARAMETER,
    TIME,
    UNIT,
    Reading,
    Refusal,
    Refused,
    Row,
    Series,
)
from vitalkeep.migrate.times import Times

_PIECE = 1 << 16
_SEGMENT_MAX = 1 << 20
_SEGMENTS_MAX = 50_000  # of a message
_MESSAGE_MAX = 1 << 24  # bytes
_PARTS_MAX = 500_000  # fields, components and repetitions of a message: each takes half a kB here
_RAW_MAX = 2000
_BED, _DEVICE = "PV1-3.3", "MSH-3.1"
_ENVELOPE = (b"FHS", b"BHS", b"BTS", b"FTS")
_TAKEN_BACK = ("X", "D", "W")
# What `hl7` raises; it asserts that a message separates by different characters.
_WRONG = (
    hl7.HL7Exception, IndexError, KeyError, ValueError, AttributeError, TypeError, AssertionError,
)  # fmt: skip
_ENDS = re.compile(rb"\n|\r(?!\n|\Z)")  # a CR at the end may be the half of a CR LF
_MARKERS = re.compile(r"-+|\*+|\"\"|")  # two quotes are HL7's word for no value


class _Segment(NamedTuple):
    """is_long: it is too long, and data is its beginning."""

    line: int
    end: int
    data: bytes
    is_long: bool = False


class Hl7Rows:
    """Reads files of one mapping."""

    def __init__(self, mapping: Mapping, until_ms: int) -> None:
        self._mapping = mapping
        time = mapping.time
        self._times = Times(mapping.time_format, time.zone, time.twice, until_ms)
        self._parameters = mapping.by_name()

    def rows(
        self, file: BinaryIO, name: str, start: tuple[int, int], size: int, is_whole: bool
    ) -> Iterator[Row]:
        """Yield the rows of a file from a place on, as `CsvRows.rows` does.

        A message that nothing ends yet may go on: what it has is told, and is_open of those rows.
        """
        message: list[_Segment] = []
        length = 0
        for segment in _segments(file, size, start, is_whole):
            if segment.is_long:
                text = f"a segment of more than {_SEGMENT_MAX} bytes"
                yield self._refuse(segment, "", MALFORMED, text)
                message, length = [], 0
                continue
            kind = segment.data[:3]
            if kind == b"MSH" or kind in _ENVELOPE or segment.data == b"\x1c":
                yield from self._message(message, name, False)
                message, length = [], 0
            if kind == b"MSH" or (message and segment.data != b"\x1c" and kind not in _ENVELOPE):
                message.append(segment)
                length += len(segment.data)
                if len(message) > _SEGMENTS_MAX or length > _MESSAGE_MAX:
                    text = f"more than {_SEGMENTS_MAX} segments or {_MESSAGE_MAX} bytes"
                    yield self._refuse(segment, "", MALFORMED, text)
                    message, length = [], 0
            elif kind in _ENVELOPE or segment.data == b"\x1c":
                yield Row(segment.line, segment.end, "")
            else:
                yield self._refuse(segment, "", MALFORMED, "a segment of no message")
        yield from self._message(message, name, not is_whole)

    def _message(self, segments: list[_Segment], name: str, is_open: bool) -> Iterator[Row]:
        if not segments:
            return
        last = segments[-1]
        for row in self._results(segments, name):
            # A run that is stopped in the midst of them begins with their message again.
            yield row._replace(is_open=True)
        yield Row(last.line, last.end, "", is_open=is_open)

    def _results(self, segments: list[_Segment], name: str) -> Iterator[Row]:
        first = segments[0]
        try:
            text = b"\r".join(s.data for s in segments).decode(self._mapping.encoding)
            if sum(map(text.count, set(text[3:8]))) > _PARTS_MAX:
                yield self._refuse(first, "", MALFORMED, f"more than {_PARTS_MAX} parts")
                return
            message = hl7.parse(text)
            kind = [part for part in str(message[0][9]).split(str(message[0][2])[0]) if part]
        except UnicodeError as error:
            yield self._refuse(first, "", ENCODING, str(error)[:200])
            return
        except _WRONG as error:
            yield self._refuse(first, "MSH", MALFORMED, str(error)[:200] or type(error).__name__)
            return
        if {kind[0] if kind else "", "^".join(kind[:2])} & set(self._mapping.skip):
            yield Row(first.line, first.end, "", skipped=1)
            return
        if kind[:2] != ["ORU", "R01"]:
            yield self._refuse(
                first, "MSH-9", NOT_A_RESULT, f"{'^'.join(kind)[:40]}, want ORU^R01"
            )
            return
        around: dict[str, Any] = {}
        for segment, parsed in zip(segments, message, strict=False):
            if segment.data[:3] == b"PID":
                # Another patient: nothing of the one before holds, least of all the bed.
                around = {"MSH": message[0]}
            around[segment.data[:3].decode("ascii", "replace")] = parsed
            if segment.data[:3] == b"OBX":
                yield self._result(segment, around, name)

    def _result(self, segment: _Segment, around: dict[str, Any], name: str) -> Row:
        shown = segment.data.decode(self._mapping.encoding, "backslashreplace")[:_RAW_MAX]
        row = Row(segment.line, segment.end, shown)
        field = "OBX"
        try:
            code, words = self._at(around, "OBX-3.1"), self._at(around, "OBX-3.2")
            called = next((n for n in (code, words) if n in self._parameters), code or words)
            if {code, words} & set(self._mapping.skip):
                return row._replace(skipped=1)
            text = self._at(around, "OBX-5")  # all of it: several values are no number
            if _MARKERS.fullmatch(text) or text in self._mapping.csv.missing:
                return row._replace(empty=1)
            field = "OBX-11"
            if self._at(around, field) in _TAKEN_BACK:
                raise Refused(NOT_A_RESULT, f"status {self._at(around, field)}")
            field = "OBX-8"
            if "INV" in self._at(around, field):
                raise Refused(NOT_A_RESULT, "flagged as invalid")
            field = "OBX-2"
            if self._at(around, field) not in ("NM", ""):
                raise Refused(NUMBER, f"of type {self._at(around, field)[:10]}, want NM")
            field = "time"
            at_ms = self._times.parse(self._time(around))
            field = self._mapping.bed.column or _BED
            bed = self._place(self._mapping.bed, _BED, around, name, BED)
            field = self._mapping.device.column or _DEVICE
            device = self._place(self._mapping.device, _DEVICE, around, name, DEVICE)
            field = "OBX-3"
            series = self._series(called, code, words, around, bed, device)
            field = "OBX-5"
            value = parse_number(text)
        except Refused as refused:
            refusal = Refusal(field, refused.reason, str(refused))
            return row._replace(refusals=(refusal,))
        except _WRONG as error:
            text = str(error)[:200] or type(error).__name__
            return row._replace(refusals=(Refusal(field, MALFORMED, text),))
        return row._replace(readings=(Reading(series, at_ms, *value),))

    def _at(self, around: dict[str, Any], address: str) -> str:
        return text_at(around, address, self._mapping.encoding)

    def _time(self, around: dict[str, Any]) -> str:
        for address in self._mapping.time_columns:
            found = self._at(around, address + ("" if "." in address else ".1"))
            if found:
                return found
        raise Refused(TIME, f"none of {', '.join(self._mapping.time_columns)}")

    def _place(
        self, where: Where, default: str, around: dict[str, Any], name: str, reason: str
    ) -> str:
        if where.value is not None or where.file is not None:
            return where.name(where.fixed(name), reason)
        return where.name(self._at(around, where.column or default), reason)

    def _series(
        self, called: str, code: str, words: str, around: dict[str, Any], bed: str, device: str
    ) -> Series:
        written = self._at(around, "OBX-6.1")
        if len(written) > NAME_MAX:
            raise Refused(UNIT, f"{written[:40]!r}: {len(written)} characters")
        unit = parameters.ucum(written)
        known = self._parameters.get(called)
        if known is not None:
            if written and written != known.written and unit != known.unit:
                raise Refused(UNIT, f"{written[:40]!r}, want {known.written or known.unit!r}")
            return known.series(bed, device)
        found = parameters.find_coded(code, unit) or parameters.find(words)
        if found is None or not (code.isdecimal() or words.startswith("MDC_")):
            raise Refused(PARAMETER, f"{called[:40]!r}: neither the mapping nor MDC names it")
        if not written or units.converter(unit, found.unit) is None:
            raise Refused(UNIT, f"{written[:40]!r}: {found.label} is in {found.unit}")
        return Series(bed, device, found.label, found.mdc, unit)

    def _refuse(self, segment: _Segment, field: str, reason: str, text: str) -> Row:
        shown = segment.data.decode("ascii", "backslashreplace")[:_RAW_MAX]
        return Row(segment.line, segment.end, shown, refusals=(Refusal(field, reason, text),))


def _segments(
    file: BinaryIO, size: int, start: tuple[int, int], is_whole: bool
) -> Iterator[_Segment]:
    """Yield what stands between ends of lines, and b"\\x1c" where MLLP ends a message."""
    file.seek(start[0])
    read, line = start
    rest = head = b""  # head: of a segment that is too long, and goes on
    while read < size and (piece := file.read(min(_PIECE, size - read))):
        read += len(piece)
        searched = max(0, len(rest) - 1)
        rest += piece
        begin = 0
        for found in _ENDS.finditer(rest, searched):
            line += 1
            end = read - len(rest) + found.end()
            if head:
                yield _Segment(line, end, head, True)
            else:
                yield from _split(line, end, rest[begin : found.end()])
            begin, head = found.end(), b""
        rest = rest[begin:]
        if len(rest) > _SEGMENT_MAX:
            head, rest = head or rest[:_RAW_MAX], rest[-1:]
    if rest and (is_whole or rest[-1:] in b"\r\n\x1c"):
        if head:
            yield _Segment(line + 1, read, head, True)
        else:
            yield from _split(line + 1, read, rest)


def _split(line: int, end: int, part: bytes) -> Iterator[_Segment]:
    if line == 1:
        part = part.removeprefix(codecs.BOM_UTF8)
    data = part.strip(b"\r\n \x0b")
    before, is_end, after = data.partition(b"\x1c")
    if before:
        yield _Segment(line, end, before)
    if is_end:
        yield _Segment(line, end, b"\x1c")
    if after.strip(b"\x0b"):
        yield _Segment(line, end, after.strip(b"\x0b"))
