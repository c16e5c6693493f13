"""A session against brokers that do harm: each ends with a named fault, and in time."""

import asyncio
from pathlib import Path

import pytest

from bridge.core import mqtt
from tests.support.certificates import ThrowawayAuthority
from tests.support.sessions import (
    CONNACK,
    PINGRESP,
    PUBLISHER,
    SILENT_MS,
    SUBACK,
    Broker,
    Serve,
    run_script,
    says,
    well_behaved,
)

# A stage's whole time is SILENT_MS; the rest is for a computer that does much else.
IN_TIME_MS = SILENT_MS + 700
HELLO_SIZE = len(mqtt.connect("board", 10, "state", b"gone", True))
PACKET = b"\x32\x0e\x00\x07receipt\x00\x09abc"


def run_client(
    serve: Serve,
    folder: Path,
    publishes: int = 0,
    qos: int = 1,
    authority: ThrowawayAuthority | None = None,
) -> list[str]:
    """Return what the client printed against a broker that does `serve`."""

    async def run() -> list[str]:
        async with Broker(serve, authority) as broker:
            tls = folder / "tls" if authority else "-"
            return await run_script(PUBLISHER, folder, broker.port, tls, publishes, qos)

    return asyncio.run(run())


@pytest.fixture
def authority(tmp_path: Path) -> ThrowawayAuthority:
    made = ThrowawayAuthority(tmp_path / "ca")
    made.write_client(tmp_path / "tls" / "now")
    return made


def trickle(first: bytes, *rest: bytes, pause_s: float = 0.1) -> Serve:
    """Return a broker that says `first` and `rest` to one read each, the last in single bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (first, *rest[:-1]):
            await reader.read(4096)
            writer.write(answer)
        await reader.read(4096)
        for byte in rest[-1]:
            writer.write(bytes((byte,)))
            await asyncio.sleep(pause_s)
        await asyncio.sleep(20)

    return serve


ENDS = [
    ("never answers", says(), "silent_in_login"),
    ("hangs up at once", says(hold_s=0), "broken_in_login"),
    ("answers byte by byte", trickle(b"", b"\x20" * 90), "silent_in_login"),
    ("does not know us", says(b"\x20\x02\x00\x02"), "refused"),
    ("refuses with a code of no version", says(b"\x20\x02\x00\x99"), "refused"),
    ("refuses the subscription", says(CONNACK, b"\x90\x03\x00\x01\x80"), "refused"),
    ("grants QoS 2", says(CONNACK, b"\x90\x03\x00\x01\x02"), "refused"),
    ("acknowledges another subscription", says(CONNACK, b"\x90\x03\x00\x09\x01"), "protocol"),
    ("grants two of one", says(CONNACK, b"\x90\x04\x00\x01\x01\x01"), "protocol"),
    ("is silent after CONNACK", says(CONNACK), "silent_in_login"),
    ("speaks of a giant", says(CONNACK + b"\x30\xff\xff\xff\x7f"), "protocol"),
    ("has a length of five bytes", says(CONNACK + b"\x30\xff\xff\xff\xff\x01"), "protocol"),
    ("is a web server", says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "protocol"),
    ("answers with TLS", says(b"\x15\x03\x01\x00\x02\x02\x46"), "protocol"),
    ("acknowledges what was not sent", says(CONNACK, SUBACK + b"\x40\x02\x12\x34"), "protocol"),
    ("acknowledges identifier 0", says(CONNACK, SUBACK + b"\x40\x02\x00\x00"), "protocol"),
    ("greets twice", says(CONNACK, SUBACK + CONNACK), "protocol"),
    ("sends QoS 2", says(CONNACK, SUBACK + b"\x34\x05\x00\x01a\x00\x01"), "protocol"),
    ("falls silent in mid session", says(CONNACK, SUBACK), "silent_in_session"),
    ("falls silent in mid packet", says(CONNACK, SUBACK + b"\x30\x20\x00"), "silent_in_session"),
    (
        "sends a packet that never ends",
        trickle(CONNACK, SUBACK, b"\x30\x7f\x00\x01a" + 90 * b"-"),
        "silent_in_session",
    ),
]


@pytest.mark.parametrize(("serve", "fault"), [end[1:] for end in ENDS], ids=[e[0] for e in ENDS])
def test_each_harm_has_its_name_and_its_time(serve: Serve, fault: str, tmp_path: Path) -> None:
    _, name, took_ms, *_ = run_client(serve, tmp_path)[-1].split()
    assert name == fault
    assert int(took_ms) < IN_TIME_MS


def cutting_at(whole: bytes, at: int) -> Serve:
    """Return a broker that says the first `at` bytes of CONNACK, SUBACK and more, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(whole[: min(at, len(CONNACK))])
        if at > len(CONNACK):
            await reader.read(4096)
            writer.write(whole[len(CONNACK) : at])

    return serve


