"""What people and programs ask of a hub while a ward's load comes in, and how long it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from statistics import median
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

from bridge.core import codes
from bridge.core.events import VALID
from hil.bench.figures import Figure
from hil.bench.hub.measure import check, get_json, watch
from hil.bench.hub.peer import Peer
from hil.bench.hub.plan import Measuring, suffix
from hil.errors import RigError
from hil.load import shape
from hil.load.process import Load
from hil.load.stage import Stage
from vitalkeep.hub.columns import BLOCK_MAX, Block
from vitalkeep.hub.sectors import DAY_MS
from vitalkeep.hub.store import Store, tables, utc_now_ms
from vitalkeep.hub.store.tables import POSITION

LATEST_MAX_MS = 50.0
TREND_MAX_MS = 100.0
_TIMES = 30
_BOOT = 77  # of the day that is put into the store
_SECTOR = 10_000_000
_VALUES = 10
_LATER = 503
_PAUSE_S = 1.0  # from answer to question: whoever asks without a pause is himself the load
_ASK_S = 240
_DECODED_S = 180


async def measure(measuring: Measuring, stage: Stage, load: Load, _: Peer | None) -> None:
    """Ask again and again, while the ward says what it is to be able to say."""
    name = suffix(stage.setting)
    await load.speed(measuring.plan.speed)
    store = Store(stage.database)
    try:
        await asyncio.to_thread(_put_a_day, store, stage.identities[0])
        await _all_decoded(stage, store)
        await measuring.warmed()
        asking = asyncio.create_task(_ask_all(stage, store))
        seen = await watch(load, stage.pids(), measuring.plan.seconds)
        found, later = await asking
    finally:
        store.close()
    check(measuring.report, f"queries {name}", seen)
    add = measuring.report.figures.append
    for what, limit in (("latest", LATEST_MAX_MS), ("trend_day", TREND_MAX_MS), ("ward", None)):
        times = found[what]
        note = f"median of {len(times)}, the longest {max(times):.0f} ms; {seen.note()}"
        note += f"; {later} times the hub said: later" if later else ""
        figure = f"hub.query_{what}_ms.{name}"
        add(Figure(figure, median(times), "ms", limit=limit, note=note))
        measuring.tell(f"  {what}: {median(times):.0f} ms, {note}")


async def _all_decoded(stage: Stage, store: Store) -> None:
    """Wait until there are values of every bed: what came before the load is decoded by and by."""
    until = time.monotonic() + _DECODED_S
    while (count := len({row["gateway"] for row in store.latest()})) < stage.setting.gateways:
        if time.monotonic() > until:
            raise RigError(f"After {_DECODED_S} s {count} beds have values.", stage.words())
        await asyncio.sleep(1)


async def _ask_all(stage: Stage, store: Store) -> tuple[dict[str, list[float]], int]:
    """Return how long each answer took in ms, and how often the hub was too loaded for one."""
    page = stage.hubs[0].page_url
    question = urlencode(
        {
            "gateway": stage.identities[0].id.hex(),
            "device": shape.lines(0)[0].device.name,
            "parameter": codes.PARAMETERS[0][1],
            "hours": 23.9,
        }
    )

    def trend() -> None:
        found = get_json(f"{page}/api/trend?{question}")
        if sum(count for *_, count in found["points"]) < 80_000:
            raise RigError("A day's trend does not have the day's values.", str(found["gaps"]))

    asked: dict[str, Callable[[], Any]] = {
        "latest": store.latest,
        "trend_day": trend,
        "ward": lambda: get_json(f"{page}/api/ward"),
    }
    found: dict[str, list[float]] = {name: [] for name in asked}
    later = 0
    until = time.monotonic() + _ASK_S
    while min(map(len, found.values())) < _TIMES:
        for name, ask in asked.items():
            await asyncio.sleep(_PAUSE_S)
            began = time.perf_counter()
            try:
                await asyncio.to_thread(ask)
            except HTTPError as error:
                if error.code != _LATER or time.monotonic() > until:
                    raise RigError(f"{name}: HTTP {error.code}", stage.words()) from None
                later += 1
                continue
            found[name].append(1000 * (time.perf_counter() - began))
    return found, later


def _put_a_day(store: Store, who: shape.Identity) -> None:
    """Let the store have a day of a monitor: an observation a second, in blocks as a hub makes."""
    device = shape.lines(who.number)[0].device
    began_ms = utc_now_ms() - DAY_MS
    values = [
        SimpleNamespace(
            parameter=entry[0], label=None, unit=None, decimals=0, value=60, state=VALID
        )
        for entry in codes.PARAMETERS[:_VALUES]
    ]
    record = SimpleNamespace(
        device=device, group=0, boot=_BOOT, offset=0, index=0, mono_ms=0, values=values
    )
    block = Block(record, began_ms)
    for second in range(BLOCK_MAX):
        record.mono_ms = 1000 * second
        values[0].value = 90 + second % 10
        block.add(record, began_ms)
    step_ms, data = 1000 * BLOCK_MAX, block.pack()
    rows = []
    for number in range(DAY_MS // step_ms):
        first_ms = number * step_ms
        at_ms = began_ms + first_ms
        rows.append(
            {
                "gateway": who.id,
                "log": who.log,
                "cls": 0,
                "sector": _SECTOR + number,
                "offset": 0,
                "idx": 0,
                "day": at_ms // DAY_MS,
                "boot": _BOOT,
                "first_ms": first_ms,
                "last_ms": first_ms + step_ms - 1000,
                "stored_ms": at_ms,
                "count": BLOCK_MAX,
                "device": device.name,
                "protocol": device.protocol,
                "unit": device.unit,
                "grp": 0,
                "data": data,
            }
        )
    clock = {"gateway": who.id, "boot": _BOOT, "mono_ms": 0, "utc_ms": began_ms}
    with store.writing() as connection:
        store.replace(connection, tables.observations, (*POSITION, "day"), rows)
        store.add(connection, tables.clocks, [clock | {"error_ms": 5, "quality": 2}])
