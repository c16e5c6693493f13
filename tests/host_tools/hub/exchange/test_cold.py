"""What is in the archive alone is given to other sites all the same, and holds nobody up."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from tests.support.hub import FakeGateway, place
from tests.support.sites import Ward, deliver, exchange_of, peer_of, stored, wait_for
from vitalkeep.archive.bucket import Bucket
from vitalkeep.archive.keys import ArchiveKeys
from vitalkeep.archive.settings import ArchiveSettings
from vitalkeep.archive.shelf import ShelfError
from vitalkeep.archive.tiers import Tiers
from vitalkeep.hub.exchange.cold import ColdReader
from vitalkeep.hub.sectors import PROVEN, Cold, Stored
from vitalkeep.hub.store import Store, utc_now_ms
from vitalkeep.keys.vault import Vault

LATER_MS = 100 * 24 * 3600 * 1000
COLD = Stored(b"", PROVEN, 4096, 0, Cold(bytes(32), bytes(16)))


def cool(ward: Ward, name: str, gateway: FakeGateway) -> int:
    """Move all that is sealed and decoded of a site whose hub is stopped into its archive."""
    store, vault = ward.store(name), Vault.open(ward.root / name / "vault")
    (ward.root / "bucket").mkdir()
    bucket = Bucket(f"file://{ward.root}/bucket")
    keys, settings = ArchiveKeys(vault.gateways()), ArchiveSettings(parquet=False)
    tiers = Tiers(
        store, bucket, keys, vault.site_id, settings, lambda: utc_now_ms() + LATER_MS
    )  # fmt: skip
    try:
        return tiers.run(0).cold
    finally:
        store.close()


def is_decoded(store: Store, gateway: FakeGateway) -> bool:
    return len(store.closed(gateway.id, 0, 0, 2**62, "hot", 10)) == 3


def test_another_site_gets_cold_sectors_and_proves_them_once_the_archive_answers(tmp_path):
    gateway = FakeGateway(sectors=40)
    gateway.fill(4)
    ward = Ward(tmp_path, [gateway], "east west")
    with ward.hub("east") as east:
        deliver(gateway, east).client.close()
        store = ward.store("east")
        wait_for(lambda: is_decoded(store, gateway))
        before = stored(store)
        store.close()
    assert cool(ward, "east", gateway) == 3
    with (tmp_path / "east" / "hub.toml").open("a") as file:
        file.write(f'\n[archive]\naddress = "file://{tmp_path}/bucket"\nparquet = false\n')
    (tmp_path / "bucket").rename(tmp_path / "away")
    with ward.hub("east") as east, ward.hub("west") as west:
        there = ward.store("west")
        # What is not cold comes over while the archive is gone.
        wait_for(lambda: place(gateway, 4) in stored(there), lambda: exchange_of(west))
        wait_for(lambda: exchange_of(east)["cold"].get("cold_failed"))
        assert place(gateway, 0) not in stored(there)
        wait_for(lambda: peer_of(west, "east")["up"], lambda: exchange_of(west))
        (tmp_path / "away").rename(tmp_path / "bucket")
        wait_for(lambda: len(stored(there)) == len(before), lambda: exchange_of(west))
        found = stored(there)
        assert {p: s.data for p, s in found.items()} == {p: s.data for p, s in before.items()}
        # East compares with what its archive has, so nothing was proved by nothing.
        wait_for(lambda: peer_of(east, "west")["classes"]["A"]["proved"] == 4)
        assert exchange_of(east)["cold"]["cold_read"] >= 3
        there.close()


class SlowShelf:
    """An archive that answers when it is told to."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.asked = 0
        self.error: ShelfError | None = None

    def sector(self, where):
        self.asked += 1
        assert self.open.wait(30)
        if self.error:
            raise self.error
        return Stored(bytes((where.sector,)) * 4096, PROVEN)


def test_nobody_waits_longer_than_he_said_and_what_comes_later_is_kept():
    shelf, gateway = SlowShelf(), FakeGateway()

    async def story() -> None:
        reader = ColdReader(lambda: shelf)
        asked = {place(gateway, number): COLD for number in range(3)}
        began_s = time.monotonic()
        assert await reader.fill(asked, 0.1) == asked, "still cold"
        assert time.monotonic() - began_s < 10
        assert reader.counters["cold_late"] == 3
        await reader.fill(asked, 0.1)
        shelf.open.set()
        found = await reader.fill(asked, 30)
        assert [found[place(gateway, n)].data[0] for n in range(3)] == [0, 1, 2]
        assert all(one.cold is None for one in found.values())
        assert shelf.asked == 3, "each was asked for once"
        reader.close()

    asyncio.run(story())


@pytest.mark.parametrize("count", [1, 1000])
def test_a_crowd_of_cold_sectors_is_bounded_and_an_archive_that_fails_is_counted(count):
    shelf, gateway = SlowShelf(), FakeGateway()
    shelf.error = ShelfError("missing", "gone")
    shelf.open.set()

    async def story() -> None:
        reader = ColdReader(lambda: shelf)
        asked = {place(gateway, number): COLD for number in range(count)}
        assert await reader.fill(asked, 30) == asked
        assert reader.counters["cold_failed"] == min(count, 256) == shelf.asked
        reader.close()

    asyncio.run(story())
