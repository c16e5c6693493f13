"""Orchestra Base Primea with modules 1 and 3 on RS232, 19200 7E1.

    02 destination text CK CK 03; CK CK: FF less the sum of destination and text in hexadecimal

The base enquires (ENQ) while a session is open, and closes it when no DC4 comes.
Source: the public driver infupy.
"""

import asyncio

from hil.simulators.device import Plug, now_s

BAUD = 19200
CHARACTER_BITS = 10
OPTIONS: dict[str, object] = {}

_STX, _ETX, _ENQ, _ACK, _NAK, _DC4 = 2, 3, 5, 6, 0x15, 0x14
_MODULES = (1, 3)
_MASK = sum(1 << module - 1 for module in _MODULES)
_ENQUIRE_S, _PATIENCE_S = 2.0, 1.5
_READS = ("LE", "LF", "LP", "LN", "LM")
_FRAME_MAX = 100


def framed(origin: int, text: str) -> bytes:
    """Return a message."""
    body = f"{origin}{text}"
    return f"\x02{body}{0xFF - (sum(body.encode()) & 0xFF):02X}\x03".encode()


class OrchestraBase:
    """One base; `refused` counts what no gateway may ever send."""

    def __init__(self, plug: Plug) -> None:
        self.refused = 0
        self.closed = 0  # sessions that ended because nobody answered an ENQ
        self._plug = plug
        self._open: set[int] = set()
        self._enquired_s: float | None = None
        self._next_s = 0.0
        self._start_s = 0.0

    async def run(self) -> None:
        """Answer and enquire, for ever."""
        self._start_s = now_s()
        waiting = b""
        while True:
            await self._enquire()
            try:
                data = await asyncio.wait_for(self._plug.line.read(), 0.1)
            except asyncio.TimeoutError:
                continue
            for byte in data:
                if byte == _DC4:
                    self._enquired_s = None
                elif byte == _STX:
                    waiting = b"\x02"
                elif waiting:
                    waiting = (waiting + bytes((byte,)))[-_FRAME_MAX:]
                    if byte == _ETX:
                        message, waiting = waiting, b""
                        await self._take(message)

    async def _enquire(self) -> None:
        now = now_s()
        if self._enquired_s is not None and now - self._enquired_s > _PATIENCE_S:
            self._open.clear()
            self._enquired_s = None
            self.closed += 1
        if self._open and now >= self._next_s:
            self._next_s = now + _ENQUIRE_S
            self._enquired_s = now
            await self._plug.line.send(bytes((_ENQ,)))

    async def _take(self, message: bytes) -> None:
        body, check = message[1:-3], message[-3:-1]
        if check != b"%02X" % (0xFF - (sum(body) & 0xFF)):
            await self._plug.line.send(bytes((_NAK, 0x32)))
            return
        await self._plug.line.send(bytes((_ACK,)))
        place, text = int(body[:1]), body[1:].decode()
        command, _, argument = text.partition(";")
        if place and place not in _MODULES:
            return
        if command in ("E", "M"):
            return  # an echo
        if command == "DC":
            self._open.add(place)
            await self._plug.line.send(framed(place, "C"))
        elif command == "FC":
            self._open.discard(place)
            await self._plug.line.send(framed(place, "C"))
        elif place not in self._open:
            await self._plug.line.send(framed(place, "I;1E" if place else "I;0D"))
        elif command == "LE":
            await self._read(place, argument)
        else:
            self.refused += command not in _READS
            await self._plug.line.send(framed(place, "I;02"))

    async def _read(self, place: int, ids: str) -> None:
        pulse = self._plug.measure()["PR"]
        rate = 0 if pulse is None else round(pulse) * place
        volume = round((now_s() - self._start_s) * place * 10)
        texts = {"b": f"b{_MASK:03X}", "d": f"d{rate:04X}", "r": f"r{volume:06X}"}
        answer = framed(place, "C" + "".join(";" + texts[letter] for letter in ids))
        if place:
            said = {"Pump rate": f"{rate // 10}.{rate % 10}"}
            said["Infused"] = f"{volume // 1000}.{volume % 1000:03d}"
            await self._plug.say(answer, 0, {key: said[key] for key in said})
        else:
            await self._plug.line.send(answer)
