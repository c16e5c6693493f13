"""A blood gas analyser on ASTM E1381 and E1394, 9600 8N1: results every ten seconds.

    ENQ; STX number text ETX C1 C2 CR LF, each answered with ACK or NAK; EOT

Source: ASTM E1381 and E1394.
"""

import asyncio

from hil.simulators.device import Plug

BAUD = 9600
CHARACTER_BITS = 10
OPTIONS: dict[str, object] = {}

_ENQ, _EOT, _ACK, _NAK = b"\x05", b"\x04", 0x06, 0x15
_PERIOD_S, _PATIENCE_S, _BUSY_S = 8.0, 15.0, 2.0
_REPEATS = 6
_RESULTS = {"GLU": ("Glucose", "mmol/L", 1), "K": ("K", "mmol/L", 1), "pH": ("pH", "", 2)}


def framed(number: int, text: str) -> bytes:
    """Return a frame."""
    body = f"{number % 8}{text}\r\x03".encode()
    return b"\x02" + body + b"%02X\r\n" % (sum(body) & 0xFF)


class BloodGasAnalyser:
    """One analyser; a sensor that gives nothing is a result with text."""

    def __init__(self, plug: Plug) -> None:
        self._plug = plug
        self.given_up = 0

    async def run(self) -> None:
        """Send, for ever."""
        while True:
            await self._message()
            await asyncio.sleep(_PERIOD_S)

    async def _answer(self) -> int:
        """Return ACK or NAK, 0 for no answer in time."""
        try:
            while True:
                for byte in await asyncio.wait_for(self._plug.line.read(), _PATIENCE_S):
                    if byte in (_ACK, _NAK):
                        return byte
        except asyncio.TimeoutError:
            return 0

    async def _message(self) -> None:
        await self._plug.line.send(_ENQ)
        if await self._answer() != _ACK:
            await self._plug.line.send(_EOT)
            await asyncio.sleep(_BUSY_S)
            return
        rate = self._plug.measure()["HR"]
        texts: dict[str, str | None] = dict.fromkeys(_RESULTS)
        if rate is not None:
            texts = {"GLU": f"{rate / 14:.1f}", "K": f"{3 + rate / 70:.1f}", "pH": "7.41"}
        frames: list[tuple[str, dict[str, str | None] | None]] = [
            ("H|\\^&|||BG1^1.0^SN77|||||||P|LIS2-A2|20260314093000", None),
            ("P|1||PID42", None),
            ("O|1|S1||^^^BG|R", None),
        ]
        for number, (test, (label, unit, _)) in enumerate(_RESULTS.items(), 1):
            shown = texts[test] or "ERROR"
            record = f"R|{number}|^^^{test}|{shown}|{unit}||N||F||||20260314092910"
            frames.append((record, {label: texts[test]}))
        frames.append(("L|1|N", None))
        for number, (text, values) in enumerate(frames, 1):
            if not await self._frame(number, text, values):
                self.given_up += 1
                break
        await self._plug.line.send(_EOT)

    async def _frame(self, number: int, text: str, values: dict[str, str | None] | None) -> bool:
        """Send a frame until it is accepted; what it says is noted once it has left whole."""
        noted = values is None
        for _ in range(_REPEATS):
            whole = await self._plug.line.send(framed(number, text))
            if values is not None and not noted:
                note = self._plug.ledger.record if whole else self._plug.ledger.record_damaged
                note(self._plug.bed, self._plug.device, 0, values)
                noted = whole
            if await self._answer() == _ACK:
                return True
        return False
