"""A session against brokers that do harm: each ends with a named fault, and in time.

The session runs under MicroPython as on a board; the brokers are ours, and mosquitto does the
good ones elsewhere.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from textwrap import dedent

import pytest

from hil.board import FIRMWARE, find_micropython

SILENT_MS = 1000
CONNACK = b"\x20\x02\x00\x00"
SUBACK = b"\x90\x03\x00\x01\x01"
PINGRESP = b"\xd0\x00"

CLIENT = f"""
    import sys

    sys.path.append({str(FIRMWARE)!r})
    import asyncio
    from bridge.core import mqtt
    from bridge.core.errors import ProtocolError
    from bridge.uplink.faults import fault_of
    from bridge.uplink.session import Session

    OPTIONS = {{
        "tls": None, "server_name": None,
        "client_id": "board", "will_topic": "w", "will_payload": b"gone",
        "subscriptions": [("receipt", 1)],
    }}


    async def publish(session):
        qos = int(sys.argv[3])
        for _ in range(int(sys.argv[2])):
            packet_id = await session.next_id() if qos else 0
            await session.write(mqtt.publish("log", bytes(1000), qos, packet_id))


    async def receive(session):
        while True:
            packet = await session.receive()
            print("got", packet.topic, len(packet.payload))


    async def main():
        session = Session({SILENT_MS})
        try:
            await session.dial(0, "127.0.0.1", int(sys.argv[1]), None)
            await session.open(OPTIONS, lambda: None)
            await asyncio.gather(publish(session), receive(session))
        except (OSError, ProtocolError, asyncio.TimeoutError, ValueError) as error:
            print("fault", fault_of(error, session.stage), error)
        finally:
            await session.close()

    asyncio.run(main())
"""

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def run_client(serve: Serve, folder: Path, publishes: int = 0, qos: int = 1) -> list[str]:
    """Return what the client printed against a broker that does `serve`."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    script = folder / "client.py"
    script.write_text(dedent(CLIENT))
    process = await asyncio.create_subprocess_exec(
        *(find_micropython(), str(script), str(port), str(publishes), str(qos)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    finally:
        server.close()
    return output.decode().splitlines()


def says(*answers: bytes, hold_s: float = 20) -> Serve:
    """Return a broker that answers each read with the next bytes, then holds the line."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(4096)
            writer.write(answer)
        await asyncio.sleep(hold_s)

    return serve


ENDS = [
    ("never answers", says(), "silent_in_login"),
    ("hangs up at once", says(hold_s=0), "broken_in_login"),
    ("does not know us", says(b"\x20\x02\x00\x02"), "refused"),
    ("refuses with a code of no version", says(b"\x20\x02\x00\x99"), "refused"),
    ("refuses the subscription", says(CONNACK, b"\x90\x03\x00\x01\x80"), "refused"),
    ("acknowledges another subscription", says(CONNACK, b"\x90\x03\x00\x09\x01"), "protocol"),
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
]


@pytest.mark.parametrize(("serve", "fault"), [end[1:] for end in ENDS], ids=[e[0] for e in ENDS])
def test_each_harm_has_its_name(serve: Serve, fault: str, tmp_path: Path) -> None:
    began = time.monotonic()
    said = asyncio.run(run_client(serve, tmp_path))
    assert said[-1].split()[:2] == ["fault", fault]
    assert time.monotonic() - began < 4 * SILENT_MS / 1000 + 5


def test_cut_inside_every_packet_is_survived_and_named(tmp_path: Path) -> None:
    packet = b"\x32\x0e\x00\x07receipt\x00\x09abc"
    whole = CONNACK + SUBACK + packet

    async def all_cuts() -> None:
        for at in range(len(whole)):
            first = asyncio.Event()

            async def serve(
                reader: asyncio.StreamReader,
                writer: asyncio.StreamWriter,
                at: int = at,
                first: asyncio.Event = first,
            ) -> None:
                await reader.read(4096)
                writer.write(whole[: min(at, 4)])
                if at > 4:
                    await reader.read(4096)
                    writer.write(whole[4:at])
                first.set()

            said = await run_client(serve, tmp_path)
            stage = "login" if at < len(CONNACK + SUBACK) else "session"
            assert said[-1].startswith(f"fault broken_in_{stage}"), (at, said)

    asyncio.run(all_cuts())


def test_packets_are_taken_however_they_are_cut(tmp_path: Path) -> None:
    packet = b"\x30\x0c\x00\x07receiptabc"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (CONNACK, SUBACK + 3 * packet):
            await reader.read(4096)
            for byte in answer:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(0.002)

    said = asyncio.run(run_client(serve, tmp_path))
    assert said[:-1] == ["got receipt 3"] * 3
    assert said[-1].startswith("fault broken_in_session")


def test_peer_that_takes_nothing_is_given_up(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(CONNACK + SUBACK)
        # What the kernel buffers at both ends is all that it takes.
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(20):
            writer.write(PINGRESP)
            await asyncio.sleep(0.3)

    said = asyncio.run(run_client(serve, tmp_path, 20000, qos=0))
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

    said = asyncio.run(run_client(serve, tmp_path, 200))
    # The broker lives and acknowledges nothing: the window of 51 fills, and no more is sent.
    assert taken // 1000 == 51
    assert said[-1].startswith("fault silent_in_session")
