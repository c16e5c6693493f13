"""An RS485 bus: who drives it when, its echo, and a slow unit that holds nobody up."""

import asyncio
from collections import Counter
from typing import Any

from bridge.core.protocols.modbus_rtu import ModbusDecoder
from bridge.links.rs485 import Rs485Line
from hil.ledger import Ledger
from hil.rehearsal import MemoryLine, rehearse
from hil.simulators.device import Plug
from hil.simulators.line import Faults, Passage
from hil.simulators.modbus_rtu import (
    BAUD,
    CHARACTER_BITS,
    OPTIONS,
    ModbusBus,
    gas_panel,
    patient_warmer,
)
from hil.vitals import VitalsModel
from tests.support.decoding import damage, plain

REQUEST = b"\x0a\x03\x00\x00\x00\x02\xc5\x70"
SLOW, DEAD = 17, 99
SECONDS = 60.0


class HalfDuplex:
    """A UART with its transceiver: what leaves while the driver is off is on no wire."""

    def __init__(self) -> None:
        self.wire = b""
        self.lost = b""
        self.drives = False
        self._waiting = b""

    def write(self, data: bytes) -> int:
        self._waiting += data
        return len(data)

    def flush(self) -> None:
        if self.drives:
            self.wire += self._waiting
        else:
            self.lost += self._waiting
        self._waiting = b""

    def on(self) -> None:
        self.drives = True

    def off(self) -> None:
        self.lost += self._waiting
        self._waiting = b""
        self.drives = False


def _line(uart: Any, enable: Any) -> Rs485Line:
    return Rs485Line(0, uart, ModbusDecoder(OPTIONS), None, None, enable)


def test_the_driver_is_on_for_the_whole_request_and_off_for_the_answer() -> None:
    uart = HalfDuplex()
    _line(uart, uart)._send(REQUEST)
    assert (uart.wire, uart.lost, uart.drives) == (REQUEST, b"", False)


def test_a_transceiver_with_automatic_direction_needs_nothing() -> None:
    uart = HalfDuplex()
    uart.drives = True
    _line(uart, None)._send(REQUEST)
    uart.flush()
    assert uart.wire == REQUEST


class Echo(Passage):
    """Both are on one pair of wires: the gateway hears itself."""

    def __init__(self, line: MemoryLine) -> None:
        self._line = line

    def inward(self, data: bytes) -> bytes:
        self._line._put(data)
        return data


class SlowBus(ModbusBus):
    """One unit takes a quarter of a second for its answer."""

    async def _take(self, frame: bytes) -> None:
        if frame[0] == SLOW:
            await asyncio.sleep(0.25)
        await super()._take(frame)


def _read(faults: Faults = Faults()) -> list[list[Any]]:  # noqa: B008 - it is frozen
    """Return what a minute of a bus with a slow unit and a dead one gives."""
    dead = {**OPTIONS["units"][0], "address": DEAD}
    decoder = ModbusDecoder({"units": [*OPTIONS["units"], dead]})

    async def device(line: MemoryLine, ledger: Ledger) -> None:
        line.passage = Echo(line)
        model = VitalsModel(3)
        plug = Plug(line, lambda: model.sample(0.0), ledger, "bed", "bus")
        await SlowBus([patient_warmer(plug), gas_panel(plug)]).run()

    return rehearse(device, decoder, SECONDS, BAUD, CHARACTER_BITS, faults, plain).events


def test_one_slow_unit_and_one_dead_hold_nobody_up_and_the_echo_is_nothing() -> None:
    events = _read()
    read = Counter(event[1] for event in events if event[0] == "observation")
    assert read[10] >= 0.95 * SECONDS
    assert read[SLOW] >= 0.95 * SECONDS
    found = damage(events)
    assert found.pop("timeout") <= SECONDS  # the dead unit has one try in each period
    assert found == {}


def test_on_a_noisy_bus_those_who_answer_are_read() -> None:
    read = Counter(
        event[1]
        for event in _read(Faults(noise=0.1, flip=0.05, half=0.05, seed=5))
        if event[0] == "observation"
    )
    # A unit whose answer was spoilt rests for a second.
    assert read[10] >= 0.7 * SECONDS
    assert read[SLOW] >= 0.7 * SECONDS
