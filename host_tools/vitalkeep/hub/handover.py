"""Who has a duty: what one hub should do about it. Pure.

A duty has one holder and a term, a number that rises with each holder. It changes hands when the
holder is dead, or is cut off and somebody else is not; and it goes back to a hub of a better rank
when that one has been well for a while, so that a site that flaps gets nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TAKE = "take"
GIVE = "give"
KEEP = "keep"
WAIT = "wait"


@dataclass(frozen=True)
class Standby:
    """One living hub that would have the duty.

    rank   0 should have it; the lowest that is fit gets it
    fit    it is not cut off
    for_s  how long it has been so
    """

    name: str
    rank: int
    fit: bool
    for_s: float


def decide(me: str, alive: Sequence[Standby], holder: str | None, steady_s: float) -> str:
    """Return TAKE, GIVE, KEEP or WAIT.

    me      one of `alive`
    holder  None while the duty is free: given back, or its term has ended
    """
    best = min(alive, key=lambda one: (not one.fit, one.rank, one.name), default=None)
    if best is None:
        return WAIT
    if holder is None:
        # Somebody has to: when all are cut off, the one that should have it.
        return TAKE if best.name == me else WAIT
    if holder != me:
        return WAIT
    mine = next((one for one in alive if one.name == me), None)
    if mine is None or best.name == me or not best.fit:
        return KEEP
    if not mine.fit:
        return GIVE
    return GIVE if best.rank < mine.rank and best.for_s >= steady_s else KEEP
