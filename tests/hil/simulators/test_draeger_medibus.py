"""The simulated ventilator: its frames and its manners, by the protocol's own examples."""

import asyncio
import os
import tty

from hil.ledger import Ledger
from hil.simulators.device import Plug
from hil.simulators.draeger_medibus import (
    BAUD,
    CHARACTER_BITS,
    MedibusVentilator,
    framed,
    measured,
)
from hil.simulators.line import SerialLine
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

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        for end in (self.master, self.slave):
            tty.setraw(end)
            os.set_blocking(end, False)
        self.ledger = Ledger()
        line = SerialLine(self.master, BAUD, CHARACTER_BITS)
        plug = Plug(line, lambda: VitalsModel(1).sample(0), self.ledger, "bed-1", "ventilator")
        self.device = MedibusVentilator(plug)
        self.heard = b""

    def say(self, frame: bytes) -> None:
        os.write(self.slave, frame)

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
