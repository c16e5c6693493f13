"""Tells every open page what is new."""

from __future__ import annotations

import asyncio
from typing import Any

from vitalkeep.hub import health
from vitalkeep.hub.context import Context
from vitalkeep.hub.store import utc_now_ms

_TICK_S = 0.25
# News of these is worth an event.
_STEADY = ("receipting", "reason", "broker", "continuity", "counters")


async def run(hub: Context) -> None:
    told: dict[str, Any] = {}
    ward, feed = hub.ward, hub.feed
    while True:
        ward.tick(utc_now_ms(), hub.consumer.connected and hub.intake.receipting)
        dirty, ward.dirty = ward.dirty, set()
        if dirty and len(feed):
            beds = [ward.bed(gateway, trends=False) for gateway in dirty]
            feed.publish("beds", {"now": utc_now_ms(), "beds": beds})
        news, ward.story_news = ward.story_news, []
        if news:
            feed.publish("story", news)
        now = health.of(hub)
        steady = {name: now.get(name) for name in _STEADY}
        steady["sites"] = now.get("exchange", {}).get("brief")
        if steady != told:
            told = steady
            feed.publish("health", now)
        await asyncio.sleep(_TICK_S)
