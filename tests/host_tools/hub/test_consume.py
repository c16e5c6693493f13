"""The consumer against a scripted broker: late acknowledgement, silence, refusal."""

import asyncio
import contextlib
import time

from bridge.core import mqtt
from vitalkeep.hub.address import Address
from vitalkeep.hub.consume import BATCH_MAX, FILTERS, Consumer

CONNACK = b"\x20\x02\x00\x00"
PUBLISH = mqtt.publish("vk/x/health", b"one", 1, 7)


class ScriptedBroker:
    """Accepts, subscribes, sends what the test says, and keeps what it is sent."""

    def __init__(self, connack=CONNACK):
        self.heard = bytearray()
        self.sessions = 0
        self.writer = None
        self._connack = connack

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = Address(*self._server.sockets[0].getsockname()[:2])
        return self

    async def __aexit__(self, *_):
        self._server.close()
        if self.writer:
            self.writer.close()

    async def _serve(self, reader, writer):
        self.heard.clear()
        self.writer = writer
        writer.write(self._connack)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(65536):
                self.heard += data
                at = self.heard.find(b"\x82")
                if at >= 0 and b"vk/+/state" in self.heard:
                    # What comes before the SUBACK must not get lost.
                    writer.write(PUBLISH)
                    grants = b"\x01" * len(FILTERS)
                    identifier = self.heard[at + 2 : at + 4]
                    writer.write(bytes((0x90, 2 + len(grants))) + identifier + grants)
                    self.sessions += 1
                    self.heard.clear()

    async def until(self, condition, seconds=5.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


def play(story):
    asyncio.run(story())


@contextlib.asynccontextmanager
async def running(consumer):
    task = asyncio.create_task(consumer.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_nothing_is_acknowledged_before_the_handler_returns():
    async def story():
        stored, seen = asyncio.Event(), []

        async def handler(messages):
            seen.extend(messages)
            await stored.wait()
            return [("vk/x/receipt", b"word")]

        async with ScriptedBroker() as broker:
            consumer = Consumer(broker.address, handler)
            async with running(consumer):
                await broker.until(lambda: seen)
                await asyncio.sleep(0.2)
                assert mqtt.puback(7) not in broker.heard
                stored.set()
                await broker.until(lambda: b"word" in broker.heard)
                assert broker.heard.startswith(mqtt.puback(7))
                assert consumer.connected

    play(story)


def test_socket_is_not_read_while_a_batch_waits():
    async def story():
        stored, batches = asyncio.Event(), []

        async def handler(messages):
            batches.append(len(messages))
            await stored.wait()
            return []

        async with ScriptedBroker() as broker, running(Consumer(broker.address, handler)):
            await broker.until(lambda: batches)
            flood = mqtt.publish("vk/x/log/A", bytes(1000), 1, 9) * 20_000
            broker.writer.write(flood)
            await asyncio.sleep(0.3)
            # 20 MB were offered: all but the kernel's and the stream's buffers stayed there.
            assert broker.writer.transport.get_write_buffer_size() > 10_000_000
            assert batches == [1]
            stored.set()
            await broker.until(lambda: sum(batches) == 20_001, 20)
            assert max(batches) <= BATCH_MAX

    play(story)


def test_broken_session_is_begun_again():
    async def story():
        async def handler(messages):
            return []

        async with ScriptedBroker() as broker:
            consumer = Consumer(broker.address, handler)
            async with running(consumer):
                await broker.until(lambda: broker.sessions == 1)
                broker.writer.transport.abort()
                await broker.until(lambda: broker.sessions == 2)
                broker.writer.write(b"\x50\x02\x00\x01")
                await broker.until(lambda: broker.sessions == 3)
                assert "unexpected packet" in consumer.last_error

    play(story)


def test_refusal_is_said():
    async def story():
        async with ScriptedBroker(b"\x20\x02\x00\x05") as broker:
            consumer = Consumer(broker.address, None)
            async with running(consumer):
                await broker.until(lambda: consumer.last_error)
            assert "not authorized" in consumer.last_error
            assert not consumer.connected

    play(story)


def test_subscriptions_are_exact_levels():
    assert all("#" not in text for text in FILTERS)
    assert len(FILTERS) == 6
