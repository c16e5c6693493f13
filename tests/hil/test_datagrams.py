"""A link as datagrams see it: they pass, are late, get lost, and find their way back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from hil.datagrams import DatagramProxy


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data[::-1], addr)


class Ear(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard.append(data)


@contextlib.asynccontextmanager
async def two_callers(**options: Any) -> AsyncIterator[tuple[DatagramProxy, list[Any]]]:
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    proxy = DatagramProxy("127.0.0.1", server.get_extra_info("sockname")[1], **options)
    port = await proxy.start()
    calls = [
        await loop.create_datagram_endpoint(Ear, remote_addr=("127.0.0.1", port)) for _ in range(2)
    ]
    try:
        yield proxy, calls
    finally:
        await proxy.close()
        for transport, _ in calls:
            transport.close()
        server.close()


async def until(condition: Any) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("condition did not come true in time")


def test_answers_come_back_to_who_asked() -> None:
    async def story() -> None:
        async with two_callers(delay_s=0.01) as (proxy, calls):
            for number, (transport, _) in enumerate(calls):
                transport.sendto(b"ab%d" % number)
            await until(lambda: all(ear.heard for _, ear in calls))
            assert [ear.heard for _, ear in calls] == [[b"0ba"], [b"1ba"]]
            assert proxy.carried == 4

    asyncio.run(story())


def test_what_is_sent_while_it_is_cut_is_lost() -> None:
    async def story() -> None:
        async with two_callers() as (proxy, calls):
            transport, ear = calls[0]
            proxy.cut()
            transport.sendto(b"lost")
            await asyncio.sleep(0.1)
            proxy.restore()
            transport.sendto(b"here")
            await until(lambda: ear.heard)
            assert ear.heard == [b"ereh"]

    asyncio.run(story())


def test_loss_is_as_probable_as_was_asked_for() -> None:
    async def story() -> None:
        async with two_callers(loss=0.5) as (_, calls):
            transport, ear = calls[0]
            for number in range(200):
                transport.sendto(b"%03d" % number)
                await asyncio.sleep(0)
            await until(lambda: len(ear.heard) > 20)
            await asyncio.sleep(0.1)
            assert len(ear.heard) < 90  # a quarter comes through both ways

    asyncio.run(story())
