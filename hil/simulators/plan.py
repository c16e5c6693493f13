"""What goes wrong with a simulated device, and when: a plan, and a device that follows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from hil.errors import RigError
from hil.simulators.device import Plug, now_s
from hil.simulators.line import NO_FAULTS, Faults, Passage
from hil.simulators.waveform import receive, transmit
from hil.tasks import end_tasks
from hil.vitals import Vitals
from vitalkeep.doctor.setting import Setting

STALL, UNPLUG, WRONG_BAUD, SENSOR_OFF, RESTART = KINDS = (
    "stall",
    "unplug",
    "wrong_baud",
    "sensor_off",
    "restart",
)
_EXAMPLE = '{"flip": 0.01, "events": [{"what": "unplug", "at_s": 20, "for_s": 5, "every_s": 60}]}'
_LOOK_S = 0.05


@dataclass(frozen=True)
class Event:
    """One thing that goes wrong from `at_s` for `for_s` seconds, and again every `every_s`.

    what  stall (the device pauses, and sends late), unplug (nothing passes, either way),
          wrong_baud (it sends at `baud`), sensor_off (nothing to measure) or restart (it is off,
          and starts anew)
    """

    what: str
    at_s: float
    for_s: float
    every_s: float = 0.0
    baud: int = 0

    def is_on(self, t_s: float) -> bool:
        since_s = t_s - self.at_s
        if since_s < 0:
            return False
        return (since_s % self.every_s if self.every_s else since_s) < self.for_s


@dataclass(frozen=True)
class Plan:
    """Faults of single messages, and events of the whole device."""

    faults: Faults = NO_FAULTS
    events: tuple[Event, ...] = ()

    @classmethod
    def parse(cls, plan: Mapping[str, Any]) -> Plan:
        """Return the plan of a JSON object; raises RigError for what it does not know."""
        names = {field.name for field in fields(Faults)}
        rest = set(plan) - names - {"events"}
        if rest:
            raise RigError(f"faults: {sorted(rest)[0]}: no such fault", f"As {_EXAMPLE}")
        try:
            faults = Faults(**{name: plan[name] for name in plan if name in names})
            events = tuple(Event(**event) for event in plan.get("events", ()))
        except TypeError as error:
            raise RigError(f"faults: {error}", f"As {_EXAMPLE}") from None
        for event in events:
            if event.what not in KINDS:
                raise RigError(f"faults: {event.what!r} is unknown", f"Known: {', '.join(KINDS)}.")
            if event.what == WRONG_BAUD and event.baud <= 0:
                raise RigError("faults: wrong_baud without its baud", f"As {_EXAMPLE}")
            if (
                event.for_s <= 0
                or event.at_s < 0
                or (event.every_s and event.every_s < event.for_s)
            ):
                want = "Want at_s >= 0 and 0 < for_s <= every_s."
                raise RigError(f"faults: {event.what} at {event.at_s}", want)
        return cls(faults, events)

    def now(self, what: str, t_s: float) -> Event | None:
        """Return the event of this kind that is on at `t_s`."""
        return next((e for e in self.events if e.what == what and e.is_on(t_s)), None)


class Trouble(Passage):
    """A plan's events on a line, counted from the first look at the clock."""

    def __init__(self, plan: Plan, setting: Setting) -> None:
        self._plan = plan
        self._setting = setting
        self._start_s: float | None = None

    def on(self, what: str) -> Event | None:
        """Return the event of this kind that is on now."""
        if self._start_s is None:
            self._start_s = now_s()
        return self._plan.now(what, now_s() - self._start_s)

    async def open(self) -> None:
        while self.on(STALL):
            await asyncio.sleep(_LOOK_S)

    def outward(self, chunk: bytes) -> bytes:
        if self.on(UNPLUG):
            return b""
        wrong = self.on(WRONG_BAUD)
        if wrong is None:
            return chunk
        signal = transmit([(0.0, chunk)], replace(self._setting, baud=wrong.baud))
        return bytes(character.byte for character in receive(signal, self._setting))

    def inward(self, data: bytes) -> bytes:
        return b"" if self.on(UNPLUG) or self.on(WRONG_BAUD) else data


async def run_planned(
    start: Callable[[Plug], Coroutine[Any, Any, None]], plug: Plug, trouble: Trouble
) -> None:
    """Run a device under a plan, for ever.

    start  start(plug) returns a device's run()
    """
    measure = plug.measure

    def measure_if_on() -> Vitals:
        vitals = measure()
        return dict.fromkeys(vitals) if trouble.on(SENSOR_OFF) else vitals

    plug.measure = measure_if_on
    plug.line.passage = trouble
    while True:
        device = asyncio.ensure_future(start(plug))
        try:
            while not trouble.on(RESTART):
                if device.done():
                    device.result()  # raises what stopped it
                    return
                await asyncio.sleep(_LOOK_S)
        finally:
            await end_tasks([device])
        while trouble.on(RESTART):
            await asyncio.sleep(_LOOK_S)
