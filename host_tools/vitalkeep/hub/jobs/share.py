"""Shares the gateways with the other hubs on the database, where that takes several."""

from __future__ import annotations

from vitalkeep.hub.context import Context


async def run(hub: Context) -> None:
    if hub.worker is None:
        return
    hub.shown["cluster"] = hub.worker.shown
    await hub.worker.run(hub.consumer, hub.intake)
    hub.fault = hub.worker.fault
    hub.stop.set()