def test_cut_inside_every_packet_is_named(tmp_path: Path) -> None:
    whole = CONNACK + SUBACK + PACKET
    for at in range(len(whole)):
        said = run_client(cutting_at(whole, at), tmp_path)
        stage = "login" if at < len(CONNACK + SUBACK) else "session"
        assert said[-1].startswith(f"fault broken_in_{stage}"), (at, said)


def test_cut_inside_what_we_send_is_named(tmp_path: Path) -> None:
    for size in (0, 1, HELLO_SIZE - 1, HELLO_SIZE, HELLO_SIZE + 5, HELLO_SIZE + 700):

        async def serve(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int = size
        ) -> None:
            await reader.readexactly(min(size, HELLO_SIZE))
            if size > HELLO_SIZE:
                writer.write(CONNACK + SUBACK)
                await reader.readexactly(size - HELLO_SIZE)

        said = run_client(serve, tmp_path, 50)
        stage = "session" if size > HELLO_SIZE else "login"
        assert said[-1].startswith(f"fault broken_in_{stage}"), (size, said)


def test_packets_are_taken_however_they_are_cut(tmp_path: Path) -> None:
    packet = b"\x30\x0c\x00\x07receiptabc"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (CONNACK, SUBACK + 3 * packet):
            await reader.read(4096)
            for byte in answer:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(0.002)

    said = run_client(serve, tmp_path)
    assert said[1:-1] == ["got receipt 3"] * 3
    assert said[-1].startswith("fault broken_in_session")


def stops_reading(chatty: bool) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(CONNACK + SUBACK)
        # What the kernel buffers at both ends is all that it takes.
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(100):
            if chatty:
                writer.write(PINGRESP)
            await asyncio.sleep(0.1)

    return serve


@pytest.mark.parametrize(("chatty", "secured"), [(True, False), (False, False), (True, True)])
def test_peer_that_takes_nothing_is_given_up(
    chatty: bool, secured: bool, tmp_path: Path, authority: ThrowawayAuthority
) -> None:
    serve = stops_reading(chatty)
    said = run_client(serve, tmp_path, 20000, 0, authority if secured else None)
    assert said[-1].startswith("fault silent_in_session")


def test_publishes_without_end_need_acknowledgements(tmp_path: Path) -> None:
    taken = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await reader.read(4096)
        writer.write(CONNACK)
        await reader.read(4096)
        writer.write(SUBACK)

        async def chatter() -> None:
            while True:
                writer.write(PINGRESP)
                await asyncio.sleep(0.2)

        task = asyncio.create_task(chatter())
        try:
            while data := await reader.read(65536):
                taken += len(data)
        finally:
            task.cancel()

    said = run_client(serve, tmp_path, 200)
    # The broker lives and acknowledges nothing: the window of 51 fills, and no more is sent.
    assert taken // 1000 == 51
    assert said[-1].startswith("fault silent_in_session")


# --- TLS ---


def test_handshake_that_is_never_answered_has_an_end(
    tmp_path: Path, authority: ThrowawayAuthority
) -> None:
    async def run() -> list[str]:
        async with Broker(says(b"")) as broker:
            return await run_script(PUBLISHER, tmp_path, broker.port, tmp_path / "tls", 0, 1)

    _, name, took_ms, *_ = asyncio.run(run())[-1].split()
    assert name == "silent_in_handshake"
    assert int(took_ms) < IN_TIME_MS


