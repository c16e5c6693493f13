"""Who the gateways of a load are, and what their devices say: the shape of a real ward.

Keys and ids follow from a seed, so that a log that was made once fits the next run's vault. They
are worth nothing: never give them to a real gateway.
"""

import hashlib
import struct
from dataclasses import dataclass, field

from bridge.core.journal import records
from hil.bench.recording import Recording, model_recording
from vitalkeep.keys import derive

BOOT = 1
AGE_MAX_S = 200  # a quarter of what a monitor's sector lasts
_RECORDING_SEED = 1
_STEP_ROWS = 37  # by which one gateway's values are ahead of the one before


@dataclass(frozen=True)
class Line:
    """One device of a gateway.

    cls       class number
    columns   of the recording, the values of one observation
    period_s  between two observations, each of which is one commit
    """

    device: records.Device
    cls: int
    columns: tuple[int, ...]
    period_s: int


@dataclass(frozen=True)
class Identity:
    """One gateway: ids of 8 bytes, and its root key, of which a gateway knows nothing."""

    number: int
    id: bytes
    log: bytes
    root: bytes = field(repr=False)

    @property
    def uplink_key(self) -> bytes:
        return derive.uplink_key(self.root, self.id)

    def receipt_key(self, site: bytes) -> bytes:
        return derive.receipt_key(self.root, self.id, site)


def identity(seed: int, number: int) -> Identity:
    """Return gateway `number` of the ward of a seed."""

    def made(what: bytes) -> bytes:
        return hashlib.sha256(b"load %s" % what + struct.pack("<qI", seed, number)).digest()

    return Identity(number, made(b"gateway")[:8], made(b"log")[:8], made(b"root"))


# Values of a bedside monitor; every fourth gateway has one of each size.
_MONITORS = (10, 12, 14, 18)


def lines(number: int) -> tuple[Line, ...]:
    """Return the devices of a gateway: a monitor, a pump, and the room."""
    size = _MONITORS[number % len(_MONITORS)]
    return (
        Line(records.Device("monitor", "philips_intellivue", 0), 0, tuple(range(size)), 1),
        Line(records.Device("pump", "fresenius_orchestra", 0), 1, (4, 5, 6, 7), 5),
        Line(records.Device("room", "modbus_rtu", 1), 2, (15, 16, 17), 30),
    )


def values_per_s(count: int) -> float:
    """Return how many values a ward of `count` gateways says in a second."""
    return sum(len(line.columns) / line.period_s for n in range(count) for line in lines(n))


def commits_per_s(count: int) -> float:
    """Return how many commits, each of which is one run, a ward makes in a second."""
    return sum(1 / line.period_s for n in range(count) for line in lines(n))


def recording() -> Recording:
    """Return what all of them measure, each from a row of its own on."""
    return model_recording(_RECORDING_SEED)


def first_row(number: int) -> int:
    return number * _STEP_ROWS


def phase_ms(number: int) -> int:
    """Return when within a second a gateway's devices speak: they are not in step."""
    return number * 389 % 1000


def says(line: Line, number: int, second: int) -> bool:
    """Return whether a device of gateway `number` is due: pumps are not in step either."""
    return (second + number) % line.period_s == 0


def age_ms(number: int) -> int:
    """Return how long a gateway has run when a load begins: not all close sectors at once."""
    return number * 7919 % (1000 * AGE_MAX_S)
