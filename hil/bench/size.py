"""How many bytes of flash a recording takes, and what others would store for it.

The real journal writes it on the emulated chip, row by row as it arrives, and all of it is read
back and compared before any number is believed.
"""

import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from bridge.core.errors import FormatError, TagError
from bridge.core.events import NO_SAMPLE, NO_VALUE, VALID, Wave
from bridge.core.journal import layout, records
from bridge.core.journal.reader import SectorReader, verify_seal
from bridge.core.journal.seal import FIRST_SEAL, next_chain_key
from hil.bench import peers
from hil.bench.on_micropython.gateway import CLASS, DEVICE, KEY_BLOCKS, Gateway, Source
from hil.bench.recording import Column, Recording
from hil.power_cuts.gateway import CHAIN_KEYS, cipher
from hil.virtual_board.nor import NorChip

_JITTER_MS = 3
_AT_ONCE_S = 1.0  # a commit interval up to this means: each row as it arrives
_MOST = 4  # times the sectors asked for: then a recording need not have been seen to its end
_SPARE_SECTORS = 10  # beyond those to be sealed, so that nothing is given up
_WAVE_S = 1.0  # of each waveform, in one event


class Inexact(Exception):
    """What was read back is not what was written."""


@dataclass(frozen=True)
class Size:
    """What a recording took.

    value    bytes of flash a second, of waveforms a sample; whole closed sectors alone
    peers    {peer: the same in its form}, None where it is not installed
    events   observations or samples in the closed sectors
    """

    value: float
    peers: dict[str, float | None]
    events: int
    sectors: int
    seconds: float


@dataclass(frozen=True)
class _Sector:
    """One sector as read back; `sealed` and chained to the one before, or the open one."""

    header: Any  # layout.Header
    records: list[Any]  # records.Record of any kind
    sealed: bool


class _Log:
    """A journal on a chip of its own, and the arrival of what it writes."""

    def __init__(self, recording: Recording, sectors: int, seed: int) -> None:
        self._draw = random.Random(seed)
        size = (KEY_BLOCKS + _MOST * sectors + _SPARE_SECTORS) * layout.SECTOR_SIZE
        chip = NorChip(bytearray(b"\xff" * size), size)
        gateway = Gateway(chip, self._draw.randbytes, recording.extras)
        gateway.provision()
        self.journal, self.clock = gateway.boot()
        self._sectors = sectors
        self._length_s = recording.times_s[-1] - recording.times_s[0]

    @property
    def is_done(self) -> bool:
        """Enough sectors are sealed, and the recording was seen to its end."""
        sealed = self.journal.newest(CLASS)[0]
        seen = self.clock.now_ms >= self._length_s * 1000 or sealed >= _MOST * self._sectors
        return bool(seen and sealed >= self._sectors)

    def arrive(self, at_s: float, commit_s: float) -> int:
        """Move the clock to an arrival, past the commits that are due before it; return it."""
        journal, clock = self.journal, self.clock
        at_ms = round(at_s * 1000) + self._draw.randint(-_JITTER_MS, _JITTER_MS)
        at_ms = max(at_ms, clock.now_ms)
        waiting_ms = journal.waiting_ms(CLASS, at_ms)
        if waiting_ms >= commit_s * 1000:
            clock.now_ms = at_ms - waiting_ms + round(commit_s * 1000)
            journal.commit(CLASS)
        clock.now_ms = at_ms
        return at_ms

    def settle(self, commit_s: float) -> None:
        if commit_s <= _AT_ONCE_S:
            self.journal.commit(CLASS)
        self.journal.idle()

    def read_back(self) -> list[_Sector]:
        """Return all sectors of the class, oldest first; raises Inexact."""
        self.journal.commit(CLASS)
        key, tag = CHAIN_KEYS[CLASS], FIRST_SEAL
        newest = self.journal.newest(CLASS)[0]
        found = []
        for number in range(newest + 1):
            data = bytearray(layout.SECTOR_SIZE)
            if not self.journal.read(CLASS, number, 0, data):
                raise Inexact(f"sector {number} is gone")
            reader = SectorReader(cipher, key)
            try:
                kept = reader.feed(data)
                if number < newest:
                    tag = verify_seal(data, key, tag)
            except (FormatError, TagError) as error:
                raise Inexact(f"sector {number}: {error}") from None
            found.append(_Sector(reader.header, kept, number < newest))
            key = next_chain_key(key)
        return found


