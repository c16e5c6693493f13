"""The device's end of a serial line: bytes leave at line speed, and may be spoilt on purpose."""

import asyncio
import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass

_CHUNK = 16  # bytes between two looks at the clock: a common UART's FIFO
_READ_MAX = 4096
_UNPLUGGED_S = 0.05  # between two looks whether anyone has opened the other end
_NOISE_MAX, _BURST_MAX = 4, 40


@dataclass(frozen=True)
class Faults:
    """How often, from 0 to 1 for each message, the wire does what it should not.

    noise   a few bytes come in the silence before a message, which itself stays whole
    flip    one bit of a message is another
    drop    one byte of a message is missing
    double  one byte of a message comes twice
    burst   garbage covers a part of a message
    half    a message ends in its middle
    """

    noise: float = 0.0
    flip: float = 0.0
    drop: float = 0.0
    double: float = 0.0
    burst: float = 0.0
    half: float = 0.0
    seed: int = 0


NO_FAULTS = Faults()


class Passage:
    """What stands between a device and its line: nothing, as it should be."""

    async def open(self) -> None:
        """Return when the device may begin a message."""

    def outward(self, chunk: bytes) -> bytes:
        """Return what is left of bytes that leave the device."""
        return chunk

    def inward(self, data: bytes) -> bytes:
        """Return what is left of bytes that come from the gateway."""
        return data


OPEN = Passage()


def _flip(data: bytes, at: int, draw: random.Random) -> bytes:
    return data[:at] + bytes((data[at] ^ 1 << draw.randrange(8),)) + data[at + 1 :]


def _drop(data: bytes, at: int, draw: random.Random) -> bytes:
    return data[:at] + data[at + 1 :]


def _double(data: bytes, at: int, draw: random.Random) -> bytes:
    return data[: at + 1] + data[at:]


def _burst(data: bytes, at: int, draw: random.Random) -> bytes:
    covered = draw.randrange(1, len(data) - at + 1)
    return data[:at] + draw.randbytes(draw.randint(1, _BURST_MAX)) + data[at + covered :]


def _half(data: bytes, at: int, draw: random.Random) -> bytes:
    return data[: at or 1]


def _spoilt(data: bytes, faults: Faults, draw: random.Random) -> bytes:
    """Return what is left of a message."""
    table: tuple[tuple[float, Callable[[bytes, int, random.Random], bytes]], ...] = (
        (faults.flip, _flip),
        (faults.drop, _drop),
        (faults.double, _double),
        (faults.burst, _burst),
        (faults.half, _half),
    )
    for chance, spoil in table:
        if data and draw.random() < chance:
            data = spoil(data, draw.randrange(len(data)), draw)
    return data


class SerialLine:
    """A pseudo-terminal's master end as a serial line.

    master          file descriptor, non-blocking
    baud            bits a second
    character_bits  with start, parity and stop bits: 10 for 8N1, 11 for 8E1 and 8N2
    """

    def __init__(
        self,
        master: int,
        baud: int,
        character_bits: int = 10,
        faults: Faults = NO_FAULTS,
        passage: Passage = OPEN,
    ) -> None:
        self.unheard = 0  # bytes that nobody took: the gateway has no power
        self.passage = passage
        self._master = master
        self._character_s = character_bits / baud
        self._faults = faults
        self._random = random.Random(faults.seed)
        self._sending = asyncio.Lock()

    async def send(self, message: bytes) -> bool:
        """Send a message; returns when its last bit is out, False when it was spoilt."""
        async with self._sending:
            await self.passage.open()
            left = _spoilt(message, self._faults, self._random)
            loop = asyncio.get_running_loop()
            due = loop.time()
            data = self._noise() + left
            whole = left == message
            for start in range(0, len(data), _CHUNK):
                chunk = data[start : start + _CHUNK]
                due += len(chunk) * self._character_s
                await asyncio.sleep(max(0.0, due - loop.time()))
                passed = self.passage.outward(chunk)
                whole = whole and passed == chunk
                self._put(passed)
            return whole

    def _noise(self) -> bytes:
        draw = self._random
        if draw.random() >= self._faults.noise:
            return b""
        return draw.randbytes(draw.randint(1, _NOISE_MAX))

    def _put(self, chunk: bytes) -> None:
        taken = 0
        try:
            taken = os.write(self._master, chunk)
        except BlockingIOError:
            pass  # nobody has read for a while: a wire does not wait for that
        except OSError as error:
            if error.errno != errno.EIO:
                raise
        self.unheard += len(chunk) - taken

    async def read(self) -> bytes:
        """Return the bytes that have come from the gateway, at least one."""
        while True:
            data = self.passage.inward(await self._next())
            if data:
                return data

    async def _next(self) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            try:
                data = os.read(self._master, _READ_MAX)
                if data:
                    return data
                await asyncio.sleep(_UNPLUGGED_S)  # a socket whose other end is gone
                continue
            except BlockingIOError:
                pass
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                # Nobody holds the other end; a wait for bytes would return at once, for ever.
                await asyncio.sleep(_UNPLUGGED_S)
                continue
            readable = loop.create_future()
            loop.add_reader(self._master, _wake, readable)
            try:
                await readable
            finally:
                loop.remove_reader(self._master)

    def close(self) -> None:
        """Close the descriptor; whoever sends or reads is to be cancelled before."""
        os.close(self._master)


def _wake(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)