def test_peer_that_speaks_no_tls_is_named(tmp_path: Path, authority: ThrowawayAuthority) -> None:
    async def run() -> list[str]:
        async with Broker(says(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as broker:
            return await run_script(PUBLISHER, tmp_path, broker.port, tmp_path / "tls", 0, 1)

    assert asyncio.run(run())[-1].startswith("fault no_tls")


def test_site_of_another_authority_is_not_trusted(
    tmp_path: Path, authority: ThrowawayAuthority
) -> None:
    other = ThrowawayAuthority(tmp_path / "other")
    said = run_client(says(CONNACK, SUBACK), tmp_path, authority=other)
    assert said[-1].startswith("fault certificate_untrusted")


def test_harm_behind_a_handshake_is_the_same(
    tmp_path: Path, authority: ThrowawayAuthority
) -> None:
    for serve, fault in (
        (says(), "silent_in_login"),
        (says(CONNACK), "silent_in_login"),
        (says(CONNACK, SUBACK), "silent_in_session"),
        (says(CONNACK, SUBACK + b"\x40\x02\x12\x34"), "protocol"),
        (says(CONNACK, SUBACK, hold_s=0), "broken_in_session"),
    ):
        said = run_client(serve, tmp_path, authority=authority)
        assert said[-1].startswith(f"fault {fault}"), (fault, said)


def test_records_in_pieces_are_taken(tmp_path: Path, authority: ThrowawayAuthority) -> None:
    """A TLS record that has come in part is no end of the stream."""
    packet = b"\x30\xd0\x07\x00\x07receipt" + bytes(967)

    async def through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", broker_port)

        async def up() -> None:
            while data := await reader.read(4096):
                far_writer.write(data)

        task = asyncio.create_task(up())
        try:
            while data := await far_reader.read(4096):
                for at in range(0, len(data), 50):
                    writer.write(data[at : at + 50])
                    await writer.drain()
                    await asyncio.sleep(0.003)
        finally:
            task.cancel()
            far_writer.close()

    broker_port = 0

    async def run() -> list[str]:
        nonlocal broker_port
        packets = SUBACK + 5 * packet
        async with Broker(says(CONNACK, packets, hold_s=1), authority) as broker:
            broker_port = broker.port
            async with Broker(through) as near:
                return await run_script(PUBLISHER, tmp_path, near.port, tmp_path / "tls", 0, 1)

    said = asyncio.run(run())
    assert said[1:-1] == ["got receipt 967"] * 5, said


# --- how it ends ---

HAND_OVER = """
rounds = [30]

def goes_on():
    rounds[0] -= 1
    return rounds[0] > 0

asyncio.run(attempt(lambda session: publish(session, 1000000, 1), goes_on))
"""


@pytest.mark.parametrize("secured", [False, True])
def test_last_words_come_whole_behind_all_that_was_sent(
    secured: bool, tmp_path: Path, authority: ThrowawayAuthority
) -> None:
    heard: list[tuple[int, bytes]] = []

    async def run() -> list[str]:
        async with Broker(well_behaved(heard), authority if secured else None) as broker:
            tls = tmp_path / "tls" if secured else "-"
            return await run_script(HAND_OVER, tmp_path, broker.port, tls)

    assert asyncio.run(run())[-1] == "left"
    *_, (first, words), goodbye = heard
    assert first == 0x33
    assert words.startswith(b"\x00\x05state")
    assert words.endswith(b"away")
    assert goodbye == (0xE0, b"")
    assert len(heard) > 50
    assert all(len(body) == 1007 for first, body in heard[2:-2])


# How many sockets this process has open.
SOCKETS = """
import os


def sockets():
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.stat("/proc/self/fd/" + name)[0] & 0xF000 == 0xC000:
                found += 1
        except OSError:
            pass  # of the listing itself
    return found
"""

CANCEL_EVERYWHERE = """


class Counted:
    # A coroutine whose turns are counted, over all tasks.
    def __init__(self, coroutine):
        self._coroutine = coroutine

    def send(self, value):
        turns[0] += 1
        return self._coroutine.send(value)

    def throw(self, error):
        return self._coroutine.throw(error)


async def one(at):
    # Let the session's life be cut after turn `at`; returns whether it lived so long.
    session = Session(5000)
    turns[0] = 0

    async def life():
        try:
            await open_session(session, lambda: None)
            jobs = (publish(session, 3, 1), receive(session))
            await session.hold(jobs, lambda: turns[0] < 20, lambda: None)
        finally:
            await session.close()

    task = asyncio.create_task(Counted(life()))
    while turns[0] < at and not task.done():
        await asyncio.sleep_ms(0)
    cut = not task.done()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    await asyncio.sleep_ms(0)
    await asyncio.sleep_ms(0)
    assert session._stream is None
    assert not session._writing.locked(), "lock"
    assert not asyncio.core._io_queue.map, "somebody waits for a stream"
    assert asyncio.core._task_queue.peek() is None, "a task is left"
    return cut


async def main():
    make_task = asyncio.core.create_task
    # Also the tasks that the session makes count.
    asyncio.core.create_task = asyncio.create_task = lambda job: make_task(
        job if isinstance(job, Counted) else Counted(job)
    )
    before = sockets()
    at = 1
    while await one(at):
        assert sockets() == before, "socket at %d" % at
        at += 1
    print("cuts", at)


turns = [0]
asyncio.run(main())
"""


@pytest.mark.parametrize("secured", [False, True])
def test_cancelled_at_every_turn_it_leaves_nothing_behind(
    secured: bool, tmp_path: Path, authority: ThrowawayAuthority
) -> None:
    async def run() -> list[str]:
        async with Broker(well_behaved([]), authority if secured else None) as broker:
            tls = tmp_path / "tls" if secured else "-"
            return await run_script(SOCKETS + CANCEL_EVERYWHERE, tmp_path, broker.port, tls)

    said = asyncio.run(run())
    assert said[-1].startswith("cuts"), said[-10:]
    assert int(said[-1].split()[1]) > 20


FAIL_OFTEN = """
async def main():
    before = sockets()
    for _ in range(5):
        await attempt(lambda session: publish(session, 1, 1), lambda: True)
        assert sockets() == before
    print("none is left")

asyncio.run(main())
"""


def test_handshake_that_fails_leaves_no_socket_open(
    tmp_path: Path, authority: ThrowawayAuthority
) -> None:
    other = ThrowawayAuthority(tmp_path / "other")

    async def run() -> list[str]:
        async with Broker(says(CONNACK, SUBACK), other) as broker:
            tls = tmp_path / "tls"
            return await run_script(SOCKETS + FAIL_OFTEN, tmp_path, broker.port, tls)

    said = asyncio.run(run())
    assert said[-1] == "none is left", said
    assert sum(line.startswith("fault certificate_untrusted") for line in said) == 5
