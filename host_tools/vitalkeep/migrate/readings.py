"""What a row of another system's file gives: readings, and refusals with their reasons."""

from __future__ import annotations

from typing import NamedTuple

# Why something is refused: for machines, and in the guide.
MALFORMED = "malformed"  # the row or message is not what its format says
ENCODING = "encoding"  # its bytes are no text of the encoding
TIME = "time"  # its time cannot be read
TIME_TWICE = "time twice"  # this local time was there twice: clocks went back
TIME_NEVER = "time never"  # this local time never was: clocks went forward
TIME_RANGE = "time range"  # before 1970, or later than tomorrow
BED = "bed"  # no bed, or one that the mapping does not name
DEVICE = "device"  # no device, or one that the mapping does not name
PARAMETER = "parameter"  # a parameter that the mapping does not name
UNIT = "unit"  # its unit is not the one that the mapping says
NUMBER = "number"  # not a number
NOT_A_RESULT = "not a result"  # an HL7 message of another type, or a result that was taken back
REASONS = (
    MALFORMED, ENCODING, TIME, TIME_TWICE, TIME_NEVER, TIME_RANGE, BED, DEVICE, PARAMETER, UNIT,
    NUMBER, NOT_A_RESULT,
)  # fmt: skip


NAME_MAX = 200  # characters of what a bed or a device is called, or a unit


class Refused(Exception):
    """A value that is not taken; `reason` is one of REASONS."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Series(NamedTuple):
    """What a value is of: the bed as this site calls it, the device as the other system does.

    label, mdc  of the parameter here, "" for an MDC reference id that nobody knows
    unit        UCUM, as the other system has its values
    """

    bed: str
    device: str
    label: str
    mdc: str
    unit: str


class Reading(NamedTuple):
    """One value: `value` over 10 to the power of `decimals`, at a time in UTC."""

    series: Series
    at_ms: int
    value: int
    decimals: int


class Refusal(NamedTuple):
    """What was refused: the column or field, why, and in words."""

    column: str
    reason: str
    text: str


class Row(NamedTuple):
    """One row of a file, or one segment of a message.

    line     counted from 1, as an editor shows it
    end      of it, in bytes from the beginning of the file
    raw      as it stands there, for whoever has to mend it
    empty    cells with no value; skipped: those that the mapping leaves out on purpose
    is_open  of a message that is not told to its end: a later run begins with that message again
    """

    line: int
    end: int
    raw: str
    readings: tuple[Reading, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    empty: int = 0
    skipped: int = 0
    is_open: bool = False
