"""A plan of faults: what it takes, and what it does to a device."""

import asyncio
from typing import Any

import pytest

from hil.errors import RigError
from hil.ledger import Ledger
from hil.rehearsal import MemoryLine, rehearse
from hil.simulators import plug_in, setting_of
from hil.simulators.device import Plug
from hil.simulators.plan import Plan, Trouble, run_planned
from hil.traffic import driver_of
from hil.vitals import VitalsModel

NAME = "masimo_set"
SECONDS = 40


def story(**event: Any) -> tuple[list[tuple[float, bytes]], Ledger]:
    """Return what an oximeter sends under one event from 10 s to 20 s, and its ledger."""
    plan = Plan.parse({"events": [{"at_s": 10, "for_s": 10, **event}]})
    setting = setting_of(NAME)
    model = VitalsModel(3)

    async def device(line: MemoryLine, ledger: Ledger) -> None:
        loop = asyncio.get_running_loop()
        plug = Plug(line, lambda: model.sample(loop.time()), ledger, "bed", NAME)
        await run_planned(lambda plug: plug_in(NAME, plug), plug, Trouble(plan, setting))

    found = rehearse(device, driver_of(NAME), SECONDS, setting.baud)
    return found.sent, found.ledger


def between(sent: list[tuple[float, bytes]], start_s: float, end_s: float) -> bytes:
    return b"".join(chunk for at_s, chunk in sent if start_s < at_s < end_s)


@pytest.mark.parametrize("what", ["stall", "unplug", "restart"])
def test_nothing_arrives_meanwhile_and_then_it_does(what: str) -> None:
    sent, _ = story(what=what)
    assert between(sent, 1, 10).count(b"\n") == 9
    assert between(sent, 10.2, 20) == b""
    assert between(sent, 21.5, 40).count(b"\n") >= 18


def test_unplugged_messages_are_not_held_against_the_gateway() -> None:
    _, ledger = story(what="unplug")
    assert ledger.damaged == 10
    assert ledger.produced == SECONDS - 10


def test_sensor_off_is_dashes() -> None:
    sent, ledger = story(what="sensor_off")
    assert between(sent, 11.5, 20).count(b"SPO2=---%") == 8
    assert b"---" not in between(sent, 1, 10)
    assert ledger.damaged == 0


def test_wrong_baud_is_what_a_uart_makes_of_it() -> None:
    sent, ledger = story(what="wrong_baud", baud=19200)
    assert b"SPO2" in between(sent, 1, 10)
    garbage = between(sent, 10.5, 20)
    assert garbage
    assert b"SPO2" not in garbage
    assert ledger.damaged >= 9


@pytest.mark.parametrize(
    "plan",
    [
        {"flap": 0.1},
        {"events": [{"what": "explode", "at_s": 1, "for_s": 1}]},
        {"events": [{"what": "stall", "at_s": 1}]},
        {"events": [{"what": "stall", "at_s": -1, "for_s": 1}]},
        {"events": [{"what": "stall", "at_s": 1, "for_s": 9, "every_s": 5}]},
        {"events": [{"what": "wrong_baud", "at_s": 1, "for_s": 1}]},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(plan: dict[str, Any]) -> None:
    with pytest.raises(RigError):
        Plan.parse(plan)


def test_an_event_comes_again() -> None:
    plan = Plan.parse({"events": [{"what": "stall", "at_s": 5, "for_s": 2, "every_s": 10}]})
    on = [second for second in range(30) if plan.now("stall", second)]
    assert on == [5, 6, 15, 16, 25, 26]
