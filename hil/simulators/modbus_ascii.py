"""Modbus ASCII slaves on one RS485 bus, 9600 7E1: the same read-only units as on RTU.

    ":" address function data LRC CR LF, two hexadecimal digits a byte

Source: MODBUS over serial line V1.02, modbus.org.
"""

import asyncio

from hil.simulators.device import Plug
from hil.simulators.modbus_rtu import OPTIONS as OPTIONS
from hil.simulators.modbus_rtu import Refusal, Slave, answer_of, gas_panel, patient_warmer

BAUD = 9600
CHARACTER_BITS = 10

_ANSWER_S = 0.02
_LINE_MAX = 600
_WRITES = (5, 6, 15, 16, 22, 23)


def line(body: bytes) -> bytes:
    """Return the line of a frame without its check."""
    return b":" + (body + bytes((-sum(body) & 0xFF,))).hex().upper().encode() + b"\r\n"


class ModbusAsciiBus:
    """Both units on one bus; `refused` counts what no gateway may ever send."""

    def __init__(self, plug: Plug) -> None:
        self.refused = 0
        self._plug = plug
        slaves: list[Slave] = [patient_warmer(plug), gas_panel(plug)]
        self._slaves = {slave.address: slave for slave in slaves}

    async def run(self) -> None:
        """Answer, for ever."""
        waiting = b""
        while True:
            waiting = (waiting + await self._plug.line.read())[-_LINE_MAX:]
            while b"\r\n" in waiting:
                text, _, waiting = waiting.partition(b"\r\n")
                await self._take(text.rpartition(b":")[2])

    async def _take(self, digits: bytes) -> None:
        try:
            frame = bytes.fromhex(digits.decode())
        except ValueError:
            return
        if len(frame) < 4 or sum(frame) & 0xFF or frame[0] not in self._slaves:
            return
        self.refused += frame[1] in _WRITES
        await asyncio.sleep(_ANSWER_S)
        try:
            body, values = answer_of(self._slaves[frame[0]].banks(), frame[:-1])
        except Refusal as refusal:
            await self._plug.line.send(line(bytes((frame[0], frame[1] | 0x80, refusal.code))))
            return
        if frame[1] in (3, 4):
            await self._plug.say(line(body), 0, values)
        else:
            await self._plug.line.send(line(body))
