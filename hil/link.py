"""A network link that can be delayed, cut and restored: a TCP proxy on this machine."""

import asyncio
import contextlib
import random
from collections import deque

_CHUNK = 16384
_QUEUE_MAX = 262144  # bytes under way in one direction before the sender must wait


class LinkProxy:
    """Forwards TCP connections on 127.0.0.1 to a target.

    delay_s  one way; order is kept

    While it is cut, nothing moves and nobody is told: open connections freeze, new ones are
    accepted by the near end's kernel and go nowhere. Restoring thaws them, as a cable put back does.
    """

    def __init__(self, host: str, port: int, delay_s: float = 0) -> None:
        self.delay_s = delay_s
        self.carried = 0
        self._target = (host, port)
        self._up = asyncio.Event()
        self._up.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._mangle = 0.0
        self._random = random.Random(0)

    async def start(self) -> int:
        """Listen on a free port and return it."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def is_up(self) -> bool:
        return self._up.is_set()

    def cut(self) -> None:
        self._up.clear()

    def restore(self) -> None:
        self._up.set()

    def mangle(self, probability: float, seed: int) -> None:
        """Flip a bit in each chunk with this probability from now on; 0 ends it."""
        self._mangle = probability
        self._random = random.Random(seed)

    def reset(self) -> None:
        """Kill every connection with a RST."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        far_writer = None
        try:
            await self._up.wait()
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            self._writers.add(far_writer)
            await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass  # an end is gone; the other one learns it below
        finally:
            for end in (writer, far_writer):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Move one direction: what was read waits its delay, and for the cable."""
        loop = asyncio.get_running_loop()
        waiting: deque[tuple[float, bytes]] = deque()
        size = 0
        changed = asyncio.Event()

        async def deliver() -> None:
            nonlocal size
            while True:
                while not waiting:
                    changed.clear()
                    await changed.wait()
                due, data = waiting[0]
                await asyncio.sleep(max(0, due - loop.time()))
                await self._up.wait()
                if not data:
                    raise ConnectionResetError
                writer.write(self._mangled(data))
                await writer.drain()
                self.carried += len(data)
                waiting.popleft()
                size -= len(data)
                changed.set()

        task = asyncio.create_task(deliver())
        try:
            while True:
                data = await reader.read(_CHUNK)
                waiting.append((loop.time() + self.delay_s, data))
                size += len(data)
                changed.set()
                if not data:
                    await task
                while size > _QUEUE_MAX:
                    changed.clear()
                    await changed.wait()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await task

    def _mangled(self, data: bytes) -> bytes:
        if self._mangle and self._random.random() < self._mangle:
            at = self._random.randrange(len(data))
            return data[:at] + bytes((data[at] ^ 1 << self._random.randrange(8),)) + data[at + 1 :]
        return data
