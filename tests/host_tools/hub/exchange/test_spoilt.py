"""Two sites, and a sector whose bytes one of them lost: all others go on, and it heals."""

import secrets

import pytest
import sqlalchemy as sa

from tests.support.hub import FakeGateway
from tests.support.hub import place as place_in
from tests.support.sites import Ward, deliver, exchange_of, peer_of, recorded, stored, wait_for
from vitalkeep.hub.sectors import OPEN, PROVEN, WHOLE
from vitalkeep.hub.store import Store, tables


@pytest.fixture
def gateway() -> FakeGateway:
    return recorded()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def urls(request, tmp_path) -> dict[str, str]:
    """Return the address of each site's database."""
    if request.param == "sqlite":
        return {name: f"sqlite:///{tmp_path / name / 'hub.db'}" for name in ("east", "west")}
    server = request.getfixturevalue("_postgres_server")
    names = {name: f"spoilt_{name}_{secrets.token_hex(4)}" for name in ("east", "west")}
    return {name: server.create(database) for name, database in names.items()}


@pytest.fixture
def stores(urls):
    made = {name: Store(url) for name, url in urls.items()}
    yield made
    for store in made.values():
        store.close()


def spoil(store: Store, gateway: FakeGateway, number: int) -> None:
    table = tables.sectors
    with store.writing() as connection:
        where = (table.c.cls == 0, table.c.sector == number)
        done = connection.execute(sa.update(table).where(*where).values(data=b"rot"))
        assert done.rowcount == 1
    assert store.spoilt(9) == [place_in(gateway, number)]


def states(store: Store) -> dict[int, int]:
    return {place.sector: one.state for place, one in stored(store).items() if place.cls == 0}


def story(hub) -> list[str]:
    return [line["text"] for line in hub.get("/api/ward")["story"]]


def test_spoilt_sector_is_asked_of_the_other_site_after_a_restart(tmp_path, gateway, urls, stores):
    ward = Ward(tmp_path, [gateway], "east west")
    a, b = stores["east"], stores["west"]
    with ward.hub("east", "--database", urls["east"]) as east:
        with ward.hub("west", "--database", urls["west"]):
            deliver(gateway, east).client.close()
            wait_for(lambda: stored(a) and stored(a) == stored(b), lambda: exchange_of(east))
            wait_for(lambda: peer_of(east, "west")["classes"]["A"]["proved"] == 4)
        spoil(b, gateway, 1)
        with ward.hub("west", "--database", urls["west"]) as west:
            wait_for(lambda: stored(a) == stored(b), lambda: exchange_of(west))
            wait_for(lambda: peer_of(east, "west")["classes"]["A"]["proved"] == 4)
            assert any("sector 1: spoilt: 3 bytes are stored, want 4096" in t for t in story(west))
            rows = b.read(sa.select(tables.quarantine))
            assert [(row["sector"], bytes(row["data"])) for row in rows] == [(1, b"rot")]
            assert b.spoilt(9) == []


def test_peer_goes_on_with_all_others_and_gives_it_back_once_it_has_it(
    tmp_path, gateway, urls, stores
):
    ward = Ward(tmp_path, [gateway], "east west")
    a, b = stores["east"], stores["west"]
    with ward.hub("east", "--database", urls["east"]) as east:
        deliver(gateway, east).client.close()
        spoil(a, gateway, 1)  # beside a hub that does not know
        with ward.hub("west", "--database", urls["west"]) as west:
            # Nobody can check the seal of sector 2 without the one before it.
            wanted = {0: PROVEN, 3: WHOLE, 4: OPEN}
            wait_for(lambda: b.revision() and states(b) == wanted, lambda: exchange_of(west))
            peer = peer_of(west, "east")
            assert peer["up"]
            refused = {name for name in peer["counters"] if name.startswith("refused")}
            assert refused == {"refused_no_tag"}
            assert not any("not its gateway's" in text for text in story(west))
            # The gateway has it still.
            deliver(gateway, west).client.close()
            proven = {0: PROVEN, 1: PROVEN, 2: PROVEN, 3: PROVEN, 4: OPEN}
            wait_for(lambda: states(a) == states(b) == proven, lambda: exchange_of(east))
            wait_for(lambda: stored(a) == stored(b))
            assert a.spoilt(9) == []
