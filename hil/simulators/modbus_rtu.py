"""Modbus RTU slaves on one RS485 bus, 9600 8N2: read-only register banks.

    request   address function start(2) count(2) CRC(2, low byte first)
    answer    address function bytes data CRC, or address function+80H exception CRC

Source: MODBUS application protocol V1.1b3 and serial line V1.02, modbus.org.
"""

import asyncio
import random
import struct
from collections.abc import Callable, Mapping, Sequence

from hil.simulators.device import Plug, now_s
from hil.vitals import Vitals

BAUD = 9600
CHARACTER_BITS = 11
GROUP = 0
NO_VALUE = 0x7FFF

_COILS, _DISCRETES, _HOLDING, _INPUT = 1, 2, 3, 4
_COUNT_MAX = {_COILS: 2000, _DISCRETES: 2000, _HOLDING: 125, _INPUT: 125}
_WRITES = (5, 6, 15, 16, 22, 23)
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3
_REQUEST_SIZE, _FRAME_MAX = 6, 256
_EVERYONE = 0  # a broadcast address: nobody answers
_TURNAROUND_S = (0.005, 0.020)
_SILENCE_S = 0.02  # longer than 3.5 characters: the scheduler of a host is coarser than that
_REFRESH_S = 1.0

_SKIN_LOW_CEL = 35.5

Register = tuple[int, str | None]  # what stands in it, and what that says
Banks = Mapping[int, Mapping[str, Register]]  # by function, in the order of addresses from 0


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


class Slave:
    """One device on the bus.

    banks  returns what stands in the tables; asked once a second, as the device's own cycle does
    """

    def __init__(self, address: int, plug: Plug, banks: Callable[[Vitals], Banks]) -> None:
        self.address = address
        self.plug = plug
        self._banks = banks
        self._kept: Banks = {}
        self._fresh_until_s = 0.0

    def banks(self) -> Banks:
        """Return the tables as they stand."""
        now = now_s()
        if now >= self._fresh_until_s:
            self._kept = self._banks(self.plug.measure())
            self._fresh_until_s = now + _REFRESH_S
        return self._kept


class Refusal(Exception):
    """An exception answer with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _scaled(value: float | None, decimals: int) -> Register:
    whole = NO_VALUE if value is None else round(value * 10**decimals)
    if not -0x8000 <= whole < NO_VALUE:
        return NO_VALUE, None  # not measured, or more than the register holds
    return whole & 0xFFFF, f"{whole / 10**decimals:.{decimals}f}"


def patient_warmer(plug: Plug) -> Slave:
    """Address 10, holding registers: skin temperature x 10 in Cel, heater power in %.

    Discrete inputs: the sensor is off, the skin is cold; coil: the heater is on.
    """

    def banks(vitals: Vitals) -> Banks:
        skin, power = vitals["Tskin"], vitals["Warmer power"]
        cold = skin is not None and skin < _SKIN_LOW_CEL
        return {
            _COILS: {"Heater on": (int(bool(power)), None)},
            _DISCRETES: {"Sensor off": (int(skin is None), None), "Cold": (int(cold), None)},
            _HOLDING: {"Tskin": _scaled(skin, 1), "Warmer power": _scaled(power, 0)},
        }

    return Slave(10, plug, banks)


def gas_panel(plug: Plug) -> Slave:
    """Address 17, input registers: oxygen, air and vacuum in kPa."""
    labels = ("O2 supply", "Air supply", "Vacuum")
    return Slave(17, plug, lambda v: {_INPUT: {label: _scaled(v[label], 0) for label in labels}})


class ModbusBus:
    """All slaves of one bus. `writes_refused` counts what no gateway may ever send."""

    def __init__(self, slaves: list[Slave], seed: int = 0) -> None:
        self.writes_refused = 0
        self._slaves = {slave.address: slave for slave in slaves}
        self._line = slaves[0].plug.line
        self._random = random.Random(seed)

    async def run(self) -> None:
        """Answer requests, for ever."""
        waiting = b""
        while True:
            try:
                waiting += await asyncio.wait_for(self._line.read(), _SILENCE_S)
            except asyncio.TimeoutError:
                waiting = await self._line.read()  # silence ended the frame before, whole or not
            if 4 <= len(waiting) <= _FRAME_MAX and crc16(waiting) == 0:
                frame, waiting = waiting, b""
                await self._take(frame)
            waiting = waiting[: _FRAME_MAX + 1]  # more is garbage, until there is silence

    async def _take(self, frame: bytes) -> None:
        address, function = frame[0], frame[1]
        slave = self._slaves.get(address)
        if function in _WRITES and (slave is not None or address == _EVERYONE):
            self.writes_refused += 1
        if slave is None:
            return
        await asyncio.sleep(self._random.uniform(*_TURNAROUND_S))
        try:
            body, values = answer_of(slave.banks(), frame[:-2])
            answer = framed(body)
        except Refusal as refusal:
            await self._line.send(framed(bytes((address, function | 0x80, refusal.code))))
            return
        if function in (_HOLDING, _INPUT):
            await slave.plug.say(answer, GROUP, values)
        else:
            await self._line.send(answer)  # bits are states, not measured values


def answer_of(banks: Banks, frame: bytes) -> tuple[bytes, dict[str, str | None]]:
    """Return the answer to a read request and what it says, both without check; raises Refusal."""
    function = frame[1]
    if function not in banks:
        raise Refusal(_ILLEGAL_FUNCTION)
    if len(frame) != _REQUEST_SIZE:
        raise Refusal(_ILLEGAL_VALUE)
    start, count = struct.unpack_from(">HH", frame, 2)
    if not 1 <= count <= _COUNT_MAX[function]:
        raise Refusal(_ILLEGAL_VALUE)
    bank = banks[function]
    if start + count > len(bank):
        raise Refusal(_ILLEGAL_ADDRESS)
    asked = list(bank.items())[start : start + count]
    numbers = [register[0] for _, register in asked]
    if function in (_COILS, _DISCRETES):
        bits = sum(bit << index for index, bit in enumerate(numbers))
        data = bits.to_bytes((count + 7) // 8, "little")
    else:
        data = struct.pack(f">{count}H", *numbers)
    answer = bytes((frame[0], function, len(data))) + data
    return answer, {label: register[1] for label, register in asked}


def field_units(plug: Plug) -> ModbusBus:
    """Return both units above on one bus."""
    return ModbusBus([patient_warmer(plug), gas_panel(plug)])


def _unit(
    address: int, function: int, parameter: int, kinds: Sequence[tuple[str, int]]
) -> dict[str, object]:
    items = [
        {"offset": at, "type": kind, "parameter": parameter + at, "decimals": decimals}
        | {"invalid": [NO_VALUE]}
        for at, (kind, decimals) in enumerate(kinds)
    ]
    block = {"function": function, "start": 0, "count": len(items), "items": items}
    return {"address": address, "blocks": [block]}


# What a driver must be told of these two; their parameters are not in the common table.
OPTIONS = {
    "units": [
        _unit(10, _HOLDING, 0x8000, (("i16", 1), ("i16", 0))),
        _unit(17, _INPUT, 0x8002, (("u16", 0),) * 3),
    ]
}
