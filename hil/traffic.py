"""What a driver and the device of its protocol say to each other, by the tables of both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from bridge.core.protocols import make_decoder
from hil.ledger import Ledger
from hil.rehearsal import MemoryLine, Rehearsal, rehearse
from hil.simulators import module_of, plug_in, setting_of
from hil.simulators.device import Plug
from hil.simulators.plan import Plan, Trouble, run_planned
from hil.vitals import VitalsModel

BED = "bed"


def driver_of(name: str) -> Any:
    """Return a new driver that is told what it must know of its simulator."""
    return make_decoder(name, module_of(name).OPTIONS)


def traffic_of(
    name: str,
    seconds: float,
    seed: int,
    describe: Callable[[Any], Any] = type,
    plan: Plan | None = None,
) -> Rehearsal:
    """Return what both say in some seconds of their own time.

    seed      of the patient
    describe  makes plain values of an event, which is only valid until the next
    plan      of what goes wrong
    """
    setting = setting_of(name)
    model = VitalsModel(seed)
    known = plan or Plan()

    async def device(line: MemoryLine, ledger: Ledger) -> None:
        loop = asyncio.get_running_loop()
        plug = Plug(line, lambda: model.sample(loop.time()), ledger, BED, name)
        trouble = Trouble(known, setting)
        await run_planned(lambda plug: plug_in(name, plug), plug, trouble)

    return rehearse(
        device,
        driver_of(name),
        seconds,
        setting.baud,
        setting.character_bits,
        known.faults,
        describe,
    )
