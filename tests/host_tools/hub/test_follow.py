"""A consumer that follows gateways as they come and go, on a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from tests.support.hub_process import Client
from tests.support.processes import free_port
from vitalkeep.hub.address import Address
from vitalkeep.hub.consume import Consumer, Message, Publish

pytestmark = pytest.mark.mosquitto

SOON_S = 10


class Listener:
    """A consumer, and what it was told."""

    def __init__(
        self, addresses: Sequence[str], filters: Sequence[str] = ("vk/+/health",)
    ) -> None:
        self.got: list[str] = []
        self.consumer = Consumer(
            [Address.parse(url) for url in addresses], self._take, filters=filters, qos=0
        )

    async def _take(self, messages: Sequence[Message]) -> Sequence[Publish]:
        self.got += [message.topic for message in messages]
        return []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Listener]:
        task = asyncio.create_task(self.consumer.run())
        try:
            await until(lambda: self.consumer.connected)
            yield self
        finally:
            while not task.done():
                # Again and again: before Python 3.12 wait_for may swallow a cancellation.
                task.cancel()
                await asyncio.wait([task], timeout=1)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def dial(url: str) -> Client:
    host, port = url.removeprefix("mqtt://").split(":")
    return Client(host, int(port), "talker")


def test_it_hears_whom_it_follows_and_nobody_else(mosquitto: str) -> None:
    many = [f"vk/{number:016x}/log/+" for number in range(1000)]

    async def story() -> None:
        listener = Listener([mosquitto])
        client = dial(mosquitto)
        async with listener.running():
            consumer = listener.consumer
            assert await consumer.follow(["vk/+/health", *many])
            for number in (0, 63, 64, 999, 1000):
                client.publish(f"vk/{number:016x}/log/A", b"run")
            client.publish("vk/x/health", b"mark")
            await until(lambda: "vk/x/health" in listener.got)
            assert [topic[-9:-6] for topic in listener.got[:-1]] == ["000", "03f", "040", "3e7"]
            listener.got.clear()
            assert await consumer.follow(["vk/+/health", many[1]])
            client.publish("vk/0000000000000000/log/A", b"run")
            client.publish("vk/0000000000000001/log/A", b"run")
            client.publish("vk/x/health", b"mark")
            await until(lambda: "vk/x/health" in listener.got)
            assert listener.got == ["vk/0000000000000001/log/A", "vk/x/health"]
            assert consumer.sessions == 1
        client.close()

    asyncio.run(story())


def test_what_it_is_told_without_a_session_holds_for_the_next_one(mosquitto: str) -> None:
    async def story() -> None:
        listener = Listener([f"mqtt://127.0.0.1:{free_port()}", mosquitto])
        assert not await listener.consumer.follow(["vk/a/log/+", "vk/+/health"])
        client = dial(mosquitto)
        async with listener.running():
            assert str(listener.consumer.address) == mosquitto, "the other server is dead"
            client.publish("vk/a/log/A", b"run")
            await until(lambda: listener.got == ["vk/a/log/A"])
        client.close()

    asyncio.run(story())
