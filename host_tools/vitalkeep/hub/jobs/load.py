"""Measures the hub's load twice a second, and says when it begins to shed and when that ends."""

from __future__ import annotations

import asyncio
import time

from vitalkeep.hub.context import Context
from vitalkeep.hub.load import LoadSettings
from vitalkeep.hub.store import utc_now_ms

_EVERY_S = 0.5
_WORDS = {
    "cpu": "the hub's processor time",
    "queue": "the queue of messages",
    "commit": "the time a commit takes",
    "loop": "how late the hub's loop is",
}


async def run(hub: Context) -> None:
    settings, meters, load = hub.config[LoadSettings], hub.meters, hub.load
    cpu_s, filled_s = time.process_time(), meters.filled_s
    commits, commits_s = meters.commits, meters.commits_s
    at_s = time.monotonic()
    while True:
        await asyncio.sleep(_EVERY_S)
        now_s, now_cpu_s = time.monotonic(), time.process_time()
        took_s = now_s - at_s
        count = meters.commits - commits
        mean_s = (meters.commits_s - commits_s) / count if count else 0.0
        changed = load.sample(
            now_s,
            {
                "cpu": (now_cpu_s - cpu_s) / took_s,
                "queue": (meters.filled_s - filled_s) / took_s,
                "commit": 1000 * max(mean_s, meters.under_way_s()) / settings.commit_ms,
                "loop": 1000 * (took_s - _EVERY_S) / settings.loop_ms,
            },
        )
        at_s, cpu_s, filled_s = now_s, now_cpu_s, meters.filled_s
        commits, commits_s = meters.commits, meters.commits_s
        if changed and load.shedding:
            why = f"{_WORDS[load.worst]} is at {load.value:.0%}"
            text = f"Under load ({why}): pages, accounts and exports wait for the commits"
            hub.ward.say(utc_now_ms(), None, "warn", text)
        elif changed:
            hub.ward.say(utc_now_ms(), None, "good", "The load is over: nothing waits any more")
