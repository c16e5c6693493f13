"""Notices that the site is cut off, by evidence that has a name, and says so."""

from __future__ import annotations

import asyncio
import time

from vitalkeep.hub.context import Context
from vitalkeep.hub.cut import Signs
from vitalkeep.hub.duties import DutySettings
from vitalkeep.hub.store import utc_now_ms
from vitalkeep.hub.within import within
from vitalkeep.settings.fields import HostPort

_EVERY_S = 1.0
_KNOCK_S = 3.0


async def run(hub: Context) -> None:
    hub.shown["continuity"] = lambda: {
        "cut_off": hub.verdict.cut,
        "isolated": hub.verdict.isolated,
        "evidence": list(hub.verdict.evidence),
    }
    site = hub.config[DutySettings].other_site
    broker, store, other = (_Stopwatch() for _ in range(3))
    while True:
        hearing = hub.consumer.connected
        last_ms = hub.ward.heard_ms()
        silent = (utc_now_ms() - last_ms) / 1000 if hearing and last_ms else 0.0
        reached = site is None or await _answers(site)
        signs = Signs(
            broker.since(not hearing),
            max(0.0, silent),
            store.since(not hub.intake.receipting),
            other.since(not reached),
        )
        was_cut, was_isolated = hub.verdict.cut, hub.verdict.isolated
        if hub.verdict.look(signs, time.monotonic()):
            _tell(hub, was_cut, was_isolated)
        await asyncio.sleep(_EVERY_S)


def _tell(hub: Context, was_cut: bool, was_isolated: bool) -> None:
    verdict = hub.verdict
    why = ", ".join(verdict.evidence)
    if verdict.cut != was_cut:
        text = f"This site is cut off: {why}" if verdict.cut else "This site is no longer cut off"
        hub.ward.say(utc_now_ms(), None, "bad" if verdict.cut else "good", text)
    elif verdict.isolated != was_isolated:
        text = "The other site answers again"
        if verdict.isolated:
            text = "The other site does not answer: cut off, or down; nobody here can tell which"
        hub.ward.say(utc_now_ms(), None, "warn" if verdict.isolated else "good", text)


class _Stopwatch:
    """How long something has been so."""

    def __init__(self) -> None:
        self._since_s: float | None = None

    def since(self, is_so: bool) -> float:
        """Return for how many seconds, at least a moment while it is so, 0 while it is not."""
        if not is_so:
            self._since_s = None
            return 0.0
        now_s = time.monotonic()
        if self._since_s is None:
            self._since_s = now_s
        return max(now_s - self._since_s, 0.001)


async def _answers(place: HostPort) -> bool:
    try:
        _, writer = await within(_KNOCK_S, asyncio.open_connection(place.host, place.port))
    except (OSError, asyncio.TimeoutError):
        return False
    writer.close()
    return True
