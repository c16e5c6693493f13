"""A site with an archive, for tests: gateways, store, bucket, and what is compared in the end."""

import asyncio
from collections.abc import Iterator

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
    found = store.bytes_of(places)
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
