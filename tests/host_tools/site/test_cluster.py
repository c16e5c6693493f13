"""A NATS cluster with the configuration that we generate: one server is killed under load."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.support.fleet import Fleet
from tests.support.hub_process import Client, HubProcess
from tests.support.nats_cluster import NatsCluster
from tests.support.secure_site import HOST, as_pem, now
from vitalkeep.errors import ToolError
from vitalkeep.hub.duties import DutyDesk, DutySettings
from vitalkeep.hub.jetstream import JetStreamBook
from vitalkeep.hub.store import Store, StoreError
from vitalkeep.keys.ca import Issued
from vitalkeep.keys.vault import Vault
from vitalkeep.site.config import write_cluster
from vitalkeep.site.nats import Node, node_files
from vitalkeep.site.rights import User

GATEWAYS = 6
FAKE = cast(Issued, SimpleNamespace(id="0011", user="spiffe://x/0011"))
NODES = [Node(name, (f"nats-{name}.example", 6222), ("0.0.0.0", 8883)) for name in "abc"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NatsCluster, Vault]]:
    root = tmp_path_factory.mktemp("cluster")
    made = NatsCluster(root)
    vault = Vault.create(root / "vault")
    for number in range(GATEWAYS):
        made.gateway((number.to_bytes(2, "big") + b"-fleet").hex(), root / f"gateway{number}")
    with made.running():
        yield made, vault


@pytest.mark.nats
def test_a_stranger_and_a_gateway_are_no_servers(cluster: tuple[NatsCluster, Vault]) -> None:
    """Who joins the servers reads everything, so a certificate of another role must not do."""
    site, _ = cluster
    strangers = [None, as_pem(site.root / "gateway0"), site.hub]
    routes = site.nodes[0].routes
    for folder in strangers:
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            _join(site, routes, folder)
    _join(site, routes, site.folder / "b" / "tls")


def _join(site: NatsCluster, routes: tuple[str, int], folder: Path | None) -> None:
    """Speak as another server would; raises when the door is shut."""
    context = ssl.create_default_context(cafile=site.folder / "a" / "tls" / "ca.pem")
    if folder is not None:
        context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    with (
        socket.create_connection(routes, 5) as plain,
        context.wrap_socket(plain, server_hostname=routes[0]) as sock,
    ):
        sock.settimeout(5)
        words = {"server_id": "X", "name": "X", "cluster": "primary", "verbose": False}
        sock.sendall(b"CONNECT " + json.dumps(words).encode() + b"\r\nPING\r\n")
        found = b""
        while b"PONG" not in found:
            data = sock.recv(4096)
            if not data or b"-ERR" in data:
                raise EOFError(data)
            found += data


@pytest.mark.nats
@pytest.mark.postgres
def test_a_server_killed_under_load_loses_nothing_that_was_receipted(
    cluster: tuple[NatsCluster, Vault], postgres: str, tmp_path: Path
) -> None:
    site, vault = cluster
    servers = itertools.cycle(site.ports)
    contexts = {
        f"vk-{(n.to_bytes(2, 'big') + b'-fleet').hex()}": site.context(
            as_pem(site.root / f"gateway{n}")
        )
        for n in range(GATEWAYS)
    }
    fleet = Fleet(GATEWAYS, vault, lambda name: Client(HOST, next(servers), name, contexts[name]))
    arguments = ("--vault", str(vault.folder), "--broker", site.url, "--database", postgres)
    files = ("--ca", "ca.pem", "--certificate", "certificate.pem", "--key", "key.pem")
    arguments += tuple(str(site.hub / f) if f.endswith("pem") else f for f in files)
    store = Store(postgres)
    with HubProcess(tmp_path, *arguments) as hub:
        fleet.serve(fleet.settled, 60, every_s=0)
        for name in ("a", "b"):
            until = time.monotonic() + 2
            fleet.serve(lambda until=until: time.monotonic() > until, 60, every_s=0.05)
            site.kill(name)
            killed_s = time.monotonic()
            for member in fleet.members:
                member.longest_s = 0.0

            def all_heard() -> bool:
                return all(m.heard_s > killed_s for m in fleet.members)  # noqa: B023

            until = time.monotonic() + 6
            fleet.serve(lambda until=until: time.monotonic() > until, 60, every_s=0.05)
            fleet.serve(all_heard, 60, every_s=0.05)
            longest = max(member.longest_s for member in fleet.members)
            print(f"{name} killed: no gateway was without receipts for more than {longest:.1f} s")
            site.start(name)
            fleet.serve(fleet.settled, 60)
        assert fleet.missing(store) == []
        assert hub.health()["counters"].get("stale", 0) == 0
    fleet.close()
    store.close()


@pytest.mark.nats
def test_hubs_agree_on_a_duty_while_a_server_is_killed_and_a_gateway_has_no_say(
    cluster: tuple[NatsCluster, Vault],
) -> None:
    site, _ = cluster
    hub = site.context(site.hub)
    books = [JetStreamBook(site.witness, hub) for _ in range(2)]
    settings = [DutySettings(rank=rank, term_s=4.0, steady_s=600) for rank in (0, 1)]
    desks = [DutyDesk("drill", f"hub-{n}", books[n], settings[n]) for n in range(2)]
    news: list[tuple[int, str]] = []

    async def beat(number: int) -> None:
        said = await desks[number].beat(True)
        if said:
            news.append((number, said))
        assert not (desks[0].left_s() and desks[1].left_s()), "two have it at once"

    async def until(condition: Callable[[], bool], *numbers: int) -> None:
        deadline = time.monotonic() + 90
        while not condition():
            assert time.monotonic() < deadline, (news, [desk.why for desk in desks])
            await asyncio.gather(*map(beat, numbers))
            await asyncio.sleep(0.2)

    async def story() -> None:
        await until(lambda: any(desk.left_s() for desk in desks), 0, 1)
        term = max(desk.term or 0 for desk in desks)
        for name in ("c", "b"):
            site.kill(name)
            # Whoever has it then, somebody does, and renews it at the servers that are left.
            before = [desk.left_s() for desk in desks]
            await asyncio.sleep(max(before))
            await until(lambda: any(desk.left_s() for desk in desks), 0, 1)
            site.start(name)
            await until(lambda: not any(desk.why for desk in desks), 0, 1)
        holder = 0 if desks[0].left_s() else 1
        assert (desks[holder].term or 0) >= term
        # It falls silent, as one that is killed.
        await until(lambda: desks[1 - holder].left_s() > 0, 1 - holder)
        assert not desks[holder].left_s()
        await until(lambda: desks[holder].term is None, holder)

    asyncio.run(story())
    for book in books:
        book.close()
    gateway = JetStreamBook(site.witness, site.context(as_pem(site.root / "gateway0")))
    with pytest.raises(StoreError, match="witness"):
        gateway.take("drill", "thief", 1000)
    gateway.close()


def test_servers_know_each_other_by_name_and_keep_three_copies() -> None:
    found = node_files([], NODES[1], NODES, "/etc/nats/b", "ward")["nats.conf"]
    assert 'server_name: "b"' in found
    assert 'routes: ["nats-route://nats-a.example:6222", "nats-route://nats-b.' in found
    assert "verify_cert_and_check_known_urls: true" in found
    assert "stream_replicas: 3" in found
    assert 'host: "127.0.0.1"\nport: -1' in found


def test_the_servers_own_protocol_is_for_hubs_alone_and_only_where_it_is_wanted() -> None:
    node = replace(NODES[0], witness=("0.0.0.0", 4222))
    users = [User("hub-a", "hub", (FAKE,)), User("g", "gateway", (FAKE,))]
    files = node_files(users, node, [node, *NODES[1:]], "/etc/nats/a", "ward")
    assert 'host: "0.0.0.0"\nport: 4222' in files["nats.conf"]
    hub, gateway = (json.loads(line) for line in files["users.conf"].splitlines() if "{" in line)
    assert hub["allowed_connection_types"] == ["MQTT", "STANDARD"]
    assert "$KV.vitalkeep_duties.>" in hub["permissions"]["publish"]["allow"]
    assert gateway["allowed_connection_types"] == ["MQTT"]
    assert not [s for s in gateway["permissions"]["publish"]["allow"] if s.startswith("$")]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (NODES[:2], "a cluster of 2 servers"),
        ([NODES[0], NODES[0], NODES[1]], "a cluster of 2 servers"),
        ([*NODES[:2], Node("c", ("10.0.0.7", 6222), NODES[2].listen)], "know each other by name"),
    ],
)
def test_a_cluster_that_would_not_stand_is_refused(
    nodes: list[Node], message: str, tmp_path: Path
) -> None:
    site = NatsCluster(tmp_path)
    with pytest.raises(ToolError, match=message):
        write_cluster("ward", site.authority, [], site.folder, nodes, now())


def test_a_certificate_that_does_not_name_its_host_is_told(tmp_path: Path) -> None:
    site = NatsCluster(tmp_path)
    with pytest.raises(ToolError, match="does not name nats-a"):
        write_cluster("ward", site.authority, [], site.folder, NODES, now())
