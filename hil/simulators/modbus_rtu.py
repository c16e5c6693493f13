"""Modbus RTU slaves on one RS485 bus, 9600 8N2: read-only register banks.

Source: MODBUS application protocol V1.1b3 and serial line V1.02, modbus.org.
"""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass

from hil.simulators.device import Plug
from hil.vitals import Vitals

BAUD = 9600
CHARACTER_BITS = 11
GROUP = 0

_HOLDING, _INPUT = 3, 4
_WRITES = (5, 6, 15, 16, 22, 23)
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3
_REQUEST_SIZE = 8
_COUNT_MAX = 125
_TURNAROUND_S = 0.008
_SILENCE_S = 0.02  # longer than 3.5 characters: the scheduler of a host is coarser than that
NO_VALUE = 0x7FFF

Register = tuple[int, str | None]  # what stands in it, and what that says


def crc16(data: bytes) -> int:
    """Return CRC-16/MODBUS."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def framed(body: bytes) -> bytes:
    """Return a frame with its CRC, low byte first."""
    return body + struct.pack("<H", crc16(body))


@dataclass
class Slave:
    """One device on the bus.

    function   3 for holding, 4 for input registers; they start at address 0
    registers  returns {label: (16 bits, what they say)} in the order of their addresses
    """

    address: int
    function: int
    plug: Plug
    registers: Callable[[Vitals], dict[str, Register]]


def _scaled(value: float | None, decimals: int) -> Register:
    if value is None:
        return NO_VALUE, None
    whole = round(value * 10**decimals)
    return whole & 0xFFFF, f"{whole / 10**decimals:.{decimals}f}"


def patient_warmer(plug: Plug) -> Slave:
    """Address 10, holding registers: skin temperature x 10 in Cel, heater power in %."""
    return Slave(
        10,
        _HOLDING,
        plug,
        lambda v: {
            "Tskin": _scaled(v["Tskin"], 1),
            "Warmer power": _scaled(v["Warmer power"], 0),
        },
    )


def gas_panel(plug: Plug) -> Slave:
    """Address 17, input registers: oxygen, air and vacuum in kPa."""
    labels = ("O2 supply", "Air supply", "Vacuum")
    return Slave(17, _INPUT, plug, lambda v: {label: _scaled(v[label], 0) for label in labels})


class ModbusBus:
    """All slaves of one bus. `writes_refused` counts what no gateway may ever send."""

    def __init__(self, slaves: list[Slave]) -> None:
        self.writes_refused = 0
        self._slaves = {slave.address: slave for slave in slaves}
        self._line = slaves[0].plug.line

    async def run(self) -> None:
        """Answer requests, for ever."""
        waiting = b""
        while True:
            try:
                waiting += await asyncio.wait_for(self._line.read(), _SILENCE_S)
            except asyncio.TimeoutError:
                waiting = b""  # silence ends a frame, whole or not
                waiting = await self._line.read()
            if len(waiting) >= 4 and crc16(waiting) == 0:
                frame, waiting = waiting, b""
                slave = self._slaves.get(frame[0])
                if slave is not None:
                    await asyncio.sleep(_TURNAROUND_S)
                    await self._answer(slave, frame)

    async def _answer(self, slave: Slave, frame: bytes) -> None:
        function = frame[1]
        if function in _WRITES:
            self.writes_refused += 1
        if function != slave.function:
            await self._refuse(slave, function, _ILLEGAL_FUNCTION)
            return
        if len(frame) != _REQUEST_SIZE:
            await self._refuse(slave, function, _ILLEGAL_VALUE)
            return
        start, count = struct.unpack_from(">HH", frame, 2)
        bank = slave.registers(slave.plug.measure())
        if not 1 <= count <= _COUNT_MAX:
            await self._refuse(slave, function, _ILLEGAL_VALUE)
            return
        if start + count > len(bank):
            await self._refuse(slave, function, _ILLEGAL_ADDRESS)
            return
        asked = list(bank.items())[start : start + count]
        words = struct.pack(f">{count}H", *(register[0] for _, register in asked))
        body = bytes((slave.address, function, len(words))) + words
        values = {label: register[1] for label, register in asked}
        await slave.plug.say(framed(body), GROUP, values)

    async def _refuse(self, slave: Slave, function: int, code: int) -> None:
        await self._line.send(framed(bytes((slave.address, function | 0x80, code))))
