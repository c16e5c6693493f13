"""A NATS cluster with the configuration that we generate: one server is killed under load."""

from __future__ import annotations

import itertools
import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleet import Fleet
from tests.support.hub_process import Client, HubProcess
from tests.support.nats_cluster import NatsCluster
from tests.support.secure_site import HOST, as_pem, now
from vitalkeep.errors import ToolError
from vitalkeep.hub.store import Store
from vitalkeep.keys.vault import Vault
from vitalkeep.site.config import write_cluster
from vitalkeep.site.nats import Node, node_files

GATEWAYS = 6
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


def test_servers_know_each_other_by_name_and_keep_three_copies() -> None:
    found = node_files([], NODES[1], NODES, "/etc/nats/b", "ward")["nats.conf"]
    assert 'server_name: "b"' in found
    assert 'routes: ["nats-route://nats-a.example:6222", "nats-route://nats-b.' in found
    assert "verify_cert_and_check_known_urls: true" in found
    assert "stream_replicas: 3" in found


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
