"""Proves that the store takes writes, also while no gateway sends: by writing to it."""

from __future__ import annotations

import asyncio
from time import monotonic

from vitalkeep.hub.context import Context
from vitalkeep.hub.store import StoreError

_EVERY_S = 2.0
_IDLE_S = 5.0  # a commit is as good a proof


async def run(hub: Context) -> None:
    while True:
        if hub.pulse_error or monotonic() - hub.meters.stored_at > _IDLE_S:
            try:
                await hub.intake.touch()
                hub.pulse_error = ""
            except StoreError as error:
                hub.pulse_error = str(error)
        await asyncio.sleep(_EVERY_S)