def measure(recording: Recording, commit_s: float, sectors: int, seed: int) -> Size:
    """Write a recording, at least once and until `sectors` are sealed; raises Inexact."""
    if recording.has_waves:
        return _measure_waves(recording, sectors, seed)
    return _measure_observations(recording, commit_s, sectors, seed)


def _rounds(recording: Recording) -> Iterator[tuple[float, tuple[int | None, ...]]]:
    """Yield (seconds, row) for ever: the recording begins again one period behind its end."""
    first = recording.times_s[0]
    length_s = recording.times_s[-1] - first + recording.period_s
    for turn in count():
        for at_s, row in zip(recording.times_s, recording.rows, strict=True):
            yield at_s - first + turn * length_s, row


def _in_steps(mono_ms: int) -> int:
    return mono_ms // records.TICK_MS * records.TICK_MS


def _seconds(sectors: list[_Sector]) -> float:
    """Return how long the closed sectors span."""
    return float(sectors[-1].header.mono_ms - sectors[0].header.mono_ms) / 1000


# --- observations ---


def _measure_observations(recording: Recording, commit_s: float, sectors: int, seed: int) -> Size:
    log = _Log(recording, sectors, seed)
    columns = recording.columns
    source = Source([c.parameter for c in columns], [c.decimals for c in columns])
    written = []
    for at_s, row in _rounds(recording):
        at_ms = log.arrive(at_s, commit_s)
        log.journal.observation(CLASS, 0, source.observe(row), at_ms)
        written.append((_in_steps(at_ms), row))
        log.settle(commit_s)
        if log.is_done:
            break
    kept = log.read_back()
    _compare_observations(columns, written, kept)
    seconds = _seconds(kept)
    # Peers get the very messages of the closed sectors, in the very commits.
    rows = iter(written)
    commits: dict[tuple[int, int], list[peers.Line]] = {}
    for sector in kept:
        for record in sector.records if sector.sealed else ():
            at_ms, row = next(rows)
            values = _values(columns, row)
            message = peers.line(DEVICE, at_ms, values)
            commits.setdefault((sector.header.number, record.offset), []).append(message)
    closed = sum(sector.sealed for sector in kept)
    return Size(
        closed * layout.SECTOR_SIZE / seconds,
        _divide(peers.sizes(commits.values()), seconds),
        sum(map(len, commits.values())),
        closed,
        seconds,
    )


def _values(columns: tuple[Column, ...], row: tuple[int | None, ...]) -> dict[str, int | float]:
    return {
        column.label: column.number(value)
        for column, value in zip(columns, row, strict=True)
        if value is not None
    }


def _compare_observations(
    columns: tuple[Column, ...],
    written: list[tuple[int, tuple[int | None, ...]]],
    kept: list[_Sector],
) -> None:
    found = [record for sector in kept for record in sector.records]
    if len(found) != len(written):
        raise Inexact(f"{len(written)} observations written, {len(found)} read back")
    for index, ((at_ms, row), record) in enumerate(zip(written, found, strict=True)):
        if record.kind != records.OBSERVATION or record.device.name != DEVICE:
            raise Inexact(f"record {index} is not the monitor's observation")
        if record.mono_ms != at_ms:
            raise Inexact(f"observation {index}: at {record.mono_ms} ms, written at {at_ms}")
        want = [
            (
                column.parameter,
                column.decimals,
                NO_VALUE if value is None else VALID,
                value,
                column.extra or (None, None),
            )
            for column, value in zip(columns, row, strict=True)
        ]
        have = [
            (value.parameter, value.decimals, value.state, value.value, (value.label, value.unit))
            for value in record.values
        ]
        if have != want:
            raise Inexact(f"observation {index}: {have}, written as {want}")


