"""Tells the story of the hub's session with its broker: when it ended, why, and when it came back.

While there is none the gateways keep what they have, and send it when there is.
"""

from __future__ import annotations

import asyncio

from vitalkeep.hub.context import Context
from vitalkeep.hub.store import utc_now_ms

_LOOK_S = 0.25
_PATIENCE_S = 5.0  # that a broker may take before its silence is news


async def run(hub: Context) -> None:
    consumer, said = hub.consumer, True
    sessions = 1  # the first is no news
    silent_s = 0.0
    while True:
        silent_s = 0.0 if consumer.connected else silent_s + _LOOK_S
        here = consumer.connected or not consumer.sessions
        ended = not here or consumer.sessions > sessions
        if said and (ended or silent_s > _PATIENCE_S):
            said = False
            text = f"The broker is gone: {consumer.last_error or 'it does not answer'}"
            hub.ward.say(utc_now_ms(), None, "bad", text)
        if not said and consumer.connected:
            said = True
            hub.ward.say(utc_now_ms(), None, "good", "The broker is there again")
        sessions = max(sessions, consumer.sessions)
        await asyncio.sleep(_LOOK_S)
