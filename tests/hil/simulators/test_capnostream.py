"""The simulated capnograph's bytes by the documented examples, and the driver on its line."""

import asyncio
from dataclasses import dataclass

import pytest

from bridge.core.protocols.capnostream import CapnostreamDecoder
from hil.ledger import Ledger
from hil.rehearsal import MemoryLine, Rehearsal, rehearse
from hil.simulators.capnostream import (
    BAUD,
    DEVICE_ID,
    DISABLE,
    ENABLE,
    HOST_ID,
    KPA,
    LINK_ACTIVE,
    MMHG,
    PERCENT,
    SETUP,
    START,
    STOP,
    Capnograph,
    Receiver,
    co2_sample,
    framed,
    numerics,
)
from hil.simulators.device import Plug
from hil.simulators.line import NO_FAULTS, Faults
from hil.vitals import Vitals, VitalsModel
from tests.support.decoding import capture, damage, plain
from tests.support.traffic import meant, said

AT_S = 0x6955B900
OFF: Vitals = {"EtCO2": None, "FiCO2": None, "RRco2": None, "SpO2": None, "PR": None}
WELL: Vitals = {"EtCO2": 38.0, "FiCO2": 0.0, "RRco2": 14.0, "SpO2": 97.0, "PR": 72.0}


def test_commands_are_the_documented_ones() -> None:
    assert framed(ENABLE) == bytes.fromhex("85 01 01 00")
    assert framed(SETUP, b"\x04\x02") == bytes.fromhex("85 03 3c 04 02 39")
    assert framed(START) == bytes.fromhex("85 01 04 05")
    assert framed(LINK_ACTIVE) == bytes.fromhex("85 01 06 07")
    assert framed(STOP) == bytes.fromhex("85 01 05 04")
    assert framed(DISABLE) == bytes.fromhex("85 01 02 03")


def test_messages_are_the_documented_ones() -> None:
    frame, said_values = numerics(WELL, AT_S)
    assert framed(4, DEVICE_ID) + frame == capture("capnostream/session")[0]
    assert said_values["EtCO2"] == "38"
    assert numerics(OFF, AT_S + 5, no_breath_s=20)[0] == capture("capnostream/no_data")[0]
    waves = co2_sample(0x85, 37.5) + co2_sample(0x12, 5.25, 0x08)
    assert frame + waves == capture("capnostream/wave")[0]


def test_units_scale_the_values() -> None:
    for unit, label, text in ((KPA, "EtCO2 kPa", "5.1"), (PERCENT, "EtCO2 %", "5.0")):
        frame, values = numerics(WELL, AT_S, unit=unit)
        assert values[label] == text
        assert frame[-3] == unit


def test_limits_raise_alarms() -> None:
    frame, _ = numerics({**WELL, "EtCO2": 62.0, "RRco2": 4.0, "SpO2": 84.0, "PR": 141.0}, AT_S)
    _, data = Receiver().take(frame)[0]
    assert (data[13], data[14]) == (0x12, 0x0C)


def test_the_receiver_takes_good_frames_only() -> None:
    good = framed(SETUP, b"\x85\x80")
    assert Receiver().take(b"\x01" + good + framed(START)[:-1] + b"\x00" + good) == [
        (SETUP, b"\x85\x80"),
        (SETUP, b"\x85\x80"),
    ]


def minute(faults: Faults = NO_FAULTS, unit: int = MMHG, off: bool = False) -> Rehearsal:
    async def device(line: MemoryLine, ledger: Ledger) -> None:
        model, loop = VitalsModel(5), asyncio.get_running_loop()

        def measure() -> Vitals:
            now = loop.time()
            return OFF if off and 20 < now < 45 else model.sample(now)

        await Capnograph(Plug(line, measure, ledger, "bed", "capnograph"), unit).run()

    return rehearse(device, CapnostreamDecoder({}), 60, BAUD, faults=faults, describe=plain)


@pytest.mark.parametrize("unit", [MMHG, KPA, PERCENT])
def test_a_minute_is_read_whole(unit: int) -> None:
    found = minute(unit=unit)
    assert [request for _, request in found.requests][:3] == [
        framed(ENABLE),
        framed(START),
        framed(LINK_ACTIVE),
    ]
    assert sum(meant(found.ledger).values()) >= 58
    assert sum((meant(found.ledger) - said(found.events)).values()) <= 1
    assert not said(found.events) - meant(found.ledger)
    assert damage(found.events) == {}
    samples = sum(len(event[5]) for event in found.events if event[0] == "wave")
    assert samples >= 57 * 20 if unit == MMHG else samples == 0


def test_a_patient_who_is_taken_off_is_told() -> None:
    events = minute(off=True).events
    alarms = [(event[6], event[5]) for event in events if event[0] == "alarm"]
    assert ("NO BREATH", True) in alarms
    assert ("NO BREATH", False) in alarms
    assert ("SPO2 SENSOR OFF", True) in alarms
    assert any(None in event[5] for event in events if event[0] == "wave")


@pytest.mark.parametrize("seed", range(4))
def test_what_is_whole_on_a_bad_line_is_read_and_nothing_else(seed: int) -> None:
    found = minute(Faults(noise=0.1, flip=0.1, drop=0.1, half=0.05, seed=seed))
    assert found.ledger.damaged > 3
    assert sum((meant(found.ledger) - said(found.events)).values()) <= 1
    assert not said(found.events) - meant(found.ledger)


@dataclass
class Heard:
    """What a device sent, and the device."""

    sent: list[tuple[float, bytes]]
    device: Capnograph

    def between(self, start_s: float, end_s: float) -> bytes:
        return b"".join(chunk for at_s, chunk in self.sent if start_s <= at_s < end_s)


def conversation(*spoken: tuple[float, bytes]) -> Heard:
    """Say frames after these pauses."""
    made: list[Capnograph] = []

    async def device(line: MemoryLine, ledger: Ledger) -> None:
        made.append(Capnograph(Plug(line, lambda: WELL, ledger, "bed", "capnograph")))
        running = asyncio.ensure_future(made[0].run())
        for wait_s, data in spoken:
            await asyncio.sleep(wait_s)
            line.hear(data)
        await running

    sent = rehearse(device, None, 40, BAUD).sent
    return Heard(sent, made[0])


def test_nothing_is_said_before_it_is_asked() -> None:
    found = conversation((1, framed(START)), (1, framed(9)), (1, framed(ENABLE)))
    assert found.between(0, 40) == framed(4, DEVICE_ID)
    assert found.device.refused == 2


def test_it_stops_when_nobody_says_that_the_link_is_active() -> None:
    found = conversation((1, framed(ENABLE)), (1, framed(START)), (10, framed(LINK_ACTIVE)))
    assert found.between(20, 26.9)
    assert found.between(27.2, 40) == b""


def test_it_stops_when_it_is_told_to() -> None:
    found = conversation((1, framed(ENABLE)), (1, framed(START)), (3, framed(STOP)))
    assert found.between(2, 5)
    assert found.between(5.1, 40) == b""
    assert found.device.refused == 0


def test_settings_are_not_changed() -> None:
    limit, interval = framed(SETUP, b"\x06\x28"), framed(SETUP, b"\x04\x02")
    found = conversation((1, framed(ENABLE) + limit + interval), (1, framed(HOST_ID, b"a" * 17)))
    assert found.between(0, 40) == framed(4, DEVICE_ID) + interval
    assert found.device.refused == 1
