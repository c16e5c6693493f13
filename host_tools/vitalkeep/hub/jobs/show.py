"""Tells every open page what is new."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from vitalkeep.hub import health
from vitalkeep.hub.context import Context
from vitalkeep.hub.store import utc_now_ms

_TICK_S = 0.25
_SHED_S = 5.0  # between refreshes under load
# News of these is worth an event; of the counters only with time to spare.
_STEADY = (
    "receipting", "reason", "ready", "broker", "continuity", "shedding", "room", "attained",
)  # fmt: skip


async def run(hub: Context) -> None:
    told: dict[str, Any] = {}
    ward, feed = hub.ward, hub.feed
    due = 0.0
    while True:
        ward.tick(utc_now_ms(), hub.consumer.connected and hub.intake.receipting)
        refresh = not len(feed) or monotonic() >= due or not hub.sheds("page")
        if refresh:
            due = monotonic() + _SHED_S
            if len(feed):
                async for beds in hub.cards.news():
                    feed.send("beds", beds)
            else:
                hub.cards.forget()
        news, ward.story_news = ward.story_news, []
        if news:
            feed.publish("story", news)
        now = health.of(hub)
        steady = {name: now.get(name) for name in _STEADY}
        steady["counters"] = now["counters"] if refresh else told.get("counters")
        steady["sites"] = now.get("exchange", {}).get("brief")
        if steady != told:
            told = steady
            feed.publish("health", now)
        await asyncio.sleep(_TICK_S)
