"""The simulated oximeter's bytes by the documented examples, and the driver on its line."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from bridge.core.protocols.nonin import NoninDecoder
from hil.ledger import Ledger
from hil.rehearsal import MemoryLine, Rehearsal, rehearse
from hil.simulators.device import Plug
from hil.simulators.line import NO_FAULTS, Faults
from hil.simulators.nonin import (
    BAUD,
    SMART_POINT,
    NoninOximeter,
    Reading,
    measured,
    packet,
    short,
    spot_check,
)
from hil.vitals import VitalsModel
from tests.support.decoding import capture, plain
from tests.support.traffic import meant, said

AT_S = 1773480413.0  # 14 March 2026, 09:26:53
EXAMPLE = Reading(94, 137, 136, 138)
PLETH = [100 + 7 * index % 55 for index in range(25)]


def test_packets_are_the_documented_ones() -> None:
    assert packet(EXAMPLE, 1234, PLETH) == capture("nonin/format_2")[0]
    wide = [257 * sample for sample in PLETH]
    assert packet(EXAMPLE, 1234, wide, 7) == capture("nonin/format_7")[0]


def test_a_packet_without_a_finger_has_the_codes_for_no_data() -> None:
    off = measured({"SpO2": None, "PR": None})
    found = packet(off, 0, [0] * 25)
    assert found[:15] == bytes.fromhex("01 89 00 03 8d  01 88 00 7f 08  01 88 00 7f 08")


def test_short_frames_are_the_documented_ones() -> None:
    reading, off = Reading(96, 151, status=(0,) * 25), measured({"SpO2": None, "PR": None})
    for data_format in (8, 1):
        data = short(reading, data_format) + short(off, data_format)
        assert data == capture(f"nonin/format_{data_format}")[0]


def test_spot_checks_are_the_documented_ones() -> None:
    reading = Reading(97, 67)
    off = measured({"SpO2": None, "PR": None})
    data = spot_check(reading, AT_S) + spot_check(off, AT_S + 17)
    assert data + spot_check(reading, AT_S, stored=True) == capture("nonin/format_13")[0]


def oximeter(data_format: int, **more: Any) -> Any:
    """Return what `rehearse` makes a device of."""

    async def device(line: MemoryLine, ledger: Ledger) -> None:
        model, loop = VitalsModel(5), asyncio.get_running_loop()
        measure = lambda: model.sample(loop.time())  # noqa: E731
        await NoninOximeter(Plug(line, measure, ledger, "bed", "nonin"), data_format, **more).run()

    return device


def minute(data_format: int, faults: Faults = NO_FAULTS, **more: Any) -> Rehearsal:
    decoder = NoninDecoder({"format": data_format})
    device = oximeter(data_format, **more)
    return rehearse(device, decoder, 60, BAUD, faults=faults, describe=plain)


@pytest.mark.parametrize(
    ("data_format", "at_least"), [(1, 59), (2, 179), (7, 179), (8, 59), (13, 6)]
)
def test_a_minute_is_read_whole(data_format: int, at_least: int) -> None:
    found = minute(data_format)
    assert found.requests == []
    assert sum(meant(found.ledger).values()) >= at_least
    assert sum((meant(found.ledger) - said(found.events)).values()) <= 1
    assert not said(found.events) - meant(found.ledger)
    assert not [event for event in found.events if event[0] == "damage"]


@pytest.mark.parametrize("data_format", [2, 7, 13])
def test_what_is_whole_on_a_bad_line_is_read_and_nothing_else(data_format: int) -> None:
    faults = Faults(noise=0.2, flip=0.2, drop=0.2, half=0.1, seed=data_format)
    found = minute(data_format, faults, stored=[(AT_S + 60 * at, EXAMPLE) for at in range(40)])
    assert found.ledger.damaged > 5
    assert sum((meant(found.ledger) - said(found.events)).values()) <= 1
    assert not said(found.events) - meant(found.ledger)


@pytest.mark.parametrize("data_format", [1, 8])
def test_short_frames_on_a_bad_line_are_read_where_they_are_whole(data_format: int) -> None:
    found = minute(data_format, Faults(noise=0.2, flip=0.2, drop=0.2, half=0.1, seed=3))
    assert found.ledger.damaged > 5
    assert sum((meant(found.ledger) - said(found.events)).values()) <= 1


def test_the_wave_has_75_samples_a_second() -> None:
    events = minute(2).events
    samples = sum(len(event[5]) for event in events if event[0] == "wave")
    assert 60 * 75 - 50 <= samples <= 60 * 75 + 25


def test_results_of_the_memory_come_first_and_once() -> None:
    stored = [(AT_S, Reading(91, 88)), (AT_S + 60, Reading(92, 87))]
    events = minute(13, stored=stored).events
    assert [event[2] for event in events[:3]] == [1, 1, 0]
    assert events[0][3][3] == ["Stored time", "92653", "valid"]
    assert Counter(event[2] for event in events) == {1: 2, 0: 6}


def test_without_a_finger_a_spot_check_gives_nothing() -> None:
    async def device(line: MemoryLine, ledger: Ledger) -> None:
        plug = Plug(line, lambda: {"SpO2": None, "PR": None}, ledger, "bed", "nonin")
        await NoninOximeter(plug, 13).run()

    assert rehearse(device, None, 30, BAUD).sent == []


def answers(*spoken: tuple[float, bytes]) -> tuple[bytes, NoninOximeter]:
    """Return what a spot check device without a finger says to commands at these seconds."""
    made: list[NoninOximeter] = []

    async def device(line: MemoryLine, ledger: Ledger) -> None:
        plug = Plug(line, lambda: {"SpO2": None, "PR": None}, ledger, "bed", "nonin")
        made.append(NoninOximeter(plug, 13))
        running = asyncio.ensure_future(made[0].run())
        for wait_s, command in spoken:
            await asyncio.sleep(wait_s)
            line.hear(command)
        await running

    found = rehearse(device, None, 9, BAUD)
    return found.bytes_sent, made[0]


SELECT_8 = bytes.fromhex("02 70 02 02 08 03")


def test_a_format_is_chosen_within_five_seconds_only() -> None:
    heard, device = answers((1, SELECT_8))
    assert heard.startswith(b"\x06")
    assert (device.data_format, device.refused) == (8, 0)
    heard, device = answers((6, SELECT_8))
    assert heard == b"\x15"
    assert (device.data_format, device.refused) == (13, 1)


def test_the_long_form_must_have_its_sum() -> None:
    assert answers((1, bytes.fromhex("02 70 04 02 02 41 78 03")))[1].data_format == 2
    heard, device = answers((1, bytes.fromhex("02 70 04 02 02 41 79 03")))
    assert heard == b"\x15"
    assert (device.data_format, device.refused) == (13, 1)


def test_unknown_formats_and_commands_are_refused() -> None:
    heard, device = answers(
        (1, bytes.fromhex("02 70 02 02 01 03")), (1, bytes.fromhex("02 79 00 03 03"))
    )
    assert heard == b"\x15\x15"
    assert device.refused == 2


def test_the_clock_is_set_and_read() -> None:
    set_time = bytes.fromhex("02 72 06 1a 03 0e 09 1a 35 03")
    heard, device = answers((1, set_time), (1, bytes.fromhex("02 72 00 03")))
    assert heard[:8] == bytes.fromhex("02 f2 06 1a 03 0e 09 1a")
    assert device.refused == 0
    assert answers((1, bytes.fromhex("02 72 06 1a 0d 0e 09 1a 35 03")))[1].refused == 1


def test_poor_perfusion_and_a_low_battery_are_told() -> None:
    assert {measured({"SpO2": 97, "PR": 70, "PI": pi}).status[0] for pi in (2, 0.6, 0.2)} == {
        0x02,
        0x06,
        0x04,
    }
    assert packet(Reading(97, 70, flags=SMART_POINT | 1), 0, PLETH)[38] == 0x21
