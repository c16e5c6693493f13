"""A bound on time that never swallows a cancellation, and a consumer that ends at its first."""

from __future__ import annotations

import asyncio

import pytest

from vitalkeep.hub.address import Address
from vitalkeep.hub.consume import Consumer
from vitalkeep.hub.within import within

LONG_S = 60


def test_a_result_an_error_and_lateness_are_told_apart() -> None:
    async def answer(error: Exception | None = None) -> int:
        await asyncio.sleep(0)
        if error:
            raise error
        return 7

    async def story() -> None:
        assert await within(LONG_S, answer()) == 7
        with pytest.raises(ValueError, match="odd"):
            await within(LONG_S, answer(ValueError("odd")))
        late = asyncio.get_running_loop().create_future()
        with pytest.raises(asyncio.TimeoutError):
            await within(0.01, late)
        assert late.cancelled()

    asyncio.run(story())


def test_a_cancellation_that_comes_together_with_the_result_counts() -> None:
    async def story() -> None:
        result = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(within(LONG_S, result))
        await asyncio.sleep(0)
        result.set_result(7)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())


def test_what_is_under_way_ends_before_the_cancellation_is_passed_on() -> None:
    ended = []

    async def job() -> None:
        try:
            await asyncio.sleep(LONG_S)
        finally:
            ended.append(True)

    async def story() -> None:
        task = asyncio.create_task(within(LONG_S, job()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended

    asyncio.run(story())


def test_consumer_ends_at_its_first_cancellation_wherever_it_is_with_its_broker() -> None:
    async def handle(_: object) -> list:
        return []

    async def story() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        for turns in range(40):
            consumer = Consumer([Address("127.0.0.1", port)], handle)
            task = asyncio.create_task(consumer.run())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=5)
            assert done, f"it goes on after {turns} turns of the loop"
        server.close()

    asyncio.run(story())
