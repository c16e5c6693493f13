"""The firmware's session in MicroPython, as on a board, against a broker in a test's hands."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from textwrap import dedent

from hil.board import FIRMWARE, find_micropython
from tests.support.certificates import SERVER_NAME, ThrowawayAuthority

SILENT_MS = 1000
CONNACK = b"\x20\x02\x00\x00"
SUBACK = b"\x90\x03\x00\x01\x01"
PINGRESP = b"\xd0\x00"

# What each script begins with: a session with what argv says, and what to do in it. `tls_here`
# is the folder with a client's certificate, "-" for none.
PRELUDE = f"""
import sys

sys.path.append({str(FIRMWARE)!r})
import asyncio
import time
from bridge.core import mqtt
from bridge.core.errors import ProtocolError
from bridge.uplink.faults import fault_of
from bridge.uplink.session import Session

port, tls_here = int(sys.argv[1]), sys.argv[2]
options = {{
    "tls": None, "server_name": {SERVER_NAME!r},
    "client_id": "board", "will_topic": "state", "will_payload": b"gone",
    "subscriptions": [("receipt", 1)],
}}
if tls_here != "-":
    from bridge.uplink.credentials import Credentials

    options["tls"] = Credentials(tls_here).choose(0).context


async def settle():
    pass


async def open_session(session, beat):
    await session.dial(0, "127.0.0.1", port, None)
    await session.open(options, beat, settle)


async def publish(session, count, qos, topic="log", size=1000):
    for _ in range(count):
        packet_id = await session.next_id() if qos else 0
        await session.write(mqtt.publish(topic, bytes(size), qos, packet_id))
    while True:
        await asyncio.sleep_ms(1000)


async def receive(session):
    while True:
        packet = await session.receive()
        print("got", packet.topic, len(packet.payload))
        if packet.qos:
            await session.write(mqtt.puback(packet.packet_id))


async def attempt(job, goes_on):
    # One session to its end, as the forwarder does it; prints its fault and how long it took.
    session = Session({SILENT_MS})
    began = [time.ticks_ms()]

    def beat():
        began[0] = time.ticks_ms()

    try:
        await open_session(session, beat)
        print("open")
        await session.hold((job(session), receive(session)), goes_on, lambda: ("state", b"away"))
        print("left")
    except (OSError, ProtocolError, asyncio.TimeoutError, ValueError) as error:
        took = time.ticks_diff(time.ticks_ms(), began[0])
        print("fault", fault_of(error, session.stage), took, str(error).strip())
    finally:
        await session.close()
    return session
"""

# argv: port, folder, number of publishes, their QoS
PUBLISHER = """
count, qos = int(sys.argv[3]), int(sys.argv[4])
asyncio.run(attempt(lambda session: publish(session, count, qos), lambda: True))
"""

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def run_script(
    script: str, folder: Path, *arguments: object, timeout_s: float = 60
) -> list[str]:
    """Return the lines that a script behind PRELUDE printed."""
    path = folder / "script.py"
    path.write_text(PRELUDE + dedent(script))
    process = await asyncio.create_subprocess_exec(
        *(find_micropython(), str(path), *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout_s)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.decode().splitlines()


class Broker:
    """A server on 127.0.0.1 that does `serve` with each connection; `async with` it.

    authority  whose certificates it shows and wants, None without TLS
    """

    def __init__(self, serve: Serve, authority: ThrowawayAuthority | None = None) -> None:
        self._serve = serve
        self._context: ssl.SSLContext | None = authority.server_context() if authority else None
        self.port = 0

    async def __aenter__(self) -> Broker:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client is gone, or the test is over
        finally:
            writer.close()


def says(*answers: bytes, hold_s: float = 20) -> Serve:
    """Return a broker that answers each read with the next bytes, then holds the line."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(4096)
            writer.write(answer)
        await asyncio.sleep(hold_s)

    return serve


async def read_packets(
    reader: asyncio.StreamReader, take: Callable[[int, bytes], Sequence[bytes]], write: Callable
) -> None:
    """Read a client's packets by the standard's own rule, and write what `take` answers."""
    while True:
        first = (await reader.readexactly(1))[0]
        length, shift = 0, 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        for answer in take(first, await reader.readexactly(length)):
            write(answer)


def well_behaved(heard: list[tuple[int, bytes]]) -> Serve:
    """Return a broker that acknowledges everything and keeps the packets it was sent."""

    def take(first: int, body: bytes) -> list[bytes]:
        heard.append((first, body))
        kind = first >> 4
        if kind == 1:
            return [CONNACK]
        if kind == 8:
            return [b"\x90\x03" + body[:2] + b"\x01"]
        if kind == 3 and first & 6:
            at = 2 + int.from_bytes(body[:2], "big")
            return [b"\x40\x02" + body[at : at + 2]]
        return [PINGRESP] if kind == 12 else []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_packets(reader, take, writer.write)

    return serve
