"""A network link that can be delayed, slowed, cut, mangled and restored: a local TCP proxy."""

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque

_CHUNK = 16384
_QUEUE_MAX = 262144  # bytes under way in one direction before the sender must wait
_TAKEN = b"\x06"
_SYN_AGAIN_S = 1.0  # RFC 6298
_AGAIN_S = 0.2
_KERNEL_MAX = 65536  # what asyncio may hold for a receiver that does not read


class LinkProxy:
    """Forwards TCP connections on 127.0.0.1 to a target.

    delay_s      one way; order is kept; may be changed at any time
    loss         probability that a packet is lost, which TCP makes a delay of; may be changed
    answers      say one byte to the near end once the far end has taken the connection: the
                 virtual board's sockets take it for the SYN-ACK
    bytes_per_s  in each direction of each connection, 0 for no limit; may be changed at any time
    carried_up   bytes delivered to the target; `carried_down` those to the near end
    accepted     connections so far
    mangled      bytes that were changed on the way

    While it is cut, nothing moves and nobody is told: open connections freeze, an end that goes
    away is not missed, new connections are accepted by the near end's kernel and go nowhere.
    Restoring thaws them, as a cable put back does.
    """

    def __init__(
        self,
        host: str,
        port: int,
        delay_s: float = 0,
        bytes_per_s: int = 0,
        *,
        loss: float = 0,
        answers: bool = False,
    ) -> None:
        self.delay_s = delay_s
        self.loss = loss
        self._answers = answers
        self.bytes_per_s = bytes_per_s
        self.carried_up = 0
        self.carried_down = 0
        self.accepted = 0
        self.mangled = 0
        self._target = (host, port)
        self._up = asyncio.Event()
        self._up.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._probability = 0.0
        self._random = random.Random(0)
        self._luck = random.Random(0)

    async def start(self) -> int:
        """Listen on a free port and return it."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """End every connection and stop listening."""
        if self._server is not None:
            self._server.close()
        self.reset()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def carried(self) -> int:
        return self.carried_up + self.carried_down

    @property
    def connections(self) -> int:
        """How many are open now, frozen ones included."""
        return len(self._tasks)

    # --- what happens to links ---

    @property
    def is_up(self) -> bool:
        return self._up.is_set()

    def cut(self) -> None:
        self._up.clear()

    def restore(self) -> None:
        self._up.set()

    def mangle(self, probability: float, seed: int) -> None:
        """Flip a bit of each byte with this probability from now on; 0 ends it."""
        self._probability = probability
        self._random = random.Random(seed)

    def reset(self) -> None:
        """Kill every connection with a RST to both ends, also while the link is cut."""
        for writer in list(self._writers):
            _kill(writer)
        for task in list(self._tasks):
            task.cancel()

    # --- connections ---

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        ends = [writer]
        carriers: list[asyncio.Task[None]] = []
        self._writers.add(writer)
        try:
            await self._up.wait()
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            ends.append(far_writer)
            self._writers.add(far_writer)
            for end in ends:
                end.transport.set_write_buffer_limits(_KERNEL_MAX)
            if self._answers:
                await asyncio.sleep(2 * self.delay_s + self._lateness(_SYN_AGAIN_S))
                await self._up.wait()
                writer.write(_TAKEN)
            carriers.append(asyncio.create_task(self._carry(reader, far_writer, True)))
            carriers.append(asyncio.create_task(self._carry(far_reader, writer, False)))
            await asyncio.gather(*carriers)
            for end in ends:
                end.close()
        except OSError:
            # An end is gone. The other learns of it when the link lets it.
            with contextlib.suppress(asyncio.CancelledError):
                await self._up.wait()
        except asyncio.CancelledError:
            pass  # reset or close; a task of the server's that is cancelled has nobody to tell
        finally:
            for carrier in carriers:
                carrier.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # a reset while it ends anyhow
                await asyncio.gather(*carriers, return_exceptions=True)
            for end in ends:
                self._writers.discard(end)
                if not end.is_closing():
                    _kill(end)
            self._tasks.discard(task)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool
    ) -> None:
        """Move one direction to its end; raises OSError when an end is gone."""
        pipe = _Pipe()
        delivery = asyncio.create_task(self._deliver(pipe, writer, up))
        filling = asyncio.create_task(self._fill(pipe, reader))
        try:
            # Whichever end fails, this direction is over; delivery also ends in good order.
            done, _ = await asyncio.wait((delivery, filling), return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in (delivery, filling):
                task.cancel()
            await asyncio.gather(delivery, filling, return_exceptions=True)

    async def _fill(self, pipe: "_Pipe", reader: asyncio.StreamReader) -> None:
        loop = asyncio.get_running_loop()
        while True:
            data = await reader.read(_CHUNK)
            late = self._lateness(_AGAIN_S)
            await pipe.put(loop.time() + self.delay_s + late, data)
            if not data:
                return

    async def _deliver(self, pipe: "_Pipe", writer: asyncio.StreamWriter, up: bool) -> None:
        """Hand on what is due, at the link's speed and while the link is there."""
        loop = asyncio.get_running_loop()
        while True:
            due, data = await pipe.first()
            await asyncio.sleep(max(0, due - loop.time()))
            await self._up.wait()
            if not data:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            if self.bytes_per_s:
                await asyncio.sleep(len(data) / self.bytes_per_s)
                await self._up.wait()
            writer.write(self._changed(data))
            await writer.drain()
            if up:
                self.carried_up += len(data)
            else:
                self.carried_down += len(data)
            pipe.drop_first()

    def _lateness(self, again_s: float) -> float:
        """Return for how long TCP makes good what is lost."""
        late = 0.0
        while self._luck.random() < self.loss:
            late += again_s
            again_s *= 2
        return late

    def _changed(self, data: bytes) -> bytes:
        if not self._probability:
            return data
        changed = bytearray(data)
        for index in range(len(changed)):
            if self._random.random() < self._probability:
                changed[index] ^= 1 << self._random.randrange(8)
                self.mangled += 1
        return bytes(changed)


def _kill(writer: asyncio.StreamWriter) -> None:
    """Close a connection with a RST, where abort() alone would send a polite FIN."""
    end = writer.get_extra_info("socket")
    if end is not None:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class _Pipe:
    """Chunks under way with the time they are due, bounded in bytes."""

    def __init__(self) -> None:
        self._chunks: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._changed = asyncio.Event()

    async def put(self, due: float, data: bytes) -> None:
        """Append a chunk, and wait while there is too much."""
        self._chunks.append((due, data))
        self._size += len(data)
        self._changed.set()
        while self._size > _QUEUE_MAX:
            self._changed.clear()
            await self._changed.wait()

    async def first(self) -> tuple[float, bytes]:
        """Return the oldest chunk without taking it away."""
        while not self._chunks:
            self._changed.clear()
            await self._changed.wait()
        return self._chunks[0]

    def drop_first(self) -> None:
        _, data = self._chunks.popleft()
        self._size -= len(data)
        self._changed.set()
