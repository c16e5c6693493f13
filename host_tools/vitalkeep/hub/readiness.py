"""Whether gateways can rely on this hub now, and why not: for load balancers and people."""

from __future__ import annotations

from time import monotonic

from vitalkeep.hub.context import Context

WRITE_S = 15.0  # without a durable write for so long, the store is not known to take any
_LATE_S = 5.0  # a commit that takes longer is told before that


def reasons(hub: Context) -> list[str]:
    """Return why the hub is not ready, each in a sentence; empty when it is."""
    found = []
    meters, intake, consumer = hub.meters, hub.intake, hub.consumer
    if not intake.receipting:
        found.append(f"not receipting: {intake.reason}")
    silent_s = monotonic() - meters.stored_at
    if hub.pulse_error:
        found.append(f"the store takes no write: {hub.pulse_error}")
    elif silent_s > WRITE_S:
        found.append(f"the store has taken no write for {silent_s:.0f} s")
    elif meters.under_way_s() > _LATE_S:
        found.append(f"a commit is on its way for {meters.under_way_s():.0f} s")
    if not consumer.connected:
        found.append(f"no session with the broker: {consumer.last_error or 'not yet'}")
    if hub.room is not None and hub.room.is_full:
        free = (hub.room.free_bytes or 0) // 2**20
        found.append(f"the store is full but for {free} MB: the reserve is reached")
    return found
