"""The simulated ventilator: its frames and its manners, by the protocol's own examples."""

import asyncio
import os
import re
import tty
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hil.ledger import Ledger
from hil.simulators.device import Plug
from hil.simulators.draeger_medibus import (
    BAUD,
    CHARACTER_BITS,
    MedibusVentilator,
    Timing,
    framed,
)
from hil.simulators.line import SerialLine
from hil.simulators.medibus_data import Limits, alarms, date_and_time, measured, settings
from hil.vitals import Vitals, VitalsModel

NOTHING: Vitals = dict.fromkeys(VitalsModel(1).sample(0))


def test_frames_have_the_documented_checksum() -> None:
    assert framed(0x1B, b"0") == b"\x1b04B\r"
    assert framed(0x01, b"0") == b"\x01031\r"
    assert framed(0x1B, b"U") == b"\x1bU70\r"


def test_what_is_not_measured_is_not_sent() -> None:
    assert measured(NOTHING) == (b"", {})
    assert measured(NOTHING | {"PEEP": 5.0}) == (b"78  5 ", {"PEEP": "5"})


def test_magnitude_chooses_the_code() -> None:
    assert measured(NOTHING | {"VT": 480.0}) == (b"88 480", {"VT": "480"})
    assert measured(NOTHING | {"VT": 1250.0}) == (b"821.25", {"VT": "1250"})
    assert measured(NOTHING | {"Cdyn": 45.2})[0] == b"0645.2"
    assert measured(NOTHING | {"Cdyn": 112.0})[0] == b"07 112"
    assert measured(NOTHING | {"MV": 7.4})[0] == b"B9 7.4"
    assert measured(NOTHING | {"MV": 0.55})[0] == b"B80.55"


class Host:
    """The far end, by hand."""

    def __init__(self, **options: Any) -> None:
        self.master, self.slave = os.openpty()
        for end in (self.master, self.slave):
            tty.setraw(end)
            os.set_blocking(end, False)
        self.ledger = Ledger()
        line = SerialLine(self.master, BAUD, CHARACTER_BITS)
        plug = Plug(line, lambda: VitalsModel(1).sample(0), self.ledger, "bed-1", "ventilator")
        self.device = MedibusVentilator(plug, **options)
        self.heard = b""

    def say(self, frame: bytes) -> None:
        os.write(self.slave, frame)

    def listen(self) -> bytes:
        """Return what has come."""
        try:
            self.heard += os.read(self.slave, 65536)
        except BlockingIOError:
            pass
        return self.heard

    async def hear(self, frame: bytes, timeout_s: float = 5) -> None:
        """Wait for a frame that starts with `frame`; what came before it is dropped."""
        for _ in range(round(timeout_s / 0.01)):
            try:
                self.heard += os.read(self.slave, 4096)
            except BlockingIOError:
                pass
            at = self.heard.find(frame)
            end = self.heard.find(b"\r", at)
            if at >= 0 and end >= 0:
                self.heard = self.heard[end + 1 :]
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{frame!r} was not heard, only {self.heard!r}")


def test_session_begins_is_polled_and_ends_when_nobody_answers() -> None:
    async def story() -> None:
        host = Host()
        task = asyncio.create_task(host.device.run())
        try:
            await host.hear(framed(0x1B, b"Q"))
            host.say(framed(0x01, b"Q"))
            await host.hear(framed(0x1B, b"R"))
            host.say(framed(0x01, b"R"))
            host.say(framed(0x1B, b"$"))
            await host.hear(b"\x01$")
            host.say(b"\x1b$00\r")
            await host.hear(framed(0x01, b"\x15"))
            assert len(host.ledger.rows("bed-1")[("ventilator", 0x24)]) == 1
            # Three seconds of silence end the session, and it begins again by itself.
            await host.hear(framed(0x1B, b"Q"), 8)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            os.close(host.master)
            os.close(host.slave)

    asyncio.run(story())


def test_worked_examples_of_the_document_are_said() -> None:
    values: Vitals = {"PIP": 24, "PEEP": 5, "VT": 480, "RR": 15, "MV": 7.4, "FiO2": 40}
    data, _ = measured(NOTHING | values)
    for field in (b"7D 24 ", b"78  5 ", b"88 480", b"D6 15 ", b"B9 7.4", b"F0 40 "):
        assert field in data
    data, said = settings(NOTHING | values)
    for field in (b"01  40 ", b"0A 15.0", b"0B  5.0", b"040.480"):
        assert field in data
    assert (said["VT set"], said["PEEP set"]) == ("480", "5.0")
    assert alarms(NOTHING | {"PIP": 41.0}, Limits())[0] == b"N10PAW HIGH    "
    assert date_and_time(0) == b"00:00:0001-JAN-70"
    assert date_and_time(1_794_000_000)[8:] == b"06-NOV-26"