# --- waveforms ---


@dataclass
class _Stretch:
    """One event of each waveform; `kept` counts what was read back of each."""

    at_ms: int
    samples: list[list[int | None]]
    kept: list[int]


def _measure_waves(recording: Recording, sectors: int, seed: int) -> Size:
    log = _Log(recording, sectors, seed)
    at_once = max(1, round(_WAVE_S / recording.period_s))
    waves = [_wave(recording, column, at_once) for column in recording.columns]
    written: list[_Stretch] = []
    rows: list[tuple[int | None, ...]] = []
    for at_s, row in _rounds(recording):
        rows.append(row)
        if len(rows) < at_once:
            continue
        at_ms = log.arrive(at_s - (at_once - 1) * recording.period_s, _WAVE_S)
        stretch = _Stretch(at_ms, [list(column) for column in zip(*rows, strict=True)], [])
        stretch.kept = [0] * len(waves)
        for wave, samples in zip(waves, stretch.samples, strict=True):
            wave.samples[:] = array("h", [NO_SAMPLE if s is None else s for s in samples])
            wave.count = len(samples)
            log.journal.wave(CLASS, 0, wave, at_ms)
        written.append(stretch)
        rows.clear()
        log.settle(_WAVE_S)
        if log.is_done:
            break
    kept = log.read_back()
    closed_samples = _compare_waves(recording, written, kept)
    closed = sum(sector.sealed for sector in kept)
    whole = max(1, closed_samples // (at_once * len(waves)))
    messages = [[_wave_line(recording, stretch)] for stretch in written[:whole]]
    return Size(
        closed * layout.SECTOR_SIZE / closed_samples,
        _divide(peers.sizes(messages), whole * at_once * len(waves)),
        closed_samples,
        closed,
        _seconds(kept),
    )


def _wave(recording: Recording, column: Column, capacity: int) -> Wave:
    wave = Wave(capacity)
    wave.parameter = column.parameter
    wave.decimals = column.decimals
    wave.period_us = round(recording.period_s * 1_000_000)
    return wave


def _wave_line(recording: Recording, stretch: _Stretch) -> peers.Line:
    values: dict[str, object] = {"hz": round(1 / recording.period_s)}
    for column, samples in zip(recording.columns, stretch.samples, strict=True):
        values[column.label] = [None if s is None else column.number(s) for s in samples]
    return peers.line(DEVICE, stretch.at_ms, values)


def _compare_waves(recording: Recording, written: list[_Stretch], kept: list[_Sector]) -> int:
    """Compare every sample; return how many are in closed sectors."""
    places = {column.parameter: index for index, column in enumerate(recording.columns)}
    period_us = round(recording.period_s * 1_000_000)
    at = [0] * len(places)  # the stretch that each waveform goes on in
    closed = 0
    for sector in kept:
        for record in sector.records:
            if record.kind != records.WAVE or record.parameter not in places:
                raise Inexact("a record is not one of the monitor's waveforms")
            index = places[record.parameter]
            column = recording.columns[index]
            stretch = written[at[index]]
            done = stretch.kept[index]
            want = stretch.samples[index][done : done + len(record.samples)]
            at_ms = _in_steps(stretch.at_ms + done * period_us // 1000)
            if record.samples != want or (record.decimals, record.period_us) != (
                column.decimals,
                period_us,
            ):
                raise Inexact(f"{column.label}, second {at[index]}: not the samples written")
            if record.mono_ms != at_ms:
                raise Inexact(f"{column.label}: at {record.mono_ms} ms, written at {at_ms}")
            stretch.kept[index] += len(want)
            if stretch.kept[index] == len(stretch.samples[index]):
                at[index] += 1
            closed += len(want) if sector.sealed else 0
    if any(place != len(written) for place in at):
        raise Inexact(f"{len(written)} seconds of waveforms written, read back up to {at}")
    return closed


def _divide(sizes: dict[str, int | None], by: float) -> dict[str, float | None]:
    return {peer: None if size is None else size / by for peer, size in sizes.items()}
