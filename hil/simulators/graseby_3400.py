"""Graseby 3400 syringe pump on RS232, 9600 8N1: answers commands, runs at a rate of its own.

    <text>CK CK CR; CK CK: sum of the bytes from < to > modulo 256 in hexadecimal

Source: the public STANPUMP driver for this pump.
"""

import asyncio
import re

from hil.simulators.device import Plug, now_s

BAUD = 9600
CHARACTER_BITS = 10
OPTIONS: dict[str, object] = {}

_COMMAND = re.compile(rb"<([A-Z]{4})(\d*)>([0-9A-Fa-f]{2})\r")
_CONTROL = (b"STRT", b"STOP", b"CHGR", b"ZTOT", b"CHKR")
_ANSWER_S = 0.03


def framed(text: bytes) -> bytes:
    """Return a frame."""
    body = b"<" + text + b">"
    return body + b"%02X\r" % (sum(body) & 0xFF)


class GrasebyPump:
    """One pump that infuses, faster when the patient's heart beats faster; `refused` commands."""

    def __init__(self, plug: Plug) -> None:
        self.refused = 0
        self._plug = plug
        self._total = 0.0
        self._since_s = 0.0

    async def run(self) -> None:
        """Answer, for ever."""
        self._since_s = now_s()
        waiting = b""
        while True:
            waiting = (waiting + await self._plug.line.read())[-64:]
            found = _COMMAND.search(waiting)
            if found is None:
                continue
            waiting = waiting[found.end() :]
            body = found[0][: found[0].index(b">") + 1]
            if sum(body) & 0xFF == int(found[3], 16):
                await asyncio.sleep(_ANSWER_S)
                await self._answer(found[1])

    async def _answer(self, command: bytes) -> None:
        heart = self._plug.measure()["HR"]
        tenths = 0 if heart is None else round(heart)
        now = now_s()
        self._total += tenths / 10 * (now - self._since_s) / 3.6
        self._since_s = now
        status = b"INFS" if tenths else b"STBY"
        state = "1" if tenths else "0"
        if command == b"GETR":
            message = framed(b"OK" + command + status + b"%d" % tenths)
            said = {"Pump rate": f"{tenths // 10}.{tenths % 10}", "Pump state": state}
            await self._plug.say(message, 0, said)
        elif command == b"TOTL":
            total = round(self._total)
            message = framed(b"OK" + command + status + b"%d" % total)
            await self._plug.say(message, 1, {"Pump total": str(total), "Pump state": state})
        elif command == b"CHCK":
            await self._plug.line.send(framed(b"OK" + command + status))
        elif command in _CONTROL:
            self.refused += 1
            await self._plug.line.send(framed(b"CE" + command + status))
