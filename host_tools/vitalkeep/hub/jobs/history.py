"""Writes the loss account of each hour that has passed, and looks again at those not settled."""

from __future__ import annotations

import asyncio
import json
import logging
from functools import partial
from time import monotonic
from typing import Any

from bridge.core.journal.layout import CLASSES
from vitalkeep.hub.context import Context
from vitalkeep.hub.decode import Row
from vitalkeep.hub.history import (
    AIM,
    DAY_MS,
    GIVEN_UP_MS,
    HOUR_MS,
    PLAN,
    first_of,
    hour_of,
    hour_rows,
    waited,
)
from vitalkeep.hub.jobs.accounts import facts_of, rest
from vitalkeep.hub.store import StoreError, utc_now_ms

log = logging.getLogger(__name__)

_EVERY_S = 30.0
_AGAIN_MAX = 200  # hours that are looked at again in one round
_OUTAGES_MAX = 20
# How often the sums over so many days are made again, in s: of 1,000 beds they are over 72,000
# rows a day.
SUMMED_S = {1: 60.0, 7: 600.0, 30: 3600.0}


async def run(hub: Context) -> None:
    done: dict[bytes, int] = {}
    summed = dict.fromkeys(SUMMED_S, float("-inf"))
    while True:
        try:
            for gateway in filter(hub.serves, hub.ward.gateways()):
                await write_missing(hub, gateway, done)
            await look_again(hub)
            for days, every_s in SUMMED_S.items():
                if monotonic() - summed[days] >= every_s:
                    async with rest():
                        hub.attained[days] = await attained(hub, days)
                    summed[days] = monotonic()
        except StoreError as error:
            log.info("history: %s", error)
        await asyncio.sleep(_EVERY_S)


async def write_missing(hub: Context, gateway: bytes, done: dict[bytes, int]) -> None:
    """Write the accounts of past hours that there are none of; raises StoreError.

    Once an hour for each gateway, which `done` remembers. What has come meanwhile may be of any
    hour: a new hub is sent the newest values first, and then a week's backlog.
    """
    now_ms = utc_now_ms()
    newest_ms = hour_of(now_ms) - HOUR_MS
    if done.get(gateway) == newest_ms:
        return
    async with rest():
        facts = await facts_of(hub, gateway, newest_ms - DAY_MS)
        first_ms = await hub.read(partial(first_of, facts, now_ms))
    if first_ms is None:
        return  # nothing has come yet: looked at again in the next round, which costs little
    first_ms = max(hour_of(first_ms), newest_ms - GIVEN_UP_MS)
    known = await hub.read(partial(hub.store.hours_known, gateway, first_ms))
    for hour_ms in range(first_ms, newest_ms + 1, HOUR_MS):
        if hour_ms not in known:
            await _write(hub, gateway, hour_ms)
    beat = hub.ward.facts(gateway)[0]
    if beat is not None and not any(beat.backlog.values()):
        done[gateway] = newest_ms


async def look_again(hub: Context) -> None:
    """Write the accounts of hours that are not final anew; raises StoreError."""
    gateways = [*filter(hub.serves, hub.ward.gateways())]
    for hour in await hub.read(partial(hub.store.open_hours, gateways, utc_now_ms(), _AGAIN_MAX)):
        waited_ms = hour.waited_ms
        # While nobody could be heard, nothing was waited for.
        if hub.consumer.connected and hub.intake.receipting:
            waited_ms = waited(waited_ms, hour.looked_ms, utc_now_ms())
        await _write(hub, hour.gateway, hour.hour_ms, waited_ms)


async def _write(hub: Context, gateway: bytes, hour_ms: int, waited_ms: int = 0) -> None:
    if gateway not in hub.ward.gateways() or not hub.serves(gateway):
        return
    await hub.calm("account")
    async with rest():
        facts = await facts_of(hub, gateway, hour_ms - DAY_MS)

        def work() -> None:
            hub.store.put_hours(hour_rows(gateway, facts, hour_ms, utc_now_ms(), waited_ms))

        await hub.read(work)


async def attained(hub: Context, days: int) -> dict[str, Any]:
    """Return by class what was attained in the last days, beside the plan and our aim.

    RPO: the longest that was lost for ever. RTO: the longest outage, one that goes on included.
    """
    now_ms = utc_now_ms()
    since_ms = now_ms - days * DAY_MS
    rows = await hub.read(lambda: hub.store.hours_by_class(since_ms, now_ms))
    sums = {row["cls"]: row for row in rows}
    ended = await hub.read(lambda: hub.store.longest_outages(since_ms))
    going = hub.outages.longest_ms(now_ms)
    outages = await hub.read(lambda: hub.store.outages(since_ms, _OUTAGES_MAX))
    beds = set(hub.ward.gateways())
    return {
        "days": days,
        "classes": {
            name: _attained(name, sums.get(cls), max(ended.get(cls, 0), going.get(cls, 0)))
            for cls, name in enumerate(CLASSES)
        },
        "outages": [
            {
                "bed": hub.ward.name(bytes(row["gateway"])),
                "cls": CLASSES[row["cls"]],
                "start": row["start_ms"],
                "end": row["end_ms"],
                "cause": row["cause"],
            }
            for row in outages
            if bytes(row["gateway"]) in beds
        ],
    }


def _attained(name: str, sums: Row | None, rto_ms: int) -> dict[str, Any]:
    parts = ("span", "stored", "coming", "gap", "rpo")
    found = {f"{part}_s": (sums[f"{part}_ms"] / 1000 if sums else None) for part in parts}
    return found | {
        "rto_s": rto_ms / 1000,
        "open_hours": sums["open"] if sums else 0,
        "plan": dict(zip(("rto_s", "rpo_s"), PLAN[name], strict=True)),
        "aim": dict(zip(("rto_s", "rpo_s"), AIM[name], strict=True)),
    }


async def hours(hub: Context, gateway: bytes, days: int) -> list[dict[str, Any]] | None:
    """Return a bed's accounts of the last days, an hour and class each; None without the store."""
    now_ms = utc_now_ms()
    since_ms = hour_of(now_ms) - days * DAY_MS
    try:
        rows = await hub.read(lambda: hub.store.hours(gateway, since_ms, now_ms))
    except StoreError:
        return None
    shown = ("hour_ms", "span_ms", "stored_ms", "coming_ms", "gap_ms", "rpo_ms", "final")
    return [
        {"cls": CLASSES[row["cls"]], "causes": json.loads(row["causes"])}
        | {name: row[name] for name in shown}
        for row in rows
    ]
