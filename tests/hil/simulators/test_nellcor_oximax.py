"""The simulated oximeter's lines by the documented examples, and the driver on its line."""

import asyncio

from bridge.core.protocols.nellcor_oximax import OximaxDecoder
from hil.ledger import Ledger
from hil.rehearsal import MemoryLine, Rehearsal, rehearse
from hil.simulators.device import Plug
from hil.simulators.line import NO_FAULTS, Faults
from hil.simulators.nellcor_oximax import BAUD, HEADER, OximaxOximeter, compose
from hil.vitals import Vitals, VitalsModel
from tests.support.decoding import capture, damage, plain
from tests.support.traffic import meant, said

AT_S = 1773480413.0  # 14 March 2026, 09:26:53


def vitals(spo2: float | None, pulse: float | None, pi: float | None) -> Vitals:
    return {"SpO2": spo2, "PR": pulse, "PI": pi}


def test_lines_are_the_documented_ones() -> None:
    lines = [
        compose(vitals(97, 68, 2.41), AT_S),
        compose(vitals(87, 71, 2.24), AT_S + 2),
        compose(vitals(None, None, None), AT_S + 4),
    ]
    assert HEADER + b"".join(line for line, _ in lines) == capture("nellcor_oximax/n600")[0]
    assert lines[1][1] == {"SpO2": "87", "PR": "71", "PA": "38"}
    assert set(lines[2][1].values()) == {None}


def test_the_search_for_a_pulse_has_zeros_that_say_nothing() -> None:
    line, values = compose(vitals(97, 68, 2), AT_S, searching=True, alarm_off=True)
    assert line == b"14-MAR-26 09:26:53     0       0     ---                 PS    AO\r\n"
    assert set(values.values()) == {None}


def test_limits_are_marked() -> None:
    line, _ = compose(vitals(89, 171, 0.1), AT_S)
    assert line == b"14-MAR-26 09:26:53    89*    171*      2     SL    PH\r\n"


def minute(faults: Faults = NO_FAULTS, loose: bool = False) -> Rehearsal:
    async def device(line: MemoryLine, ledger: Ledger) -> None:
        model, loop = VitalsModel(5), asyncio.get_running_loop()

        def measure() -> Vitals:
            now = loop.time()
            return vitals(None, 70, 1) if loose and 20 < now < 30 else model.sample(now)

        await OximaxOximeter(Plug(line, measure, ledger, "bed", "oximeter")).run()

    return rehearse(device, OximaxDecoder({}), 60, BAUD, faults=faults, describe=plain)


def test_a_minute_is_read_whole() -> None:
    found = minute(loose=True)
    assert found.requests == []
    assert found.bytes_sent.count(HEADER) == 2
    assert sum(meant(found.ledger).values()) >= 29
    assert sum((meant(found.ledger) - said(found.events)).values()) <= 1
    assert not said(found.events) - meant(found.ledger)
    assert damage(found.events) == {}


def test_a_loose_sensor_is_told_and_then_the_search() -> None:
    events = minute(loose=True).events
    alarms = [(event[6], event[5]) for event in events if event[0] == "alarm" and event[3] >= 6]
    assert alarms == [
        ("SENSOR DISCONNECTED", True),
        ("SENSOR DISCONNECTED", False),
        ("PULSE SEARCH", True),
        ("PULSE SEARCH", False),
    ]


def test_what_is_whole_on_a_bad_line_is_read() -> None:
    for seed in range(8):
        found = minute(Faults(noise=0.3, flip=0.15, drop=0.15, half=0.15, seed=seed))
        assert found.ledger.damaged > 3
        assert sum((meant(found.ledger) - said(found.events)).values()) <= 1


def test_lost_and_half_lines_invent_nothing() -> None:
    for seed in range(8):
        found = minute(Faults(noise=0.3, drop=0.3, half=0.3, seed=seed))
        assert not said(found.events) - meant(found.ledger) - meant(found.ledger, spoilt=True)


def conversation(*spoken: tuple[float, bytes]) -> tuple[list[tuple[float, bytes]], OximaxOximeter]:
    """Return what the device says, and when, to bytes that come after these pauses."""
    made: list[OximaxOximeter] = []

    async def device(line: MemoryLine, ledger: Ledger) -> None:
        plug = Plug(line, lambda: vitals(97, 70, 2), ledger, "bed", "oximeter")
        made.append(OximaxOximeter(plug))
        running = asyncio.ensure_future(made[0].run())
        for wait_s, data in spoken:
            await asyncio.sleep(wait_s)
            line.hear(data)
        await running

    return rehearse(device, None, 20, BAUD).sent, made[0]


def between(sent: list[tuple[float, bytes]], start_s: float, end_s: float) -> bytes:
    return b"".join(chunk for at_s, chunk in sent if start_s <= at_s < end_s)


def test_the_menu_stops_the_printout_until_it_is_left() -> None:
    sent, device = conversation((5, b"\x03\x03"), (5, b"1\r\n"), (2, b"2\r\n"), (1, b"0\r\n"))
    assert b"EXIT" in between(sent, 5, 6)
    assert between(sent, 6.5, 9.9) == b""
    assert HEADER in between(sent, 10, 12)
    assert device.refused == 1
    assert between(sent, 13.5, 15).startswith(HEADER)


def test_trend_and_errors_are_dumped() -> None:
    sent, _ = conversation((5, b"\x03"), (0.1, b"\x03"), (2, b"3\r\n"), (1, b"4\r\n"))
    assert b"  97      70      34" in between(sent, 7, 8)
    assert b"NO ERRORS" in between(sent, 8, 9)


def test_one_ctrl_c_does_nothing_and_xoff_stops() -> None:
    sent, _ = conversation((1, b"\x03"), (4, b"\x13"), (10, b"\x11"))
    assert between(sent, 2, 5)
    assert between(sent, 5, 15) == b""
    assert between(sent, 15, 20)
