"""A network link as datagrams see it: a local UDP proxy that delays, loses and cuts."""

import asyncio
import random
from typing import Any

_SENDERS_MAX = 256  # each has a socket of its own at the far side; the oldest goes first


class DatagramProxy:
    """Forwards datagrams on 127.0.0.1 to a target and its answers back to whoever asked.

    delay_s  one way; may be changed at any time
    loss     probability that a datagram is lost in either direction; may be changed at any time
    carried  datagrams delivered, in both directions

    While it is cut, datagrams are lost.
    """

    def __init__(self, host: str, port: int, delay_s: float = 0, loss: float = 0) -> None:
        self.delay_s = delay_s
        self.loss = loss
        self.carried = 0
        self.is_up = True
        self._target = (host, port)
        self._luck = random.Random(0)
        self._near: asyncio.DatagramTransport | None = None
        self._far: dict[Any, asyncio.DatagramTransport] = {}
        self._waiting: set[asyncio.TimerHandle] = set()
        self._opening: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listen on a free port and return it."""
        loop = asyncio.get_running_loop()
        self._near, _ = await loop.create_datagram_endpoint(
            lambda: _End(self._from_near), local_addr=("127.0.0.1", 0)
        )
        port: int = self._near.get_extra_info("sockname")[1]
        return port

    async def close(self) -> None:
        for handle in self._waiting:
            handle.cancel()
        self._waiting.clear()
        for task in self._opening:
            task.cancel()
        ends = [*self._far.values(), *([self._near] if self._near else [])]
        self._far.clear()
        self._near = None
        for end in ends:
            end.close()
        await asyncio.sleep(0)  # transports close in the loop's next turn

    def cut(self) -> None:
        self.is_up = False

    def restore(self) -> None:
        self.is_up = True

    def _from_near(self, data: bytes, sender: Any) -> None:
        self._later(self._deliver, data, sender)

    async def _open(self, sender: Any) -> asyncio.DatagramTransport:
        loop = asyncio.get_running_loop()
        end, _ = await loop.create_datagram_endpoint(
            lambda: _End(lambda data, _: self._later(self._answer, data, sender)),
            remote_addr=self._target,
        )
        return end

    def _deliver(self, data: bytes, sender: Any) -> None:
        if sender in self._far:
            self.carried += 1
            self._far[sender].sendto(data)
            return

        async def first() -> None:
            end = await self._open(sender)
            if self._near is None:
                end.close()
                return
            while len(self._far) >= _SENDERS_MAX:
                self._far.pop(next(iter(self._far))).close()
            self._far[sender] = end
            self.carried += 1
            end.sendto(data)

        task = asyncio.get_running_loop().create_task(first())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def _answer(self, data: bytes, sender: Any) -> None:
        if self._near is not None:
            self.carried += 1
            self._near.sendto(data, sender)

    def _later(self, do: Any, data: bytes, sender: Any) -> None:
        if not self.is_up or self._luck.random() < self.loss:
            return

        def arrive() -> None:
            self._waiting.discard(handle)
            if self.is_up:
                do(data, sender)

        handle = asyncio.get_running_loop().call_later(self.delay_s, arrive)
        self._waiting.add(handle)


class _End(asyncio.DatagramProtocol):
    def __init__(self, take: Any) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._take(data, addr)

    def error_received(self, exc: Exception) -> None:
        pass  # nobody listens at the target: the datagram is lost, as on any network
