"""What a heartbeat says, its fields checked one by one (docs/formats/wire.md, "Heartbeat")."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

from bridge.core.errors import FormatError
from bridge.core.journal.layout import CLASSES

_LINES_MAX = 64
_TEXT_MAX = 64
_COUNTERS_MAX = 64


@dataclass(frozen=True)
class Heartbeat:
    """One authenticated heartbeat.

    mono_ms     since the boot `boot`; utc_ms: 0 unknown; clock: 0 unknown, 1 SNTP's, 2 a site's
    heads       by class number: (oldest sector held, open sector, bytes in it), -1 for none
    backlog     by class number: bytes this site has not been sent
    clock_error_ms  how far its clock may be off, None while it is unknown
    hours_left  until the log is full, None when the gateway does not say
    payload     as it came, for other sites to check
    certificate_days  its certificate and its CA are good for so long, None for not known
    """

    gateway: bytes
    log: bytes
    nonce: bytes
    boot: int
    mono_ms: int
    utc_ms: int
    clock: int
    ask: bool
    heads: dict[int, tuple[int, int, int]]
    backlog: dict[int, int]
    pool: tuple[int, int]
    counters: dict[str, int]
    lines: list[tuple[str, str]]
    firmware: str
    micropython: str
    hours_left: float | None
    certificate_days: int | None = None
    clock_error_ms: int | None = None
    payload: bytes = b""


def _whole(value: Any, name: str, low: int = 0, high: int = 2**62) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise FormatError(f"status: {name} is {value!r}, want {low} to {high}")
    return value


def _id(value: Any, name: str) -> bytes:
    try:
        found = bytes.fromhex(value)
    except (TypeError, ValueError):
        found = b""
    if len(found) != 8:
        raise FormatError(f"status: {name} is {value!r}, want 16 hex digits")
    return found


def _list(value: Any, name: str, count: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != count:
        raise FormatError(f"status: {name} is {value!r}, want {count} numbers")
    return value


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FormatError(f"status: {name} is {value!r}, want an object")
    return value


def _text(value: Any) -> str:
    return str(value)[:_TEXT_MAX]


def parse_heartbeat(gateway: bytes, fields: dict[str, Any]) -> Heartbeat:
    """Return the Heartbeat in authenticated JSON; raises FormatError."""
    heads = {}
    for name, value in _table(fields.get("heads"), "heads").items():
        if name in CLASSES and len(name) == 1:
            numbers = [_whole(part, "heads", -1, 2**32 - 1) for part in _list(value, "heads", 3)]
            heads[CLASSES.index(name)] = (numbers[0], numbers[1], numbers[2])
    backlog = {}
    for name, value in _table(fields.get("backlog", {}), "backlog").items():
        if name in CLASSES and len(name) == 1:
            backlog[CLASSES.index(name)] = _whole(value, "backlog")
    pool = _list(fields.get("pool", [0, 0]), "pool", 2)
    counters = _table(fields.get("counters", {}), "counters")
    lines = []
    found = fields.get("lines", [])
    if not isinstance(found, list):
        raise FormatError(f"status: lines is {found!r}, want a list")
    for line in found[:_LINES_MAX]:
        line = _table(line, "lines")
        lines.append((_text(line.get("name", "?")), _text(line.get("state", "?"))))
    error = fields.get("clock_error")
    hours = fields.get("hours_left")
    number = isinstance(hours, (int, float)) and not isinstance(hours, bool)
    # Python's JSON reader lets NaN and Infinity through; browsers' do not.
    if hours is not None and not (number and math.isfinite(hours)):
        raise FormatError(f"status: hours_left is {hours!r}, want a number")
    days = fields.get("certificate_days")
    return Heartbeat(
        gateway=gateway,
        log=_id(fields.get("log"), "log"),
        nonce=_id(fields.get("nonce"), "nonce"),
        boot=_whole(fields.get("boot"), "boot", 0, 2**32 - 1),
        mono_ms=_whole(fields.get("mono"), "mono"),
        utc_ms=_whole(fields.get("utc", 0), "utc"),
        clock=_whole(fields.get("clock", 0), "clock", 0, 2),
        ask=fields.get("ask") is True,
        heads=heads,
        backlog=backlog,
        pool=(_whole(pool[0], "pool"), _whole(pool[1], "pool")),
        counters={
            _text(name): value
            for name, value in list(counters.items())[:_COUNTERS_MAX]
            if isinstance(value, int)
        },
        lines=lines,
        firmware=_text(fields.get("firmware", "")),
        micropython=_text(fields.get("micropython", "")),
        hours_left=None if hours is None else float(hours),
        certificate_days=None if days is None else _whole(days, "certificate_days", -(10**6)),
        clock_error_ms=None if error is None else _whole(error, "clock_error"),
    )


_OLD_BOOTS = 64


class Session:
    """The last heartbeat of a gateway, and whether another one is news or an old one again."""

    def __init__(self) -> None:
        self.beat: Heartbeat | None = None
        self._old_boots: deque[int] = deque(maxlen=_OLD_BOOTS)

    def hear(self, beat: Heartbeat) -> bool:
        """Return False for a heartbeat that is older than one already heard."""
        known = self.beat
        if known is not None:
            if beat.boot == known.boot and beat.mono_ms < known.mono_ms:
                return False
            if beat.boot in self._old_boots:
                return False
            if beat.boot != known.boot:
                self._old_boots.append(known.boot)
        self.beat = beat
        return True
