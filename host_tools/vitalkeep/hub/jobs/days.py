"""Makes the store's partitions before their days come, and drops those of days gone by."""

from __future__ import annotations

import asyncio
import contextlib

from vitalkeep.hub.context import Context
from vitalkeep.hub.store import StoreError

_EVERY_S = 3600.0


async def run(hub: Context) -> None:
    while True:
        await asyncio.sleep(_EVERY_S)
        for work in (hub.store.make_days, hub.store.drop_days):
            with contextlib.suppress(StoreError):
                await hub.read(work)
