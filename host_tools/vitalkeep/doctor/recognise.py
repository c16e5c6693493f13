"""Which protocols explain the bytes of a line, and how much of them: by the board's own drivers.

Each candidate is a driver with options; it reads the bytes and says which of them were damage.
What is left are good frames. How much one good frame proves is its weight in bits: how unlikely
it is that other bytes look like it (the width of its check, and what else is fixed in it).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from bridge.core.checks import crc16_modbus, xor8
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
    least    part of the bytes below which it is not even likely: frames that chance makes
    """

    name: str
    bits: int
    options: dict[str, Any] = field(default_factory=dict)
    read: Callable[[Recording, Candidate], Fit] | None = None
    least: float = 0.0

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
    waiting bytes at the end that may be the beginning of one more frame
    lost    bytes that are damage to the driver, where good ones are told by their shape alone
    """

    candidate: Candidate
    good: int
    total: int
    frames: int
    units: set[str]
    waiting: int = 0
    lost: int | None = None

    @property
    def damage(self) -> float:
        """Return which part of the bytes is damage, but for a frame that was cut at either end."""
        if not self.frames:
            return 1.0
        lost = self.total - self.good - self.waiting if self.lost is None else self.lost
        return max(0.0, (lost - self.good / self.frames) / self.total)

    @property
    def coverage(self) -> float:
        return self.good / self.total if self.total else 0.0

    @property
    def evidence(self) -> int:
        """Return what speaks for it, in bits.

        Each place where a frame might have begun by chance is a try: what so many tries make
        likely is no evidence.
        """
        if not self.frames:
            return 0
        tries = max(1.0, self.total / self.frames)
        return max(0, round(self.frames * (self.candidate.bits - math.log2(tries))))


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
    good = max(0, total - damaged - waiting) if frames else 0
    return Fit(candidate, good, total, frames, units, waiting)


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


_PURITAN = rb"MISC[AF],\d{3,4},\d{2,3} ?,\x02[^\x03]{600,1300}\x03"
_PURITAN_WAVES = rb"(?:-?\d{1,3}\.\d{1,2}, ?-?\d{1,3}\.\d{1,2}\n){8,}"
_S5 = (
    rb"\x7e[^\x7e][\x00-\x05][^\x7e][\x02-\x0c][^\x7e]{7,9}\x00{3}[\x00\x01\x04]\x00"
    rb"[^\x7e]{20,1600}(?=\x7e)"
)
_HAMILTON = rb"\x02(?:[\x1e-\x7f](?=[^\x03]*\d)[ 0-9.+-]{5}|RERROR)\x03\r"


def by_shape(
    pattern: bytes, is_right: Callable[[bytes], bool] = lambda frame: True
) -> Callable[[Recording, Candidate], Fit]:
    """Return a reader of frames of this shape, for drivers that must know what they asked."""
    shape = re.compile(pattern)

    def read(recording: Recording, candidate: Candidate) -> Fit:
        frames = [found[0] for found in shape.finditer(recording.data) if is_right(found[0])]
        good = sum(len(frame) for frame in frames)
        return Fit(candidate, good, len(recording.data), len(frames), set())

    return read


def either(
    loosely: Callable[[Recording, Candidate], Fit],
) -> Callable[[Recording, Candidate], Fit]:
    """Return a reader that takes the driver's word, or the mere shape of what noise has spoilt."""

    def read(recording: Recording, candidate: Candidate) -> Fit:
        found, shaped = by_driver(recording, candidate), loosely(recording, candidate)
        if found.good >= shaped.good:
            return found
        if found.frames:
            shaped.lost = found.total - found.good - found.waiting
        return shaped

    return read


def _has_lrc(frame: bytes) -> bool:
    digits = frame[1:-2].decode()
    return len(digits) % 2 == 0 and not sum(bytes.fromhex(digits)) & 0xFF


def _has_xor(frame: bytes) -> bool:
    text = frame[:-3]
    check = b"%02X" % xor8(text, 0, len(text))
    return frame.startswith(b"Servo-") or frame[-3:-1] == check


CANDIDATES = (
    Candidate("alaris_asena", 40),
    Candidate("aspect_bis", 32),
    Candidate("astm", 32),
    Candidate("bbraun_bcc", 56),
    Candidate("capnostream", 20),
    Candidate("draeger_medibus", 28),
    Candidate("fresenius_orchestra", 28),
    Candidate("ge_s5", 28, read=either(by_shape(_S5))),
    Candidate("graseby_3400", 32),
    Candidate("hamilton", 28, read=by_shape(_HAMILTON)),
    Candidate("hl7_oru", 48),
    Candidate("masimo_set", 60),
    Candidate("mindray_pds", 48),
    Candidate("modbus_ascii", 32, read=by_shape(rb":[0-9A-F]{8,510}\r\n", _has_lrc)),
    Candidate("modbus_rtu", 20, read=modbus_rtu),
    Candidate("nellcor_oximax", 60),
    Candidate("nonin", 5, {"format": 1}, least=0.6),
    Candidate("nonin", 40, {"format": 2}),
    Candidate("nonin", 40, {"format": 7}),
    Candidate("nonin", 8, {"format": 8}, least=0.6),
    Candidate("nonin", 24, {"format": 13}),
    Candidate("philips_intellivue", 44),
    Candidate("puritan_bennett", 48, read=either(by_shape(_PURITAN))),
    Candidate("puritan_bennett_waves", 24, read=either(by_shape(_PURITAN_WAVES))),
    Candidate("servo_cie", 18, read=by_shape(rb"[ -~]{3,5000}\x04", _has_xor)),
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
            whole.waiting += one.waiting
        found.append(whole)
    return _ranked(found)


def _read(recording: Recording, candidate: Candidate) -> Fit:
    return (candidate.read or by_driver)(recording, candidate)


def _ranked(found: list[Fit]) -> list[Fit]:
    return sorted(found, key=lambda fit: (fit.good, fit.evidence), reverse=True)
