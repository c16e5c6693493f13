"""SpaceCom with two B. Braun Space pumps on RS232, 9600 8N1: BCC in request mode.

    01 LLLLL 02 bed/1/1> information 03|17 CCCCC 04, stuffed: D EX, E EE, d ex, e ee

Source: B. Braun technical interface specification BCC, I0022_000030.
"""

import asyncio

from hil.simulators.device import Plug, now_s

BAUD = 9600
CHARACTER_BITS = 10
OPTIONS: dict[str, object] = {}

_BED = "ICU7/1/1>"
_DEFAULT = "1/1/1>"
_ACK, _NAK = 0x06, 0x15
_PUMPS = ("11", "12")
_FRAME_MAX = 200
_STUFFED = {"D": "EX", "E": "EE", "d": "ex", "e": "ee"}
_PLAIN = {stuffed: plain for plain, stuffed in _STUFFED.items()}

Values = dict[str, str | None]


def framed(head: str, text: str, last: bool = True) -> bytes:
    """Return a block as it is on the wire."""
    body = f"\x02{head}{text}" + ("\x03" if last else "\x17")
    plain = f"\x01{len(body) + 12:05d}{body}"
    plain += f"{sum(plain.encode()) & 0xFF:05d}\x04"
    return "".join(_STUFFED.get(letter, letter) for letter in plain).encode()


def unframed(frame: bytes) -> str | None:
    """Return head and text of a block, None when length or sum is wrong."""
    wire, plain, at = frame.decode("latin-1"), "", 0
    while at < len(wire):
        pair = wire[at : at + 2]
        plain += _PLAIN.get(pair, wire[at])
        at += 2 if pair in _PLAIN else 1
    if len(plain) < 14 or not plain[1:6].isdigit() or not plain[-6:-1].isdigit():
        return None
    if int(plain[1:6]) != len(plain) or int(plain[-6:-1]) != sum(plain[:-6].encode()) & 0xFF:
        return None
    return plain[7:-7]


class SpaceCom:
    """The pumps of one station; `refused` counts questions that it does not know."""

    def __init__(self, plug: Plug) -> None:
        self.refused = 0
        self._plug = plug
        self._start_s = 0.0
        self._blocks: list[tuple[str, Values | None]] = []  # of the answer that is going out
        self._next = 0

    async def run(self) -> None:
        """Answer, for ever."""
        self._start_s = now_s()
        waiting = b""
        while True:
            for byte in await self._plug.line.read():
                if byte == _ACK and not waiting:
                    await self._send_next()
                elif byte == _NAK and not waiting and self._next:
                    self._next -= 1
                    await self._send_next()
                elif byte == 0x01:
                    waiting = b"\x01"
                elif waiting:
                    waiting = (waiting + bytes((byte,)))[-_FRAME_MAX:]
                    if byte == 0x04:
                        text, waiting = unframed(waiting), b""
                        if text is not None:
                            await self._take(text)

    async def _take(self, text: str) -> None:
        head, _, question = text.partition(">")
        time = f"{now_s() - self._start_s:.0f}"
        self._next = 0
        if question == "ADMIN:ALIVE":
            self._blocks = [(f"{time},50100,GNACK,0", None)]
        elif head + ">" != _BED:
            self._blocks = [(f"{time},50100,GNERR,1", None)]
        elif question == "MEM:GET":
            self._blocks = [self._pump(index, time) for index in range(len(_PUMPS))]
        else:
            self.refused += 1
            self._blocks = [(f"{time},50100,GNERR,2", None)]
        await asyncio.sleep(0.05)
        await self._send_next()

    async def _send_next(self) -> None:
        if self._next >= len(self._blocks):
            return
        text, values = self._blocks[self._next]
        self._next += 1
        message = framed(_BED, text, last=self._next == len(self._blocks))
        if values is None:
            await self._plug.line.send(message)
        else:
            await self._plug.say(message, 0, values)

    def _pump(self, index: int, time: str) -> tuple[str, Values]:
        """Return the records of one pump and what they say."""
        address = "501" + _PUMPS[index]
        pulse = self._plug.measure()["PR"]
        rate = None if pulse is None else f"{pulse / 10 + index:.2f}"
        infused = f"{(now_s() - self._start_s) * (index + 1) / 100:.2f}"
        records = {"GNMODEL": "8713030", "INRT": rate or "_NV", "INVI": infused, "INVTB": "_NV"}
        records |= {"INRMT": "5400", "INVOLACT": "_NA", "INP2": "23", "INAKKU": "240"}
        records |= {"INSOLSN": "Dobutamin, 5", "INM3": "1", "INA3": str(int(rate is None))}
        records |= {"DSSTATUS": "00051"}
        text = "\x1e".join(f"{time},{address},{name},{value}" for name, value in records.items())
        values: Values = {"Pump rate": rate, "Infused": infused, "VTBI": None, "Pump left": "5400"}
        values |= {"Syringe left": None, "Pump P part": "23", "Pump bat": "240"}
        return text, values
