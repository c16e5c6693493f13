"""Says weeks ahead what is about to end, and whether the broker lets anyone in."""

from __future__ import annotations

import asyncio
import datetime as dt

from vitalkeep.hub.context import Context
from vitalkeep.hub.store import utc_now_ms

_EVERY_S = 60.0
_SOON_S = 2.0  # until the broker answers there is little to see


async def run(hub: Context) -> None:
    address = hub.consumer.address
    if address.identity is None:
        return
    probed = False
    while True:
        ends = address.identity.ends()
        if hub.consumer.broker_ends is not None:
            ends["broker"] = hub.consumer.broker_ends
        for text in hub.certificates.look(ends, dt.datetime.now(dt.timezone.utc)):
            hub.ward.say(utc_now_ms(), None, "bad", text)
        if hub.consumer.connected and not probed:
            probed = True
            if await address.identity.lets_strangers_in(address.host, address.port):
                hub.intake.ingest.counters["broker_open"] += 1
                text = "The broker lets clients in that show no certificate: configure it anew"
                hub.ward.say(utc_now_ms(), None, "bad", text)
        await asyncio.sleep(_EVERY_S if probed else _SOON_S)
