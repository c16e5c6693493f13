"""Hubs that lie to other hubs: real TLS with the ward's certificates, false answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.secure_site import HOST
from vitalkeep.hub.exchange import tls, wire
from vitalkeep.hub.exchange.plan import Holding
from vitalkeep.hub.exchange.server import Answer, Server
from vitalkeep.hub.exchange.wire import Speaker, Summary
from vitalkeep.hub.sectors import Stream
from vitalkeep.hub.tls import Identity


class Liar:
    """One lying hub. Its answers are methods, by path; each kind of lie is a subclass.

    held  what it claims to have
    """

    def __init__(self, site: bytes, held: dict[Stream, Holding]) -> None:
        self.me = Speaker(site, b"epoch--1")
        self.held = held
        self.asked: list[str] = []

    def answers(self) -> dict[str, Answer]:
        paths = ("summary", "fetch", "prove", "heads", "day")
        return {path: self._noted(path) for path in paths}

    def _noted(self, path: str) -> Answer:
        async def answer(name: str, body: bytes) -> bytes:
            self.asked.append(path)
            return await getattr(self, path)(body)

        return answer

    async def summary(self, body: bytes) -> bytes:
        names = list(self.held)
        known = wire.parse(body)["instance"] == b"instance".hex()
        first = len(names) if known else 0
        held = {} if known else {at: self.held[name] for at, name in enumerate(names)}
        told = Summary(self.me, b"instance", 1, False, first, names[first:], held)
        return wire.pack_summary(told)

    async def fetch(self, body: bytes) -> bytes:
        return b""

    async def prove(self, body: bytes) -> bytes:
        _, claims = wire.parse_challenge(body)
        return wire.pack_proof(self.me, [b"\x5a" * wire.DIGEST_SIZE for _ in claims])

    async def heads(self, body: bytes) -> bytes:
        return wire.pack_heads([])

    async def day(self, body: bytes) -> bytes:
        return wire.dump({"missing": 1, "differing": 0, "signature": None})


@contextlib.contextmanager
def lying(
    liar: Liar,
    port: int,
    files: Path,
    ca: Path,
    names: list[str],
    unfinished: Callable[[str], None] = lambda why: None,
) -> Iterator[Liar]:
    """Serve a liar's answers with a certificate, on a thread of its own."""
    identity = Identity(ca, files / "certificate.pem", files / "key.pem")
    door = tls.Doorkeeper(ca, names, None)
    context = tls.server_context(identity)
    server = Server(context, door, liar.answers(), lambda reason: None, unfinished)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, port))
    sock.listen(128)
    stop = threading.Event()

    async def serve() -> None:
        task = asyncio.create_task(server.serve(sock))
        while not stop.is_set():
            await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait([task])

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield liar
    finally:
        stop.set()
        thread.join()
        sock.close()
