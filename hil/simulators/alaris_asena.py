"""Asena GH syringe pump on RS232, 38400 8N1: answers queries; remote control stays disabled.

    !text|CRC CR; fields parted by ^; CRC-16/CCITT-FALSE of the text in hexadecimal

Source: public drivers of Alaris and Asena pumps; directions for use of the Alaris CC.
"""

import asyncio
import binascii

from hil.simulators.device import Plug, now_s

BAUD = 38400
CHARACTER_BITS = 10
OPTIONS: dict[str, object] = {}

_SERIAL = b"8003-10077"
_CONTROL = (
    b"REMOTE_CTRL",
    b"REMOTE_CFG",
    b"INF_START",
    b"INF_STOP",
    b"INF_BOLUS",
    b"INF_VI_CLEAR",
)
_ANSWER_S = 0.02
_LINE_MAX = 120


def framed(text: bytes) -> bytes:
    """Return a frame."""
    return b"!%s|%04X\r" % (text, binascii.crc_hqx(text, 0xFFFF))


class AsenaPump:
    """One pump; `refused` counts what no gateway may ever send."""

    def __init__(self, plug: Plug) -> None:
        self.refused = 0
        self._plug = plug
        self._start_s = 0.0

    async def run(self) -> None:
        """Answer, for ever."""
        self._start_s = now_s()
        waiting = b""
        while True:
            waiting += await self._plug.line.read()
            while b"\r" in waiting:
                line, _, waiting = waiting.partition(b"\r")
                line = line.rpartition(b"\x1b")[2]
                start = line.find(b"!")
                text, _, crc = line[start + 1 :].rpartition(b"|")
                if start >= 0 and crc == b"%04X" % binascii.crc_hqx(text, 0xFFFF):
                    await asyncio.sleep(_ANSWER_S)
                    await self._answer(text)
            waiting = waiting[-_LINE_MAX:]

    async def _answer(self, text: bytes) -> None:
        command = text.partition(b"^")[0]
        rate = self._plug.measure()["RR"]
        if command in _CONTROL or b"^" in text:
            self.refused += 1
        elif command == b"INST_SERIALNO":
            await self._plug.line.send(framed(command + b"^" + _SERIAL))
        elif command == b"INF_RATE" and rate is not None:
            await self._plug.line.send(framed(b"INF_RATE^%.2f^ml/h" % rate))
        elif command == b"INF":
            infused = (now_s() - self._start_s) * 15 / 3600
            flow = "-" if rate is None else f"{rate:.2f}"
            said: dict[str, str | None] = {"Pump rate": None if rate is None else flow}
            said |= {"Infused": f"{infused:.3f}", "Pump Pline": "48.00", "Pump left": "86400"}
            fields = [b"INF", _SERIAL, b"-", b"SET", flow.encode(), b"ml/h", b""]
            fields += [b"%.3f" % infused, b"ml", b"48.00", b"mmHg", b"24+", b"EVENT", b"1042"]
            await self._plug.say(framed(b"^".join(fields)), 0, said)
