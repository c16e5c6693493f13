"""Makes the store's partitions before their days come, and drops those of days gone by."""

from __future__ import annotations

import asyncio
import logging

from vitalkeep.hub.context import Context
from vitalkeep.hub.store import StoreError

log = logging.getLogger(__name__)

_EVERY_S = 3600.0
_RETRY_S = 300.0  # a try keeps others waiting for a second


async def run(hub: Context) -> None:
    """Do both every hour; what does not go now, as someone reads, is counted and tried again.

    A day that has no partition goes to the rest, where reading it takes longer: nothing is lost.
    """
    seconds = _RETRY_S
    while True:
        await asyncio.sleep(seconds)
        seconds = _EVERY_S
        for name, work in (("make", hub.store.make_days), ("drop", hub.store.drop_days)):
            try:
                await hub.read(work)
            except StoreError as error:
                log.warning("days: %s: %s", name, error)
                hub.meters.partitions_failed.labels(name).inc()
                seconds = _RETRY_S