def test_alarms_appear_when_limits_are_crossed_and_only_then() -> None:
    assert alarms(NOTHING, Limits()) == (b"", b"")
    assert alarms(VitalsModel(1).sample(0), Limits()) == (b"", b"")
    first, second = alarms(NOTHING | {"RR": 0.0, "MV": 0.0, "FiO2": 80.0}, Limits())
    assert [first[at : at + 15][1:3] for at in range(0, len(first), 15)] == [b"98", b"19", b"37"]
    assert second[1:3] == b"93"


@given(st.dictionaries(st.sampled_from(sorted(NOTHING)), st.floats(-1e6, 1e6)))
def test_whatever_is_measured_fits_its_fields(values: Vitals) -> None:
    assert len(measured(NOTHING | values)[0]) == 6 * len(measured(NOTHING | values)[1])
    assert len(settings(NOTHING | values)[0]) == 7 * len(settings(NOTHING | values)[1])


FAST = Timing(icc_s=0.2, session_s=1.5, answer_s=0.3, repeats=2, nop_s=0.2, settle_s=0.0)


def play(story: Callable[["Host"], Awaitable[None]], **options: Any) -> None:
    """Run a story with a device that is in session."""

    async def run() -> None:
        host = Host(**options)
        task = asyncio.create_task(host.device.run())
        try:
            await host.hear(framed(0x1B, b"Q"))
            host.say(framed(0x01, b"Q"))
            await host.hear(framed(0x1B, b"R"))
            host.say(framed(0x01, b"R0161'HOST'01.00:04.00"))
            await story(host)
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            os.close(host.master)
            os.close(host.slave)

    asyncio.run(run())


def test_nop_that_stays_unanswered_is_repeated_and_then_the_session_is_over() -> None:
    async def story(host: "Host") -> None:
        for _ in range(3):
            await host.hear(framed(0x1B, b"0"))
            host.say(framed(0x1B, b"0"))  # alive, but deaf to the device's own commands
            await host.hear(framed(0x01, b"0"))
        await host.hear(framed(0x1B, b"Q"))
        assert host.device.sessions == 1

    play(story, timing=FAST)


def test_every_command_is_answered_known_or_not() -> None:
    async def story(host: "Host") -> None:
        for code in (*b"$'().*+,-%&#0jlm", 0x7E):
            host.say(framed(0x1B, bytes((code,))))
            await host.hear(bytes((0x01, code)))
        host.say(framed(0x1B, b"U"))
        await host.hear(framed(0x01, b"U"))

    play(story)


def test_command_inside_a_response_is_answered_and_garbage_does_no_harm() -> None:
    async def story(host: "Host") -> None:
        answer = framed(0x01, b"0")
        await host.hear(framed(0x1B, b"0"))
        host.say(answer[:2] + framed(0x1B, b"(") + answer[2:])
        await host.hear(b"\x01(")
        host.say(bytes(range(256)) * 3 + b"\r")
        host.say(framed(0x1B, b"$"))
        await host.hear(b"\x01$")

    play(story, timing=FAST)


def test_host_chooses_what_is_sent() -> None:
    async def story(host: "Host") -> None:
        host.say(framed(0x1B, b"\x4a$7878"))
        await host.hear(framed(0x01, b"\x4a"))
        host.say(framed(0x1B, b"$"))
        await host.hear(b"\x01$78")
        assert set(host.ledger.rows("bed-1")[("ventilator", 0x24)][0].values) == {"PEEP"}

    play(story, timing=FAST)


def test_device_may_command_in_the_midst_of_its_response() -> None:
    async def story(host: "Host") -> None:
        await asyncio.sleep(0.5)
        host.say(framed(0x1B, b"$"))
        await asyncio.sleep(0.3)
        heard = host.listen()
        assert re.search(rb"\x01\$[^\r]*\x1b04B\r[^\r\x01]*\r", heard)

    play(story, timing=FAST, embeds=True)


def test_realtime_bytes_stand_between_slow_ones_and_break_no_checksum() -> None:
    async def story(host: "Host") -> None:
        host.say(framed(0x1B, b"S"))
        await host.hear(b"\x01S00   16000-  20  100FFF01   16000- 200  200FFF")
        host.say(framed(0x1B, b"T00010101"))
        await host.hear(framed(0x01, b"T"))
        host.say(b"\xd0\xc1\xc3\xc0\xc0")
        for _ in range(10):
            host.say(framed(0x1B, b"$"))
            await asyncio.sleep(0.15)
        heard = host.listen()
        slow = bytes(byte for byte in heard if byte < 0x80)
        fast = bytes(byte for byte in heard if byte >= 0x80)
        answers = re.findall(rb"(\x01\$[^\r]*)([0-9A-F]{2})\r", slow)
        assert len(answers) == 10
        assert all(f"{sum(body) & 0xFF:02X}".encode() == check for body, check in answers)
        pairs = re.findall(rb"\xd3([\x80-\xbf]{4})", fast)
        pressures = [((two[0] & 63) | (two[1] & 63) << 6) / 4095 * 120 - 20 for two in pairs]
        assert len(pressures) > 60
        assert 3 < min(pressures) < max(pressures) < 40

    play(story)
