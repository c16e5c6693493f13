"""A device and a gateway's driver on one line, without waiting: an hour passes in a moment.

The event loop's clock stands still while anything is to be done and jumps to the next timer when
nothing is, so a simulator runs as it is and its bytes keep their times.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hil.ledger import Ledger
from hil.simulators.line import NO_FAULTS, Faults, SerialLine
from hil.tasks import end_tasks

_TURN_S = 0.01  # how often a gateway looks at its line
_Result = TypeVar("_Result")


class _NoWait(selectors.DefaultSelector):
    """Never waits: what it would have waited is what the clock jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is not None and timeout > 0:
            self.now_s += timeout
        return ready


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _NoWait()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s


def run_at_once(story: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine whose every sleep takes no time; it must not wait for real files."""
    loop = _JumpingLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(story)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()


class MemoryLine(SerialLine):
    """A line without a terminal: bytes leave into a list, at line speed."""

    def __init__(self, baud: int, character_bits: int = 10, faults: Faults = NO_FAULTS) -> None:
        super().__init__(-1, baud, character_bits, faults)
        self.sent: list[tuple[float, bytes]] = []  # when the last bit was out, and the bytes
        self._waiting: list[bytes] = []
        self._said: asyncio.Event = asyncio.Event()
        self._taken = 0

    def _put(self, chunk: bytes) -> None:
        self.sent.append((asyncio.get_running_loop().time(), chunk))

    def take(self) -> bytes:
        """Return what has left since the last call."""
        found = b"".join(chunk for _, chunk in self.sent[self._taken :])
        self._taken = len(self.sent)
        return found

    def hear(self, data: bytes) -> None:
        """Give the device bytes of the gateway."""
        self._waiting.append(data)
        self._said.set()

    async def _next(self) -> bytes:
        while not self._waiting:
            self._said.clear()
            await self._said.wait()
        return self._waiting.pop(0)


@dataclass
class Rehearsal:
    """What happened: times are seconds since the start.

    sent      what the device put on the line
    turns     the milliseconds of each turn of the gateway, and the bytes it found
    requests  what the driver sent
    events    what the driver said, as `describe` made it of each event
    ledger    what the device meant
    """

    sent: list[tuple[float, bytes]]
    turns: list[tuple[int, bytes]]
    requests: list[tuple[float, bytes]]
    events: list[Any]
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def bytes_sent(self) -> bytes:
        return b"".join(chunk for _, chunk in self.sent)


def rehearse(
    device: Callable[[MemoryLine, Ledger], Coroutine[Any, Any, None]],
    decoder: Any,
    seconds: float,
    baud: int,
    character_bits: int = 10,
    faults: Faults = NO_FAULTS,
    describe: Callable[[Any], Any] = lambda event: event,
) -> Rehearsal:
    """Let a device and a driver talk for some seconds of their own time.

    device    device(line, ledger) returns the simulator's run()
    decoder   a driver, or None for a line on which nobody listens and nobody asks
    describe  makes plain values of an event, which is only valid until the next
    """

    async def story() -> Rehearsal:
        line, ledger = MemoryLine(baud, character_bits, faults), Ledger()
        found = Rehearsal(line.sent, [], [], [], ledger)
        speaking = asyncio.ensure_future(device(line, ledger))
        loop = asyncio.get_running_loop()
        while loop.time() < seconds and not speaking.done():
            await asyncio.sleep(_TURN_S)
            if decoder is not None:
                _turn(line, decoder, found, loop.time(), describe)
        if speaking.done():
            speaking.result()  # raises what stopped it
        await end_tasks([speaking])
        if decoder is not None:
            _turn(line, decoder, found, loop.time(), describe)
        return found

    return run_at_once(story())


def _turn(
    line: MemoryLine,
    decoder: Any,
    found: Rehearsal,
    now_s: float,
    describe: Callable[[Any], Any],
) -> None:
    """Do what a gateway's line does in one turn."""
    data = line.take()
    now_ms = round(now_s * 1000)
    found.turns.append((now_ms, data))
    while data:
        taken = decoder.rx.feed(data)
        data = data[taken:]
        event = decoder.next_event()
        if event is None and not taken:
            raise RuntimeError("the driver's buffer is full and it goes no further")
        while event is not None:
            found.events.append(describe(event))
            event = decoder.next_event()
    event = decoder.next_event()
    while event is not None:
        found.events.append(describe(event))
        event = decoder.next_event()
    request = decoder.next_request(now_ms)
    if request is not None:
        request = bytes(request)
        found.requests.append((now_s, request))
        line.hear(request)
