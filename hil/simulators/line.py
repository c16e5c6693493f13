"""The device's end of a serial line: bytes leave at line speed, and may be spoilt on purpose."""

import asyncio
import errno
import os
import random
from dataclasses import dataclass

_CHUNK = 32  # bytes between two looks at the clock
_READ_MAX = 4096


@dataclass(frozen=True)
class Faults:
    """How often, from 0 to 1 for each message, the wire does what it should not.

    flip  one bit of a message is another
    drop  one byte of a message is missing
    half  a message ends in its middle
    """

    flip: float = 0.0
    drop: float = 0.0
    half: float = 0.0
    seed: int = 0


NO_FAULTS = Faults()


class SerialLine:
    """A pseudo-terminal's master end as a serial line.

    master          file descriptor, non-blocking
    baud            bits a second
    character_bits  with start, parity and stop bits: 10 for 8N1, 11 for 8E1 and 8N2
    """

    def __init__(
        self, master: int, baud: int, character_bits: int = 10, faults: Faults = NO_FAULTS
    ) -> None:
        self.unheard = 0  # bytes that nobody took: the gateway has no power
        self._master = master
        self._character_s = character_bits / baud
        self._faults = faults
        self._random = random.Random(faults.seed)

    async def send(self, message: bytes) -> bool:
        """Send a message; returns when its last bit is out, False when it was spoilt."""
        data = self._spoilt(message)
        loop = asyncio.get_running_loop()
        due = loop.time()
        for start in range(0, len(data), _CHUNK):
            chunk = data[start : start + _CHUNK]
            due += len(chunk) * self._character_s
            await asyncio.sleep(max(0.0, due - loop.time()))
            self._put(chunk)
        return data == message

    def _put(self, chunk: bytes) -> None:
        try:
            taken = os.write(self._master, chunk)
        except BlockingIOError:
            taken = 0
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            taken = 0
        self.unheard += len(chunk) - taken

    def _spoilt(self, data: bytes) -> bytes:
        draw, faults = self._random, self._faults
        if draw.random() < faults.flip:
            at = draw.randrange(len(data))
            data = data[:at] + bytes((data[at] ^ 1 << draw.randrange(8),)) + data[at + 1 :]
        if draw.random() < faults.drop:
            at = draw.randrange(len(data))
            data = data[:at] + data[at + 1 :]
        if draw.random() < faults.half:
            data = data[: draw.randrange(len(data))]
        return data

    async def read(self) -> bytes:
        """Return the bytes that have come from the gateway, at least one."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return os.read(self._master, _READ_MAX)
            except BlockingIOError:
                pass
            readable = loop.create_future()
            loop.add_reader(self._master, _wake, readable)
            try:
                await readable
            finally:
                loop.remove_reader(self._master)


def _wake(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)
