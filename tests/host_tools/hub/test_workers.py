"""Hubs that share one broker and one database, as real processes: they come, go and are killed."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.fleet import Fleet
from tests.support.hub_process import Client, HubProcess
from vitalkeep.hub.store import Store, tables
from vitalkeep.keys.vault import Vault

pytestmark = [pytest.mark.mosquitto, pytest.mark.postgres]

GATEWAYS = 12
SOON_S = 30


class Site:
    """A broker, a database, a vault, and hubs that come and go."""

    def __init__(self, root: Path, broker: str, database: str) -> None:
        self.root, self.broker, self.database = root, broker, database
        self.vault = Vault.create(root / "vault")
        host, port = broker.removeprefix("mqtt://").split(":")
        self.fleet = Fleet(GATEWAYS, self.vault, lambda name: Client(host, int(port), name))
        self.store = Store(database)
        self.stack = ExitStack()

    def hub(self, name: str, term_s: float = 5.0) -> HubProcess:
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        config = folder / "hub.toml"
        config.write_text(f"[cluster]\nterm_s = {term_s}\n")
        found = HubProcess(
            folder, "--vault", str(self.root / "vault"), "--broker", self.broker,
            "--database", self.database, "--config", str(config),
        )  # fmt: skip
        return self.stack.enter_context(found)

    def shares(self, hub: HubProcess) -> list[int]:
        """Return how many gateways each living worker has, as one of them says."""
        found = hub.health()["cluster"]
        return [entry["gateways"] for entry in found["workers"].values() if entry["able"]]

    def is_shared(self, hub: HubProcess) -> bool:
        found = self.shares(hub)
        return len(found) == 2 and min(found) > 0 and sum(found) == GATEWAYS

    def told_twice(self) -> int:
        """Return how many lines of the story two workers told of one silence of a gateway."""
        told = tables.story.c
        query = (
            sa.select(told.gateway)
            .where(told.text.like("No heartbeat%"))
            .group_by(told.gateway, told.at_ms / 2000)
            .having(sa.func.count() > 1)
        )
        with self.store.reading() as connection:
            return len(connection.execute(query).all())


@pytest.fixture
def site(tmp_path: Path, mosquitto: str, postgres: str) -> Iterator[Site]:
    made = Site(tmp_path, mosquitto, postgres)
    try:
        yield made
    finally:
        made.fleet.close()
        made.stack.close()
        made.store.close()


def wait_for(condition: Callable[[], bool], seconds: float = SOON_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def seconds_of(fleet: Fleet, seconds: float) -> None:
    """Let a fleet record and deliver for a while."""
    until = time.monotonic() + seconds
    fleet.serve(lambda: time.monotonic() > until, seconds + 60, every_s=0.05)


def test_a_worker_killed_in_mid_batch_costs_nothing(site: Site) -> None:
    one = site.hub("one")
    two = site.hub("two")
    wait_for(lambda: site.is_shared(one))
    seconds_of(site.fleet, 2)
    two.child.send_signal(signal.SIGKILL)
    two.child.wait()
    fleet = site.fleet
    for member in fleet.members:
        member.longest_s = 0.0
    seconds_of(fleet, 8)
    assert site.shares(one) == [GATEWAYS]
    longest = max(member.longest_s for member in fleet.members)
    print(f"no gateway was without receipts for more than {longest:.1f} s")
    three = site.hub("three")
    fleet.serve(lambda: site.is_shared(one), SOON_S, 0.05)
    seconds_of(fleet, 2)
    fleet.serve(fleet.settled, SOON_S)
    assert fleet.missing(site.store) == []
    assert site.told_twice() == 0
    assert one.stop() == 0
    wait_for(lambda: site.shares(three) == [GATEWAYS])


def test_a_worker_that_slept_through_its_term_spoils_nothing(site: Site) -> None:
    one, two = site.hub("one", 2.0), site.hub("two", 2.0)
    wait_for(lambda: site.is_shared(one))
    fleet = site.fleet
    for _ in range(2):
        seconds_of(fleet, 1)
        two.child.send_signal(signal.SIGSTOP)
        fleet.serve(lambda: site.shares(one) == [GATEWAYS], SOON_S, 0.05)
        seconds_of(fleet, 1)
        two.child.send_signal(signal.SIGCONT)
        fleet.serve(lambda: site.is_shared(one), SOON_S, 0.05)
    fleet.serve(fleet.settled, SOON_S)
    assert fleet.missing(site.store) == []
    assert site.told_twice() == 0
    assert two.health()["cluster"]["lost"] > 0


def test_the_page_of_each_worker_shows_all_beds_and_tells_each_story_once(site: Site) -> None:
    one, two = site.hub("one"), site.hub("two")
    wait_for(lambda: site.is_shared(one) and site.is_shared(two))
    fleet = site.fleet
    fleet.record()
    fleet.members[0].gateway.alarm("SpO2 low")
    fleet.serve(fleet.settled, SOON_S)

    def shows_all(hub: HubProcess) -> bool:
        beds = hub.get("/api/ward")["beds"]
        devices = [bed["devices"][0] for bed in beds if bed["link"] == "up" and bed["devices"]]
        return len(devices) == GATEWAYS and all(device.get("values") for device in devices)

    def told(hub: HubProcess) -> list[str]:
        return [line["text"] for line in hub.get("/api/ward")["story"]]

    for hub in (one, two):
        fleet.serve(lambda hub=hub: shows_all(hub), SOON_S)
        fleet.serve(lambda hub=hub: "vent: Alarm: SpO2 low" in told(hub), SOON_S)
        fleet.serve(lambda hub=hub: told(hub).count("Hub started") >= 2, SOON_S)
    seconds_of(fleet, 2)
    for hub in (one, two):
        assert told(hub).count("vent: Alarm: SpO2 low") == 1
        assert told(hub).count("Hub started") == 2
        assert shows_all(hub)


def test_a_restart_takes_up_its_gateways_and_the_older_process_ends(site: Site) -> None:
    one = site.hub("one")
    wait_for(lambda: site.shares(one) == [GATEWAYS])
    began_s = time.monotonic()
    again = site.hub("one")
    wait_for(lambda: again.health()["cluster"]["gateways"] == GATEWAYS)
    assert time.monotonic() - began_s < SOON_S
    assert one.child.wait(SOON_S) == 1
    assert "has taken over" in (site.root / "one" / "hub.err").read_text()


def test_a_file_has_one_hub_and_the_second_is_told(tmp_path: Path, mosquitto: str) -> None:
    with HubProcess(tmp_path, "--new-vault", "--broker", mosquitto) as one:
        with pytest.raises(RuntimeError, match="another hub works on this file"):
            HubProcess(tmp_path, "--broker", mosquitto).__enter__()
        one.child.send_signal(signal.SIGKILL)
        one.child.wait()
        with HubProcess(tmp_path, "--broker", mosquitto) as two:
            assert two.health()["receipting"]
