"""Notes when a bed's current values stop coming and when they are back."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic

from vitalkeep.hub.context import Context
from vitalkeep.hub.decode import Row
from vitalkeep.hub.outages import Outages
from vitalkeep.hub.store import StoreError, utc_now_ms

_EVERY_S = 1.0
_HEAR_S = 60.0  # after the hub's start, for gateways to say which devices are off


async def run(hub: Context) -> None:
    beds = set(hub.ward.gateways())
    known = await hub.read(hub.store.open_outages)
    outages = hub.outages = Outages(row for row in known if bytes(row["gateway"]) in beds)
    unwritten: list[Row] = []
    while True:
        now_ms = utc_now_ms()
        served = list(filter(hub.serves, hub.ward.gateways()))
        outages.begin_round(served)
        patient = monotonic() - hub.started < _HEAR_S
        for gateway in served:
            if patient and hub.ward.link(gateway) == "never":
                continue
            for cls, (newest_ms, silent) in hub.ward.newest(gateway).items():
                cause = "" if silent else _cause(hub, gateway)
                row = outages.look(gateway, cls, newest_ms, now_ms, cause)
                if row is not None:
                    unwritten.append(row)
        if unwritten:
            try:
                await hub.read(partial(hub.store.put_outages, tuple(unwritten)))
                unwritten.clear()
            except StoreError:
                pass  # they are kept until it takes them
        await asyncio.sleep(_EVERY_S)


def _cause(hub: Context, gateway: bytes) -> str:
    if not hub.intake.receipting:
        return "store refuses"
    if not hub.consumer.connected:
        return "no broker"
    return "late" if hub.ward.link(gateway) == "up" else "link down"
