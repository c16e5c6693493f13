"""Observations of one device as a block of columns: what the store keeps and trends are read from.

The bytes are drawn in docs/formats/database.md. Pure: no I/O, no clock.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from bridge.core.errors import FormatError
from bridge.core.events import NO_VALUE, VALID
from vitalkeep.hub.values import Readings, decimal, name_of

BLOCK_MAX = 64  # observations
BLOCK_MS_MAX = 3600 * 1000  # from the first to the last of them

_VERSION = 1
_HEAD = struct.Struct("<BHH")  # version, observations, columns
_COLUMN = struct.Struct("<BBB")  # decimals, width of a value in bytes, whether states follow
_WIDTHS = "bhiq"  # type codes of 1, 2, 4 and 8 bytes
_DECIMALS_MAX = 255
_STORED_MS_MAX = 2**31 - 1
_ABSENT = 255  # a state: this observation does not have the column
_SWAP = sys.byteorder != "little"

Name = tuple[str, str, int]  # label, unit, decimals


class _Column:
    def __init__(self, absent: int) -> None:
        self.values = array("b", bytes(absent))
        self.states = bytearray((_ABSENT,)) * absent
        self.mixed = absent > 0

    def append(self, value: int, state: int) -> None:
        try:
            self.values.append(value)
        except OverflowError:
            self._widen(value)
        self.states.append(state)
        if state != VALID:
            self.mixed = True

    def _widen(self, value: int) -> None:
        for code in _WIDTHS[_WIDTHS.index(self.values.typecode) + 1 :]:
            try:
                self.values = array(code, [*self.values, value])
            except OverflowError:
                continue
            return
        raise FormatError(f"value {value}, want one of 64 bits")


class Block:
    """Up to BLOCK_MAX observations of one device and group, of one boot, in one sector.

    record  the first; its position is the block's, and no other's
    now_ms  when that was stored, in the hub's UTC
    """

    def __init__(self, record: Any, now_ms: int) -> None:
        self.device, self.group, self.boot = record.device, record.group, record.boot
        self.offset, self.index = record.offset, record.index
        self.first_ms = self.last_ms = record.mono_ms
        self.stored_ms = now_ms
        self._times = array("i")  # since first_ms
        self._stored = array("i")  # since stored_ms
        self._offsets = array("H")
        self._indexes = array("H")
        self._columns: dict[Name, _Column] = {}

    def __len__(self) -> int:
        return len(self._times)

    def has_room(self, record: Any) -> bool:
        """Return False for an observation that belongs into another block."""
        return len(self) < BLOCK_MAX and 0 <= record.mono_ms - self.first_ms <= BLOCK_MS_MAX

    def add(self, record: Any, now_ms: int) -> None:
        """Add an observation for which there is room; raises FormatError for senseless numbers."""
        before = len(self._times)
        self._times.append(record.mono_ms - self.first_ms)
        self._stored.append(max(0, min(now_ms - self.stored_ms, _STORED_MS_MAX)))
        self._offsets.append(record.offset)
        self._indexes.append(record.index)
        self.last_ms = max(self.last_ms, record.mono_ms)
        columns = self._columns
        for value in record.values:
            name = (*name_of(value), value.decimals)
            column = columns.get(name)
            if column is None:
                if value.decimals > _DECIMALS_MAX:
                    raise FormatError(f"a value of {value.decimals} decimals")
                column = columns[name] = _Column(before)
            if len(column.values) == before:
                column.append(value.value or 0, value.state)
        for column in columns.values():
            if len(column.values) == before:
                column.append(0, _ABSENT)

    def pack(self) -> bytes:
        parts = [_HEAD.pack(_VERSION, len(self._times), len(self._columns))]
        parts += [_bytes(self._times), _bytes(self._stored)]
        parts += [_bytes(self._offsets), _bytes(self._indexes)]
        for (label, unit, decimals), column in self._columns.items():
            parts += [_text(label), _text(unit)]
            parts.append(_COLUMN.pack(decimals, column.values.itemsize, column.mixed))
            parts.append(_bytes(column.values))
            if column.mixed:
                parts.append(bytes(column.states))
        return b"".join(parts)


class Blocks:
    """The blocks of one sector, as its records come in the log's order."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int, int], Block] = {}
        self._changed: dict[tuple[int, int], Block] = {}

    def add(self, record: Any, now_ms: int) -> None:
        """Add an observation that the store does not have yet."""
        key = (record.device.name, record.group, record.boot)
        block = self._open.get(key)
        if block is None or not block.has_room(record):
            block = self._open[key] = Block(record, now_ms)
        block.add(record, now_ms)
        self._changed[(block.offset, block.index)] = block

    def take_changed(self) -> list[Block]:
        """Return the blocks that grew since this was asked last."""
        found = list(self._changed.values())
        self._changed.clear()
        return found


class Seen(NamedTuple):
    """One observation: its position in the sector, monotonic and UTC milliseconds, readings."""

    offset: int
    idx: int
    mono_ms: int
    stored_ms: int
    readings: Readings


