"""Sites on PostgreSQL exchange as those on SQLite do, several workers of one of them included."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fleet import Fleet
from tests.support.hub import FakeGateway
from tests.support.hub_process import Client, HubProcess
from tests.support.sites import Ward, deliver, exchange_of, peer_of, stored, wait_for
from vitalkeep.hub.sectors import PROVEN
from vitalkeep.hub.store import Store
from vitalkeep.keys.vault import Vault

pytestmark = pytest.mark.postgres
SOON_S = 60


@pytest.fixture
def databases(_postgres_server) -> Callable[[str], str]:
    """Return a function that makes a fresh database for a site."""
    return lambda name: _postgres_server.create(f"exchange_{name}")


def proved(hub: HubProcess, name: str) -> dict[str, int]:
    return {cls: found["proved"] for cls, found in peer_of(hub, name)["classes"].items()}


def test_two_sites_on_postgresql_have_prove_and_count_the_same(tmp_path, databases):
    gateway = FakeGateway(sectors=40)
    gateway.fill(4)
    gateway.fill(1, cls=1)
    gateway.observe(2)
    ward = Ward(tmp_path, [gateway], "east west")
    urls = {name: databases(name) for name in ward.names}
    a, b = (Store(urls[name]) for name in ward.names)
    try:
        with ward.hub("east", "--database", urls["east"]) as east:
            with ward.hub("west", "--database", urls["west"]) as west:
                online = deliver(gateway, east)
                wait_for(lambda: stored(a) and stored(a) == stored(b), lambda: exchange_of(west))
                wait_for(lambda: proved(east, "west") == {"A": 4, "B": 1, "C": 0})
                online.receipts.clear()
                gateway.connect()
                online.talk(lambda: any(r.copies > 1 and r.maps for r in online.receipts), 60)
                west.stop(signal.SIGKILL)
            gateway.fill(6)
            online.talk(online.settled, 60)
            with ward.hub("west", "--database", urls["west"]) as west:
                wait_for(lambda: stored(a) == stored(b), lambda: exchange_of(west))
                wait_for(lambda: proved(east, "west")["A"] == 6)
                online.client.close()
    finally:
        a.close()
        b.close()


@pytest.mark.mosquitto
def test_a_site_of_two_workers_gives_and_gets_all_whichever_of_them_is_killed(
    tmp_path: Path, mosquitto: str, databases
):
    ward = Ward(tmp_path, [], "one two west")
    vault = Vault.open(tmp_path / "one" / "vault")
    host, port = mosquitto.removeprefix("mqtt://").split(":")
    fleet = Fleet(4, vault, lambda name: Client(host, int(port), name))
    alone = FakeGateway(sectors=40)  # it delivers to the other site
    alone.fill(2)
    vault.add_gateway(alone.id, "Bed", alone.root, alone.log_id)
    others = Vault.open(tmp_path / "west" / "vault")
    for one in (alone, *(member.gateway for member in fleet.members)):
        others.add_gateway(one.id, "Bed", one.root, one.log_id)
    # One site: its workers have one vault, one database, one broker, and a name each.
    for name, peers in (("one", ["west"]), ("two", ["west"]), ("west", ["one", "two"])):
        ward.configure(name, peers)
    for name in ("one", "two"):
        with (tmp_path / name / "hub.toml").open("a") as file:
            file.write(f'\n[cluster]\nworker = "{name}"\nterm_s = 2.0\n')
    url = databases("cluster")

    def worker(name: str) -> HubProcess:
        return ward.hub(
            name, "--database", url, "--broker", mosquitto, "--vault", str(tmp_path / "one/vault")
        )

    def share(hub: HubProcess) -> int:
        return hub.health()["cluster"]["gateways"]

    def say() -> tuple:
        return exchange_of(west), exchange_of(one)

    a, b = Store(url), None
    try:
        with worker("one") as one, worker("two") as two, ward.hub("west") as west:
            b = ward.store("west")
            wait_for(lambda: share(one) and share(two) and share(one) + share(two) == 5)
            for member in fleet.members:
                member.gateway.fill(1)
            deliver(alone, west).client.close()
            fleet.serve(fleet.settled, SOON_S)
            wait_for(lambda: len(stored(a)) and stored(a) == stored(b), say)
            whole = sum(found.state == PROVEN for found in stored(a).values())

            def proved_west() -> int:
                return sum(proved(hub, "west")["A"] for hub in (one, two))

            wait_for(lambda: proved(west, "one")["A"] == proved(west, "two")["A"] == whole, say)
            wait_for(lambda: proved_west() >= whole, say)
            two.stop(signal.SIGKILL)
            for member in fleet.members:
                member.gateway.fill(2)
            fleet.serve(fleet.settled, SOON_S)
            wait_for(lambda: share(one) == 5)
            wait_for(lambda: stored(a) == stored(b), say)
            whole = sum(found.state == PROVEN for found in stored(a).values())
            wait_for(lambda: proved(one, "west")["A"] == whole, say)
            with worker("two") as two:
                wait_for(lambda: share(two) > 0)
                wait_for(lambda: peer_of(west, "two").get("up"), say)
                fleet.record()
                fleet.serve(fleet.settled, SOON_S)
                wait_for(lambda: stored(a) == stored(b), say)
                story = [line["text"] for line in west.get("/api/ward")["story"]]
                assert not [text for text in story if "cannot read back" in text]
                assert not [text for text in story if "no longer has" in text]
    finally:
        fleet.close()
        a.close()
        if b is not None:
            b.close()
