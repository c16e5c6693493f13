"""The hub's own state, for the page and for programs; counters name all that was refused."""

from __future__ import annotations

import time
from typing import Any

from bridge.core.journal.layout import CLASSES
from vitalkeep.hub import readiness
from vitalkeep.hub.context import Context

_DAYS = 7  # of what the page shows as attained


def of(hub: Context) -> dict[str, Any]:
    """Return what /api/health says."""
    consumer, intake = hub.consumer, hub.intake
    why = readiness.reasons(hub)
    return {
        "receipting": intake.receipting,
        "reason": intake.reason,
        "ready": not why,
        "not_ready": why,
        "shedding": hub.load.shedding,
        "load": {name: round(found, 2) for name, found in hub.load.measures.items()},
        "attained": hub.attained[_DAYS]["classes"] if _DAYS in hub.attained else None,
        "lag_s": {CLASSES[cls]: ms / 1000 for cls, ms in hub.outages.lag_ms.items()},
        "room": hub.room.as_dict() if hub.room else None,
        "site": {"id": hub.vault.site_id.hex(), "name": hub.vault.site_name},
        "store": {"address": hub.store.address, "epoch": hub.store.epoch.hex()},
        "broker": {
            "address": str(consumer.address),
            "connected": consumer.connected,
            "last_error": consumer.last_error,
            "sessions": consumer.sessions,
        },
        "certificate_days": dict(hub.certificates.days),
        "uptime_s": round(time.monotonic() - hub.started, 1),
        "batches": intake.batches,
        "commit_ms": round(intake.commit_ms, 2),
        "viewers": len(hub.feed),
        "time": dict(hub.time.counters),
        "strangers": dict(intake.ingest.payloads.strangers),
        "counters": dict(intake.ingest.counters),
    } | {name: say() for name, say in hub.shown.items()}