def observations(first_ms: int, stored_ms: int, data: bytes) -> Iterator[Seen]:
    """Yield each observation of a packed block, of whose first these are the times."""
    count, columns, at = _open(data)
    times, at = _numbers("i", data, at, count)
    stored, at = _numbers("i", data, at, count)
    offsets, at = _numbers("H", data, at, count)
    indexes, at = _numbers("H", data, at, count)
    found: list[Readings] = [{} for _ in range(count)]
    for _ in range(columns):
        label, unit, decimals, code, mixed, at = _column(data, at)
        values, at = _numbers(code, data, at, count)
        states = data[at : at + count] if mixed else bytes(count)
        at += count if mixed else 0
        for row, value, state in zip(found, values, states, strict=True):
            if state == _ABSENT or (state == NO_VALUE and label in row):
                continue
            row[label] = [None if state == NO_VALUE else decimal(value, decimals), state, unit]
    for place in zip(offsets, indexes, times, stored, found, strict=True):
        offset, index, mono_ms, ms, row = place
        yield Seen(offset, index, first_ms + mono_ms, stored_ms + ms, row)


class Buckets:
    """A trend of one parameter, thinned: the least and the greatest value of each bucket.

    start_ms, width_ms  of the first bucket, in UTC; count: how many there are
    """

    def __init__(self, label: str, start_ms: int, width_ms: int, count: int) -> None:
        self._label = label.encode()
        self._start_ms, self._width_ms, self._count = start_ms, width_ms, count
        self._found: dict[int, tuple[float, float, int]] = {}

    def add(self, first_ms: int, data: bytes) -> None:
        """Add a packed block whose first observation was at `first_ms` UTC."""
        count, columns, at = _open(data)
        times, at = _numbers("i", data, at, count)
        at += 8 * count  # when they were stored, and where
        for _ in range(columns):
            name_at = at
            _, _, decimals, code, mixed, at = _skim(data, at)
            size = (count << _WIDTHS.index(code)) + (count if mixed else 0)
            if data[name_at + 1 : name_at + 1 + data[name_at]] == self._label:
                values, states_at = _numbers(code, data, at, count)
                states = data[states_at : states_at + count] if mixed else None
                self._spread(first_ms - self._start_ms, times, values, states, 10**decimals)
            at += size

    def _spread(
        self, from_ms: int, times: array[int], values: array[int], states: bytes | None, scale: int
    ) -> None:
        at, count, width = 0, len(times), self._width_ms
        while at < count:
            bucket = (from_ms + times[at]) // width
            stop = bisect_left(times, (bucket + 1) * width - from_ms, at)
            stop = max(stop, at + 1)  # where clocks went back, times do not grow
            part: Any = values[at:stop]
            if states is not None:
                known = zip(part, states[at:stop], strict=True)
                part = [value for value, state in known if state not in (NO_VALUE, _ABSENT)]
            if part and 0 <= bucket < self._count:
                low, high, number = min(part) / scale, max(part) / scale, len(part)
                if bucket in self._found:
                    other = self._found[bucket]
                    low, high = min(low, other[0]), max(high, other[1])
                    number += other[2]
                self._found[bucket] = (low, high, number)
            at = stop

    def points(self) -> list[tuple[int, float, float, int]]:
        """Return (UTC ms at which the bucket begins, least, greatest, values), in order."""
        return [
            (self._start_ms + bucket * self._width_ms, *self._found[bucket])
            for bucket in sorted(self._found)
        ]


@lru_cache(maxsize=1 << 12)
def _text(text: str) -> bytes:
    data = text.encode()[:255]
    return bytes((len(data),)) + data


def _bytes(numbers: array[int]) -> bytes:
    if _SWAP:
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def _numbers(code: str, data: bytes, at: int, count: int) -> tuple[array[int], int]:
    numbers = array(code)
    end = at + count * numbers.itemsize
    numbers.frombytes(data[at:end])
    if _SWAP:
        numbers.byteswap()
    return numbers, end


def _open(data: bytes) -> tuple[int, int, int]:
    version, count, columns = _HEAD.unpack_from(data)
    if version != _VERSION:
        raise FormatError(f"block version {version}, want {_VERSION}")
    return count, columns, _HEAD.size


def _skim(data: bytes, at: int) -> tuple[int, int, int, str, int, int]:
    unit_at = at + 1 + data[at]
    at = unit_at + 1 + data[unit_at]
    decimals, width, mixed = data[at], data[at + 1], data[at + 2]
    return unit_at, at, decimals, _WIDTHS[width.bit_length() - 1], mixed, at + _COLUMN.size


def _column(data: bytes, at: int) -> tuple[str, str, int, str, int, int]:
    unit_at, end, decimals, code, mixed, after = _skim(data, at)
    label = data[at + 1 : unit_at].decode(errors="replace")
    return label, data[unit_at + 1 : end].decode(errors="replace"), decimals, code, mixed, after
