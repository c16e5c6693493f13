"""The loss account of the last hour of every bed, for its card."""

from __future__ import annotations

import asyncio
from typing import Any

from bridge.core.journal.layout import CLASSES
from vitalkeep.hub import account
from vitalkeep.hub.clocks import best_offsets
from vitalkeep.hub.context import Context
from vitalkeep.hub.store import StoreError, utc_now_ms

MINUTES = 60
_EVERY_S = 5.0
_DAY_MS = 24 * 3600 * 1000


async def run(hub: Context) -> None:
    while True:
        for gateway in hub.ward.gateways():
            await hub.calm("account")
            found = await of_gateway(hub, gateway, MINUTES)
            if found is not None:
                hub.ward.set_account(gateway, found)
        await asyncio.sleep(_EVERY_S)


async def of_all(hub: Context, minutes: int) -> dict[str, Any]:
    """Return the loss account of the last `minutes` for every bed."""
    beds = {}
    for gateway in hub.ward.gateways():
        found = await of_gateway(hub, gateway, minutes)
        beds[gateway.hex()] = {"bed": hub.ward.name(gateway), "classes": found}
    return {"now": utc_now_ms(), "minutes": minutes, "beds": beds}


async def of_gateway(hub: Context, gateway: bytes, minutes: int) -> dict[str, Any] | None:
    """Return the account of one gateway by class, None while the store does not answer."""
    beat, link_up, anchor = hub.ward.facts(gateway)
    now_ms = utc_now_ms()
    anchored = anchor.offset(beat.boot) if beat else None

    def work() -> dict[str, Any]:
        clocks = hub.store.clocks(gateway)
        offsets = {boot: best[0] for boot, best in best_offsets(clocks).items()}
        if beat is not None and anchored is not None:
            offsets.setdefault(beat.boot, anchored)
        facts = account.Facts(
            hub.store.spans(gateway, now_ms - _DAY_MS),
            [r for r in hub.store.recent("gaps", now_ms - _DAY_MS, 1000)
             if bytes(r["gateway"]) == gateway],
            offsets,
            beat,
            link_up,
        )  # fmt: skip
        start_ms = now_ms - minutes * 60_000
        accounts = {
            name: account.account(facts, cls, start_ms, now_ms) for cls, name in enumerate(CLASSES)
        }
        return {n: found.as_dict() for n, found in accounts.items() if found.segments}

    try:
        return await hub.read(work)
    except StoreError:
        return None
