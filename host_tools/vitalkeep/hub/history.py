"""The loss account of one hour, as it is kept. Pure: facts in, rows out.

A row is written when its hour has passed and again until it is settled: nothing is on its way any
more, nothing waits to be decoded, and no value waits for a clock. Then it is final for ever, as
it is when a site looked again for thirty days: days that passed, not those of a clock far ahead
or of a hub that was off.
"""

from __future__ import annotations

import json

from bridge.core.journal.layout import CLASSES
from vitalkeep.hub.account import COMING, GAP, NEVER_CAME, SILENT, STORED, Facts, account, cut
from vitalkeep.hub.decode import Row

HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS
GRACE_MS = 10 * 60 * 1000  # what is on its way by heartbeat and not yet here
AGAIN_MS = 10 * 60 * 1000  # after this an hour that is not final is looked at again
GIVEN_UP_MS = 30 * DAY_MS
_LOOK_MS_MAX = DAY_MS  # what one look is worth: a ward that was off for long waits its turn

# RTO and RPO in seconds that the plan asks for, and those that we aim at, by class.
PLAN = {"A": (300, 10), "B": (1800, 60), "C": (7200, 300)}
AIM = {"A": (10, 2), "B": (60, 10), "C": (300, 60)}


def hour_of(utc_ms: int) -> int:
    """Return the beginning of the hour that a time is in."""
    return utc_ms - utc_ms % HOUR_MS


def first_of(facts: Facts, now_ms: int) -> int | None:
    """Return when the first value that is known was made, None without any."""
    found = [account(facts, cls, 0, now_ms).segments for cls in range(len(CLASSES))]
    return min((segments[0].start_ms for segments in found if segments), default=None)


def waited(waited_ms: int, looked_ms: int, now_ms: int) -> int:
    """Return for how long an hour was looked at again, the time since the last look added."""
    return waited_ms + min(max(0, now_ms - looked_ms), _LOOK_MS_MAX)


def hour_rows(
    gateway: bytes, facts: Facts, hour_ms: int, now_ms: int, waited_ms: int = 0
) -> list[Row]:
    """Return the rows of `account_hours` of one gateway, a class each that owed anything.

    facts      with the sectors that came since well before the hour: a gap is measured whole
    waited_ms  for how long what is on its way was waited for
    """
    rows = []
    end_ms = hour_ms + HOUR_MS
    for cls in range(len(CLASSES)):
        found = account(facts, cls, 0, now_ms)
        parts = cut(found.segments, hour_ms, end_ms)
        if not parts:
            continue
        given_up = waited_ms >= GIVEN_UP_MS
        sums = dict.fromkeys((STORED, COMING, GAP), 0)
        causes: dict[str, int] = {}
        for part in parts:
            lost = given_up and part.kind == COMING
            sums[GAP if lost else part.kind] += part.ms
            if lost or part.kind == GAP:
                cause = NEVER_CAME if lost else part.cause
                causes[cause] = causes.get(cause, 0) + part.ms
        # A gap counts whole in each hour it touches: cut at the hour it would look harmless.
        losses = [
            segment.ms
            for segment in found.segments
            if segment.kind == GAP
            and segment.cause != SILENT
            and segment.start_ms < end_ms
            and segment.end_ms > hour_ms
        ]
        decoding = any(row["cls"] == cls and row["decoded"] < row["length"] for row in facts.rows)
        waits = sums[COMING] or found.undated or decoding
        settled = not waits and now_ms - end_ms >= GRACE_MS
        rows.append({
            "gateway": gateway,
            "hour_ms": hour_ms,
            "cls": cls,
            "span_ms": sum(part.ms for part in parts),
            "stored_ms": sums[STORED],
            "coming_ms": sums[COMING],
            "gap_ms": sums[GAP],
            "causes": json.dumps(causes),
            "rpo_ms": max(losses, default=0),
            "undated": found.undated,
            "final": settled or given_up,
            "looked_ms": now_ms,
            "waited_ms": waited_ms,
        })  # fmt: skip
    return rows
