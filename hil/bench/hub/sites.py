"""A hub under a ward's load: at its rate, at twice and five times, flat out, after an outage."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from hil.bench.figures import MORE, Figure
from hil.bench.hub import queries
from hil.bench.hub.measure import (
    Seen,
    add_uses,
    add_values,
    add_waits,
    check,
    decoding,
    get_json,
    watch,
)
from hil.bench.hub.peer import Peer
from hil.bench.hub.plan import AIM, RATES, Measuring, suffix
from hil.errors import RigError
from hil.load import shape
from hil.load.meters import Meter
from hil.load.process import Load
from hil.load.stage import POSTGRESQL, SQLITE, Setting, Stage
from hil.postgres import find_postgres
from vitalkeep.hub.ward import STALE_S

_BACK_MAX_S = 900
_POLL_S = 0.25
_LOOK_S = 2.0  # at all of a ward, which takes the hub some tenths of one


async def measure(measuring: Measuring, setting: Setting, peer: Peer | None) -> None:
    """Measure one site, the plainest one beside a peer."""
    why = _cannot(setting)
    if why:
        measuring.skip(str(setting), why)
        return
    if setting.tls or setting.store != SQLITE or setting.workers > 1:
        peer = None
    parts = (("rates", _rates), ("capacity", _capacity), ("outage", _outage))
    for part, work in (*parts, ("queries", queries.measure)):
        if part not in measuring.plan.parts:
            continue
        # Each begins with an empty store and with the logs at their beginning.
        measuring.tell(f"{setting}: {part}")
        try:
            async with AsyncExitStack() as stack:
                stage = await stack.enter_async_context(Stage(setting, await measuring.logs()))
                load = stage.make_load()
                stack.push_async_callback(load.close)
                await load.start()
                await stage.all_up(load)
                await work(measuring, stage, load, peer)
        except RigError as error:
            # What was measured before is not lost by it.
            measuring.report.failures.append(f"{setting}, {part}: {error.message}")
            measuring.tell(f"  {error.message}\n{error.hint}")


def _cannot(setting: Setting) -> str:
    """Return why a site cannot be measured, "" when it can."""
    if setting.store == POSTGRESQL and find_postgres() is None:
        return "PostgreSQL is not installed: apt-get install postgresql"
    if setting.workers > 1 and setting.store == SQLITE:
        return "hubs share a PostgreSQL: an SQLite file is one hub's"
    return ""


async def _rates(measuring: Measuring, stage: Stage, load: Load, peer: Peer | None) -> None:
    name, speed = suffix(stage.setting), measuring.plan.speed
    await load.speed(speed)
    await measuring.warmed()
    for rate in RATES:
        await load.speed(rate * speed)
        await measuring.settled()
        before = await asyncio.to_thread(decoding, stage.pages())
        seen = await watch(load, stage.pids(), measuring.plan.seconds)
        after = await asyncio.to_thread(decoding, stage.pages())
        label = name if rate == 1 else f"{rate:g}x.{name}"
        measuring.tell(f"  {rate:g} times: {seen.values_per_s:,.0f} values a second receipted")
        check(measuring.report, label, seen)
        said = rate * AIM * stage.setting.gateways
        note = f"{said:,.0f} values a second said; {seen.note()}"
        beside = peer.steady if peer and rate == 1 else None
        add_waits(measuring.report, label, seen, note, rate == 1, beside)
        kept = seen.values_per_s / said
        measuring.report.figures.append(Figure(f"hub.kept_up.{label}", kept, "", MORE))
        took_s, rounds = (now - then for now, then in zip(after, before, strict=True))
        decoded_ms = 1000 * took_s / rounds if rounds else None
        measuring.report.figures.append(Figure(f"hub.decoded_ms.{label}", decoded_ms, "ms"))
        add_uses(measuring.report, label, seen)
        if kept < 0.5:
            measuring.tell("  it cannot keep up: no higher rate is tried")
            break


async def _capacity(measuring: Measuring, stage: Stage, load: Load, peer: Peer | None) -> None:
    """Every gateway makes its next commit when the last is receipted."""
    name = suffix(stage.setting)
    await load.speed(None)
    await measuring.settled()
    seen = await watch(load, stage.pids(), measuring.plan.seconds)
    measuring.tell(f"  {seen.values_per_s:,.0f} values a second")
    check(measuring.report, f"flat out {name}", seen)
    add_values(measuring.report, name, seen, peer.flat_out if peer else None)
    add_uses(measuring.report, f"flat_out.{name}", seen)


async def _outage(measuring: Measuring, stage: Stage, load: Load, _: Peer | None) -> None:
    """All gateways are away, and come back at once with what they have kept."""
    name, away_s = suffix(stage.setting), measuring.plan.outage_s
    await load.cut()
    await asyncio.sleep(1)
    await load.tally()
    began = time.monotonic()
    async with Meter({**stage.pids(), "load": load.pid}) as meter:
        await load.restore(away_s)
        connected_s = live_s = None
        while True:
            state = await load.state()
            now_s = time.monotonic() - began
            if connected_s is None and state["connected"] == stage.setting.gateways:
                connected_s = now_s
            if live_s is None and state["up"] == stage.setting.gateways:
                live_s = now_s
            if live_s is not None and not state["behind"]:
                break
            if now_s > _BACK_MAX_S:
                raise RigError(
                    f"bench: after {_BACK_MAX_S} s the hub has not caught up: {state}.",
                    stage.words() or "The hub said nothing.",
                )
            await asyncio.sleep(_POLL_S)
        tally = await load.tally()
    seen = Seen(meter.seconds, tally, meter)
    measuring.tell(f"  caught up {away_s} s of log in {seen.seconds:.1f} s")
    shown_s = await _all_shown(stage, began)
    measuring.tell(f"  current values of all beds after {shown_s:.1f} s")
    check(measuring.report, f"outage {name}", seen)
    said = away_s * shape.values_per_s(stage.setting.gateways)
    add = measuring.report.figures.append
    note = f"{away_s} s of all gateways' logs, {said:,.0f} values; load average {meter.load:.1f}"
    add(Figure(f"hub.outage_connected_s.{name}", connected_s, "s"))
    add(Figure(f"hub.outage_live_s.{name}", live_s, "s"))
    add(Figure(f"hub.outage_caught_up_s.{name}", seen.seconds, "s", note=note))
    add(Figure(f"hub.outage_shown_s.{name}", shown_s, "s"))
    add(Figure(f"hub.outage_values_per_s.{name}", seen.values_per_s, "/s", MORE))
    waits = tally["wait_ms"]
    add(Figure(f"hub.outage_live_p99_ms.{name}", waits.get("p99"), "ms"))
    add_uses(measuring.report, f"outage.{name}", seen)


async def _all_shown(stage: Stage, began: float) -> float:
    """Wait until the page has a current value of class A of every bed; returns after how long."""

    def is_shown() -> bool:
        ward = get_json(f"{stage.pages()[0]}/api/ward")
        late_ms = 1000 * STALE_S["A"][0]
        newest = [
            max([0, *(d["at"] or 0 for d in bed["devices"] if d["cls"] == "A")])
            for bed in ward["beds"]
        ]
        return all(ward["now"] - at <= late_ms for at in newest)

    while not await asyncio.to_thread(is_shown):
        if time.monotonic() - began > _BACK_MAX_S:
            raise RigError(
                f"bench: after {_BACK_MAX_S} s some beds have no current values.",
                stage.words() or "The hub said nothing.",
            )
        await asyncio.sleep(_LOOK_S)
    return time.monotonic() - began
