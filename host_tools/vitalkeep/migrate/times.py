"""Times as other systems write them, to UTC. Pure.

What a time means is never guessed: a date alone, a local time of a zone that nobody named, and one
that was there twice, or never, are refused unless the mapping says what they are.
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from decimal import Decimal

from vitalkeep.migrate.readings import TIME, TIME_NEVER, TIME_RANGE, TIME_TWICE, Refused

ISO, UNIX, UNIX_MS, HL7 = "iso", "unix", "unix_ms", "hl7"
REFUSE, FIRST, SECOND = "refuse", "first", "second"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_MS = dt.timedelta(milliseconds=1)
_COUNT = re.compile(r"\d{1,15}(\.\d{1,9})?", re.ASCII)
_ISO = re.compile(r"[^T ]+[Tt ]\d\d:?\d\d.*", re.ASCII)
_FRACTION = re.compile(r"(:\d\d)[.,](\d+)", re.ASCII)
_HL7 = re.compile(
    r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)([+-]\d\d[0-5]\d)?", re.ASCII
)


def find_zone(name: str) -> dt.tzinfo:
    """Return an IANA time zone; raises ValueError for a name that this machine does not know."""
    if name == "UTC":
        return dt.timezone.utc
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, OSError, ValueError):
        raise ValueError(f"{name!r}: no such time zone here; want one as Europe/Berlin") from None


def check_form(form: str) -> None:
    """Raise ValueError for a form of which some part of a time would be made up."""
    if form in ("", ISO, UNIX, UNIX_MS, HL7):
        return
    if "Z" in re.findall("%(.)", form, re.DOTALL):
        raise ValueError("%Z is no offset: want %z, or a zone and a format without it")
    sample = dt.datetime(2026, 11, 25, 14, 47, tzinfo=dt.timezone.utc)
    try:
        found = dt.datetime.strptime(sample.strftime(form), form).replace(tzinfo=sample.tzinfo)
    except ValueError as error:
        raise ValueError(f"no directives of strptime: {error}") from None
    if found != sample:
        raise ValueError("want year, month, day, hour (%I with %p) and minute in it")


class Times:
    """Reads times of one form.

    form   ISO, UNIX, UNIX_MS, HL7, or directives of strptime
    zone   what a time without an offset means; None: such are refused
    twice  what one means that was there twice: REFUSE, FIRST or SECOND
    until_ms  no time is later than this, in UTC
    """

    def __init__(self, form: str, zone: str | None, twice: str, until_ms: int) -> None:
        self._form = form
        self._zone = find_zone(zone) if zone is not None else None
        self._twice = twice
        self._until_ms = until_ms

    def parse(self, text: str) -> int:
        """Return UTC in milliseconds, rounded down; raises Refused."""
        text = text.strip()
        if self._form in (UNIX, UNIX_MS):
            if not _COUNT.fullmatch(text):
                raise Refused(TIME, f"{text[:40]!r}: want a number since 1970")
            found = int(Decimal(text) * (1000 if self._form == UNIX else 1))
        else:
            try:
                found = (self._utc(self._read(text), text) - _EPOCH) // _MS
            except (ValueError, OverflowError):
                raise Refused(TIME, f"{text[:40]!r}: want a time as {self._form}") from None
        if not 0 <= found <= self._until_ms:
            raise Refused(TIME_RANGE, f"{text[:40]!r}: want from 1970 until tomorrow")
        return found

    def _read(self, text: str) -> dt.datetime:
        if self._form == ISO:
            if not _ISO.fullmatch(text):
                # Python takes "2026-02-01" for midnight, and "2026-02-01+01:00" for one o'clock.
                raise Refused(TIME, f"{text[:40]!r}: want a date, T or a space, hour and minute")
            # Python 3.10 takes 3 or 6 digits of a second alone, and no Z.
            text = text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text
            text = _FRACTION.sub(lambda m: f"{m[1]}.{m[2][:6]:0<6}", text)
            return dt.datetime.fromisoformat(text)
        if self._form == HL7:
            return _read_hl7(text)
        return dt.datetime.strptime(text, self._form)

    def _utc(self, local: dt.datetime, text: str) -> dt.datetime:
        if local.tzinfo is not None:
            return local.astimezone(dt.timezone.utc)
        if self._zone is None:
            raise Refused(TIME, f"{text[:40]!r}: no offset, and no zone in [time]")
        first = local.replace(tzinfo=self._zone, fold=0)
        second = local.replace(tzinfo=self._zone, fold=1)
        before, after = first.utcoffset(), second.utcoffset()
        assert before is not None
        assert after is not None
        if before < after:
            raise Refused(TIME_NEVER, f"{text[:40]!r}: clocks went forward over it")
        if before > after and self._twice == REFUSE:
            raise Refused(TIME_TWICE, f"{text[:40]!r}: it was there twice, set twice in [time]")
        chosen = second if self._twice == SECOND else first
        return chosen.astimezone(dt.timezone.utc)


def _read_hl7(text: str) -> dt.datetime:
    found = _HL7.fullmatch(text)
    if not found:
        raise ValueError(text)
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    days = (int(year), int(month), int(day))
    fraction_us = int((fraction or "0").ljust(6, "0"))
    made = dt.datetime(*days, int(hour), int(minute), int(second or 0), fraction_us)
    if offset:
        sign = -1 if offset[0] == "-" else 1
        ahead = dt.timedelta(hours=int(offset[1:3]), minutes=int(offset[3:]))
        made = made.replace(tzinfo=dt.timezone(sign * ahead))
    return made
