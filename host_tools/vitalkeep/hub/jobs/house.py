"""Keeps house: the store's checkpoints, news of the vault, story lines nobody took along."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from vitalkeep.errors import ToolError
from vitalkeep.hub.context import Context
from vitalkeep.hub.store import StoreError

log = logging.getLogger(__name__)

_HOUSE_S = 2.0


async def run(hub: Context) -> None:
    while True:
        await asyncio.sleep(_HOUSE_S)
        with contextlib.suppress(StoreError):
            await hub.read(hub.store.checkpoint)
        if hub.vault.changed():
            try:
                hub.vault.reload()
                hub.intake.set_vault(hub.vault)
                hub.time.set_vault(hub.vault)
            except ToolError as error:
                log.warning("%s", error.message)
        await hub.intake.write_story()
