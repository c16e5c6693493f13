"""Which protocols explain the bytes of a line, and how much of them: by the board's own drivers.

Each candidate is a driver with options; it reads the bytes and says which of them were damage.
What is left are good frames. How much one good frame proves is its weight in bits: how unlikely
it is that other bytes look like it (the width of its check, and what else is fixed in it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from bridge.core.checks import crc16_modbus
from bridge.core.events import Alarm, Damage, Identity, Observation, Wave
from bridge.core.protocols import PROTOCOLS, make_decoder
from vitalkeep.doctor.recording import Recording

_TURN_MS = 100
_PIECE = 32


@dataclass(frozen=True)
class Candidate:
    """One thing that a line may carry.

    name     of the protocol
    bits     what one good frame proves
    options  for its driver
    read     read(recording, candidate) returns a Fit, where the driver cannot do it
    """

    name: str
    bits: int
    options: dict[str, Any] = field(default_factory=dict)
    read: Callable[[Recording, Candidate], Fit] | None = None

    @property
    def ports(self) -> tuple[str, ...]:
        """How its line may be set, the usual way first."""
        found: tuple[str, ...] = import_module(PROTOCOLS[self.name][0]).PORTS
        return found


@dataclass
class Fit:
    """How well a candidate explains a recording.

    good    bytes in good frames
    total   all bytes
    frames  good frames
    units   addresses and names that were heard
    """

    candidate: Candidate
    good: int
    total: int
    frames: int
    units: set[str]

    @property
    def coverage(self) -> float:
        return self.good / self.total if self.total else 0.0

    @property
    def evidence(self) -> int:
        """Return what speaks for it, in bits."""
        return self.frames * self.candidate.bits


def by_driver(recording: Recording, candidate: Candidate) -> Fit:
    """Let the driver read the bytes at their times; what it wants to ask is not sent."""
    decoder = make_decoder(candidate.name, candidate.options)
    damaged = frames = 0
    units: set[str] = set()
    now_ms = 0
    for piece in _pieces(recording, decoder):
        now_ms += _TURN_MS
        decoder.next_request(now_ms)
        while piece:
            piece = piece[decoder.rx.feed(piece) :]
            event = decoder.next_event()
            while event is not None:
                if isinstance(event, Damage):
                    damaged += event.count if event.kind not in ("timeout", "refused") else 0
                elif isinstance(event, (Observation, Wave, Identity, Alarm)):
                    frames += 1
                    units.add(str(event.unit))
                event = decoder.next_event()
    total = len(recording.data)
    waiting = min(decoder.rx.count, total)
    return Fit(candidate, max(0, total - damaged - waiting) if frames else 0, total, frames, units)


def _pieces(recording: Recording, decoder: Any) -> Iterator[bytes]:
    for _, data in recording.heard:
        for start in range(0, len(data), _PIECE):
            yield data[start : start + _PIECE]


def modbus_rtu(recording: Recording, candidate: Candidate) -> Fit:
    """Look for frames whose CRC is right, of either side: the map of a bus is not needed."""
    data = recording.data
    good = frames = at = 0
    units: set[str] = set()
    while at + 5 <= len(data):
        size = _frame_size(data, at)
        if size:
            good += size
            frames += 1
            units.add(str(data[at]))
            at += size
        else:
            at += 1
    return Fit(candidate, good, len(data), frames, units)


def _frame_size(data: bytes, at: int) -> int:
    """Return the size of the request, answer or refusal at `at`, 0 for none."""
    if not 1 <= data[at] <= 247:
        return 0
    function = data[at + 1]
    if function & 0x80:
        sizes = [5] if function & 0x7F in (1, 2, 3, 4, 5, 6, 15, 16) else []
    elif function in (1, 2, 3, 4):
        sizes = [8, 5 + data[at + 2]]
    elif function in (5, 6, 15, 16):
        sizes = [8]
    else:
        sizes = []
    for size in sizes:
        end = at + size
        if end <= len(data) and crc16_modbus(data, at, end - 2) == data[end - 2] | (
            data[end - 1] << 8
        ):
            return size
    return 0


CANDIDATES = (
    Candidate("draeger_medibus", 12),
    Candidate("masimo_set", 60),
    Candidate("modbus_rtu", 20, read=modbus_rtu),
)


def fits(recording: Recording) -> list[Fit]:
    """Return how well each candidate explains a recording, the best first."""
    return _ranked([_read(recording, candidate) for candidate in CANDIDATES])


def fits_by_bursts(recording: Recording) -> list[Fit]:
    """Return the same where each burst of bytes stands for itself: several may be talking."""
    bursts = recording.bursts()
    found = []
    for candidate in CANDIDATES:
        whole = Fit(candidate, 0, 0, 0, set())
        for burst in bursts:
            one = _read(burst, candidate)
            whole.good += one.good
            whole.total += one.total
            whole.frames += one.frames
            whole.units |= one.units
        found.append(whole)
    return _ranked(found)


def _read(recording: Recording, candidate: Candidate) -> Fit:
    return (candidate.read or by_driver)(recording, candidate)


def _ranked(found: list[Fit]) -> list[Fit]:
    return sorted(found, key=lambda fit: (fit.good, fit.evidence), reverse=True)
