"""BIS VISTA on RS232, 57600 8N1, binary: processed data each second once they were asked for.

    BA AB | counter u16 | size u16 | type u16 | body | sum u16, low byte first

Source: one public driver.
"""

import asyncio
import struct

from hil.simulators.device import Plug

BAUD = 57600
CHARACTER_BITS = 10
OPTIONS: dict[str, object] = {}

_START, _STOP, _PROCESSED = 0x73, 0x74, 0x34
_NO_DATA = -3277


def framed(counter: int, kind: int, body: bytes) -> bytes:
    """Return a frame."""
    data = struct.pack("<HHH", counter, len(body), kind) + body
    return b"\xba\xab" + data + struct.pack("<H", sum(data) & 0xFFFF)


def processed(counter: int, trend: bytes, impedances: tuple[int, int]) -> bytes:
    """Return a frame of processed data: trend variables of 24 bytes, the same for all channels."""
    info = bytes((1, 1, 2, 1)) + struct.pack("<HH4i", 2, 0, 5, 100, -3234, 1)
    data = info + struct.pack("<4H", impedances[0], 0, impedances[1], 0) + bytes(16) + 3 * trend
    body = struct.pack("<IIHH", 4, _PROCESSED, counter, len(data)) + data
    return framed(counter, 1, body)


class BisVista:
    """One monitor; `refused` counts requests that it does not know."""

    def __init__(self, plug: Plug) -> None:
        self.refused = 0
        self._plug = plug
        self._runs = False

    async def run(self) -> None:
        """Serve, for ever."""
        await asyncio.gather(self._listen(), self._serve())

    async def _listen(self) -> None:
        waiting = b""
        while True:
            waiting = (waiting + await self._plug.line.read())[-128:]
            start = waiting.find(b"\xba\xab")
            if start < 0 or len(waiting) - start < 8:
                continue
            size = struct.unpack_from("<H", waiting, start + 4)[0]
            frame = waiting[start : start + size + 10]
            if len(frame) < size + 10:
                continue
            waiting = waiting[start + len(frame) :]
            if sum(frame[2:-2]) & 0xFFFF == struct.unpack_from("<H", frame, len(frame) - 2)[0]:
                message = struct.unpack_from("<I", frame, 12)[0]
                self._runs = message == _START or (self._runs and message != _STOP)
                self.refused += message not in (_START, _STOP)

    async def _serve(self) -> None:
        counter = 0
        while True:
            await asyncio.sleep(1.0)
            if not self._runs:
                continue
            counter += 1
            vitals = self._plug.measure()
            bis, emg = vitals["BIS"], vitals["EMG"]
            if bis is None or emg is None:
                trend = struct.pack("<hhHhhhhhii", *[_NO_DATA] * 2, 0, *[_NO_DATA] * 5, 0, 0)
                values = dict.fromkeys(("BSR", "SEF95", "BIS", "EEG power", "EMG"))
                said: dict[str, str | None] = {**values, "SQI": "0.0"}
            else:
                tenths, hundredths = round(10 * bis), round(100 * emg)
                trend = struct.pack(
                    "<hhHhhhhh", 0, 1423, 0, tenths, tenths, tenths, 6512, hundredths
                )
                trend += struct.pack("<ii", 925, 0)
                said = {"BSR": "0.0", "SEF95": "14.23", "BIS": f"{tenths / 10:.1f}"}
                said |= {"EEG power": "65.12", "EMG": f"{hundredths / 100:.2f}", "SQI": "92.5"}
            said |= {"EEG Z1": "52", "EEG Z2": "61"}
            await self._plug.say(processed(counter, trend, (52, 61)), 0, said)
