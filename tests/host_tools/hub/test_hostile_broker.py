"""The hub's consumer against brokers that do harm: a named fault, bounded memory, another try."""

import asyncio
import itertools
import socket
import struct
import time
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest

from bridge.core import mqtt
from tests.support.sessions import CONNACK, Broker, Serve, says
from vitalkeep.hub import consume
from vitalkeep.hub.address import Address
from vitalkeep.hub.consume import FILTERS, Consumer


def suback(identifier: int, grant: int, count: int = len(FILTERS)) -> bytes:
    return bytes((0x90, 2 + count, 0, identifier, *[grant] * count))


SUBACK = suback(1, 1)
GIANT = b"\x30\xff\xff\xff\x7f"


async def store(messages: object) -> list[tuple[str, bytes]]:
    return [("vk/x/receipt", bytes(100000))]  # receipts enough to fill what the kernel holds


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten every wait tenfold and more."""
    for name, seconds in (
        ("_PING_S", 0.1),
        ("_SILENT_S", 1.0),
        ("_CONNECT_S", 0.7),
        ("_WRITE_S", 0.5),
        ("_RETRY_FIRST_S", 0.05),
        ("_RETRY_MAX_S", 0.2),
    ):
        monkeypatch.setattr(consume, name, seconds)


def meet(serve: Serve, until: Callable[[Consumer], bool], within_s: float = 10) -> Consumer:
    """Run a consumer against a broker until a condition holds; fails when it does not in time."""

    async def story() -> Consumer:
        async with Broker(serve) as broker:
            consumer = Consumer(Address("127.0.0.1", broker.port), store)
            task = asyncio.create_task(consumer.run())
            end = time.monotonic() + within_s
            try:
                while not until(consumer):
                    assert time.monotonic() < end, consumer.last_error
                    await asyncio.sleep(0.01)
            finally:
                while not task.done():
                    # Again and again: before Python 3.12 wait_for may swallow a cancellation.
                    task.cancel()
                    await asyncio.wait([task], timeout=1)
            return consumer

    return asyncio.run(story())


def trickle(*answers: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers[:-1]:
            await reader.read(4096)
            writer.write(answer)
        for byte in answers[-1]:
            writer.write(bytes((byte,)))
            await asyncio.sleep(0.05)

    return serve


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


HARMS = [
    ("never answers", says(), "no answer"),
    ("hangs up", says(hold_s=0), "closed by the broker"),
    ("resets", reset, "closed by the broker"),
    ("is a web server", says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "unexpected packet"),
    ("refuses with a code of no version", says(b"\x20\x02\x00\x99"), "refused: 153"),
    # A giant is passed over, and takes no memory; one that never comes is silence.
    ("speaks of a giant", says(CONNACK + GIANT), "no answer"),
    ("speaks of a giant in mid session", says(CONNACK, SUBACK + GIANT), "silent for"),
    ("has a length of five bytes", says(CONNACK + b"\x30\xff\xff\xff\xff\x01"), "four bytes"),
    ("acknowledges another", says(CONNACK, suback(9, 1)), "another"),
    ("grants one of many", says(CONNACK, suback(1, 1, 1)), "another subscription"),
    ("grants nothing", says(CONNACK, suback(1, 128)), "refused the subscr"),
    ("publishes before CONNACK", says(b"\x30\x03\x00\x01a"), "packet type 3"),
    ("is silent after CONNACK", says(CONNACK), "no answer"),
    ("is silent in mid session", says(CONNACK, SUBACK), "silent for"),
    ("stops in mid packet", says(CONNACK, SUBACK + b"\x30\x20\x00"), "silent for"),
    ("sends what never ends", trickle(CONNACK, SUBACK, b"\x30\x7f" + b"a" * 90), "silent for"),
    ("acknowledges what was not sent", says(CONNACK, SUBACK + b"\x40\x02\x12\x34"), "not due"),
    ("greets twice", says(CONNACK, SUBACK + CONNACK), "packet type 2"),
    ("cuts a packet", says(CONNACK, SUBACK + b"\x30\x20\x00", hold_s=0), "closed by the broker"),
]


@pytest.mark.parametrize(("serve", "words"), [h[1:] for h in HARMS], ids=[h[0] for h in HARMS])
def test_each_harm_is_named(serve: Serve, words: str) -> None:
    consumer = meet(serve, lambda consumer: words in consumer.last_error)
    assert not consumer.connected


def test_after_every_harm_it_comes_again_and_ever_less_often() -> None:
    times: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        times.append(time.monotonic())

    meet(serve, lambda _: len(times) >= 10)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert min(pauses) >= 0.02
    assert sum(pauses[-3:]) > sum(pauses[:3])
    assert len({round(pause, 4) for pause in pauses[4:]}) > 1  # jitter


def hoards(flood: Callable[[asyncio.StreamWriter], Awaitable[None]], *answers: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(4096)
            writer.write(answer)
        await flood(writer)

    return serve


def test_flood_before_the_suback_is_bounded() -> None:
    packet = mqtt.publish("vk/x/state", bytes(60000), 0)

    async def flood(writer: asyncio.StreamWriter) -> None:
        for _ in range(500):
            writer.write(packet)
            await writer.drain()

    tracemalloc.start()
    try:
        meet(hoards(flood, CONNACK), lambda consumer: "floods" in consumer.last_error)
        assert tracemalloc.get_traced_memory()[1] < 3 * consume.EARLY_MAX
    finally:
        tracemalloc.stop()


def test_peer_that_reads_nothing_is_given_up_with_its_buffer() -> None:
    async def flood(writer: asyncio.StreamWriter) -> None:
        packet = mqtt.publish("vk/x/log/A", b"-", 1, 7)
        transport = writer.transport
        transport.pause_reading()  # type: ignore[attr-defined]
        while not transport.is_closing():
            writer.write(packet)
            await writer.drain()
            await asyncio.sleep(0.005)

    serve = hoards(flood, CONNACK, SUBACK)
    consumer = meet(serve, lambda consumer: "took nothing" in consumer.last_error)
    assert not consumer.connected
