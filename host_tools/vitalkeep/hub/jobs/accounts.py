"""The loss account of the last hour of every bed, for its card.

An account reads what a day brought. With a thousand beds that must not be the hub's work: it may
take a twentieth of the time, so a round takes as long as it takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

from bridge.core.journal.layout import CLASSES
from vitalkeep.hub import account
from vitalkeep.hub.account import Facts
from vitalkeep.hub.clocks import best_offsets
from vitalkeep.hub.context import Context
from vitalkeep.hub.sectors import DAY_MS
from vitalkeep.hub.store import StoreError, utc_now_ms

MINUTES = 60
_EVERY_S = 5.0
_SHARE = 20


async def run(hub: Context) -> None:
    while True:
        began = monotonic()
        for gateway in hub.ward.gateways():
            if hub.ward.link(gateway) == "never" and not hub.ward.newest(gateway):
                continue
            await hub.calm("account")
            async with rest():
                found = await of_gateway(hub, gateway, MINUTES)
            if found is not None:
                hub.ward.set_account(gateway, found)
        await asyncio.sleep(max(0.0, began + _EVERY_S - monotonic()))


@asynccontextmanager
async def rest() -> AsyncIterator[None]:
    """Leave the others nineteen times what the block took."""
    began = monotonic()
    yield
    await asyncio.sleep((_SHARE - 1) * (monotonic() - began))


async def of_all(hub: Context, minutes: int) -> dict[str, Any]:
    """Return the loss account of the last `minutes` for every bed."""
    beds = {}
    for gateway in hub.ward.gateways():
        found = await of_gateway(hub, gateway, minutes)
        beds[gateway.hex()] = {"bed": hub.ward.name(gateway), "classes": found}
    return {"now": utc_now_ms(), "minutes": minutes, "beds": beds}


async def of_gateway(hub: Context, gateway: bytes, minutes: int) -> dict[str, Any] | None:
    """Return the account of one gateway by class, None while the store does not answer."""
    now_ms = utc_now_ms()
    start_ms = now_ms - minutes * 60_000
    try:
        facts = await facts_of(hub, gateway, now_ms - DAY_MS)
    except StoreError:
        return None

    def work() -> dict[str, Any]:
        accounts = {
            name: account.account(facts, cls, start_ms, now_ms) for cls, name in enumerate(CLASSES)
        }
        return {n: found.as_dict() for n, found in accounts.items() if found.segments}

    return await hub.read(work)


async def facts_of(hub: Context, gateway: bytes, since_ms: int) -> Facts:
    """Return what is known of a gateway's sectors that came since then; raises StoreError."""
    beat, link_up, anchor = hub.ward.facts(gateway)
    anchored = anchor.offset(beat.boot) if beat else None

    def work() -> Facts:
        clocks = hub.store.clocks(gateway)
        offsets = {boot: best[0] for boot, best in best_offsets(clocks).items()}
        if beat is not None and anchored is not None:
            offsets.setdefault(beat.boot, anchored)
        spans = hub.store.spans(gateway, since_ms)
        return Facts(spans, hub.store.gaps(gateway, since_ms), offsets, beat, link_up)

    return await hub.read(work)
