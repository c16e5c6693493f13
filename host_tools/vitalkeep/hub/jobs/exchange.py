"""Converges with other sites, where hub.toml names any."""

from __future__ import annotations

import asyncio
import logging

from vitalkeep.errors import ToolError
from vitalkeep.hub.context import Context
from vitalkeep.hub.exchange.settings import ExchangeSettings
from vitalkeep.hub.store import utc_now_ms
from vitalkeep.hub.tls import Identity

log = logging.getLogger(__name__)

_RETRY_S = 30.0  # what stops it is in the settings or the machine, and for people to mend


async def run(hub: Context) -> None:
    settings = hub.config[ExchangeSettings]
    if settings.listen is None and not settings.peers:
        return
    # Only where it is used: a hub of one site needs no HTTPS.
    from vitalkeep.hub.exchange.exchange import Exchange

    while True:
        try:
            exchange = Exchange(hub, settings, _identity(hub, settings))
            hub.shown["exchange"] = exchange.state
            await exchange.run()
        except ToolError as error:
            log.error("exchange: %s %s", error.message, error.hint)
            hub.ward.say(
                utc_now_ms(), None, "bad", f"No exchange with other sites: {error.message}"
            )
        await asyncio.sleep(_RETRY_S)


def _identity(hub: Context, settings: ExchangeSettings) -> Identity:
    if settings.ca and settings.certificate and settings.key:
        return Identity(settings.ca, settings.certificate, settings.key)
    if hub.consumer.address.identity is None:
        raise ToolError(
            "[exchange] has no certificate",
            "Set ca, certificate and key in it: vitalkeep ca issue hub NAME --host ADDRESS.",
        )
    return hub.consumer.address.identity
