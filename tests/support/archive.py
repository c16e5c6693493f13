"""A site with an archive, for tests: gateways, store, bucket, and what is compared in the end."""

import asyncio
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from tests.support.hub import FakeGateway, WritePath, converse
from vitalkeep.archive.backup import Backups
from vitalkeep.archive.bucket import Bucket
from vitalkeep.archive.keys import ArchiveKeys
from vitalkeep.hub.sectors import Place
from vitalkeep.hub.store import Store, utc_now_ms
from vitalkeep.keys.vault import Vault

DAY_MS = 24 * 3600 * 1000


class Bench:
    """One site; `fill` lets its gateway record and deliver."""

    def __init__(self, path: WritePath, store: Store, vault: Vault, address: str) -> None:
        self.path = path
        self.store = store
        self.vault = vault
        self.gateway = FakeGateway()
        self.bucket = Bucket(address)
        self.keys = ArchiveKeys(vault.gateways())
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return utc_now_ms() + self.ahead_ms

    def fill(self, sectors: int, cls: int = 0) -> None:
        self.gateway.fill(sectors, cls)
        converse(self.path, self.gateway)
        # Also the open sector, however busy the machine is.
        asyncio.run(self.path.decoding.catch_up(rest_ms=0))

    @property
    def backups(self) -> Backups:
        return Backups(self.store, self.bucket, self.keys, self.vault.site_id, self.now_ms)

    def close(self) -> None:
        """Nothing is open that the fixtures do not close."""


def content(store: Store, gateway: bytes) -> dict[Place, tuple[bytes, int]]:
    """Return the bytes and the state of every sector of a gateway."""
    places = [known.place for known in store.sectors_of(gateway, None, 10_000)]
    found = store.read_back(places)
    return {place: (stored.data, stored.state) for place, stored in found.items() if stored}


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>No.</Message></Error>"


class Guard:
    """In front of an S3 server: an account that may put, get and list, and what else it is given.

    address  of this one
    rights   of "ask" (whether a bucket locks objects) and "lock"
    """

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.rights: set[str] = set()

    def allows(self, method: str, path: str, headers: http.client.HTTPMessage) -> bool:
        query = urlsplit(path).query.split("&")
        if method == "GET" and any(part.split("=")[0] == "object-lock" for part in query):
            return "ask" in self.rights
        return "lock" in self.rights or "x-amz-object-lock-mode" not in headers


@contextmanager
def guarded(server: str) -> Iterator[Guard]:
    """Yield a Guard in front of an S3 server until the end."""

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, fields, answer = 403, [("content-type", "application/xml")], DENIED
            if guard.allows(self.command, self.path, self.headers):
                behind = http.client.HTTPConnection(urlsplit(server).netloc, timeout=30)
                behind.request(self.command, self.path, body, dict(self.headers))
                found = behind.getresponse()
                status, fields, answer = found.status, found.getheaders(), found.read()
                behind.close()
            self.send_response(status)
            for name, value in fields:
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as listening:
        guard = Guard(listening.server_address[1])
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield guard
        finally:
            listening.shutdown()
            thread.join()
