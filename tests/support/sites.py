"""Two or more sites of one ward: real hubs that exchange over mutual TLS."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bridge.core.journal.layout import CLASSES
from tests.support.hub import FakeGateway, WritePath
from tests.support.hub_process import HubProcess, Online
from tests.support.processes import free_port
from tests.support.secure_site import HOST, make_authority, now
from vitalkeep.hub.sectors import Place, Stored
from vitalkeep.hub.store import Store, tables
from vitalkeep.keys import derive
from vitalkeep.keys.vault import Vault

PATIENCE_S = 60


def recorded() -> FakeGateway:
    """Return a gateway with 4 sealed sectors of class A, 1 of B, and open ones."""
    made = FakeGateway(sectors=40)
    made.fill(4)
    made.fill(1, cls=1)
    made.observe(2)
    return made


class Ward:
    """The authority, and a folder and settings for each site.

    names  of the sites, for example "east": its hub is hub-east
    more   lines of [exchange] for all
    """

    def __init__(
        self, root: Path, gateways: list[FakeGateway], names: str, more: str = ""
    ) -> None:
        self.root = root
        self.names = names.split()
        self.authority, self.signer = make_authority(root / "ca")
        self.ports = {name: free_port() for name in self.names}
        for name in self.names:
            self.issue("hub", name)
            vault = Vault.create(root / name / "vault", name)
            for gateway in gateways:
                vault.add_gateway(gateway.id, "Bed", gateway.root, gateway.log_id)
            self.configure(name, [other for other in self.names if other != name], more)

    def issue(self, role: str, name: str, *, hosts: tuple[str, ...] = (HOST,)) -> Path:
        """Issue a certificate and return the folder of its files."""
        folder = self.root / f"tls-{role}-{name}"
        self.authority.issue(self.signer, role, name, now(), hosts).write(folder)
        return folder

    def configure(self, name: str, peers: list[str], more: str = "", deaf: bool = False) -> None:
        """Write a site's settings; a deaf one answers its peers and reaches none of them."""
        tls = self.root / f"tls-hub-{name}"
        text = f'[exchange]\nlisten = "{HOST}:{self.ports[name]}"\n{more}\n'
        text += f'ca = "{tls}/ca.pem"\ncertificate = "{tls}/certificate.pem"\n'
        text += f'key = "{tls}/key.pem"\ncrl = "{self.root}/ca/crl.pem"\n'
        for peer in peers:
            text += f'\n[[exchange.peers]]\nname = "hub-{peer}"\n'
            text += f'url = "https://{HOST}:{1 if deaf else self.ports[peer]}"\n'
        (self.root / name / "hub.toml").write_text(text)

    def hub(self, name: str, *more: str) -> HubProcess:
        folder = self.root / name
        return HubProcess(folder, "--config", str(folder / "hub.toml"), *more)

    def store(self, name: str) -> Store:
        """Return the site's store, opened beside its hub."""
        made = Store(f"sqlite:///{self.root / name / 'hub.db'}")
        made.open()
        return made

    def record(self, name: str, gateway: FakeGateway, sectors: int = 1000) -> None:
        """Put what a gateway has into a site's store, with no hub running.

        sectors  of each class at most
        """
        folder = self.root / name
        vault = Vault.open(folder / "vault")
        store = self.store(name)
        path = WritePath(vault, store)
        try:
            for cls in range(len(CLASSES)):
                for number in range(min(sectors, gateway.journal.newest(cls)[0] + 1)):
                    path.send(*gateway.sector_runs(cls, number))
        finally:
            path.intake.close()
            store.close()

    def heads(self, name: str) -> list[dict[str, Any]]:
        store = self.store(name)
        try:
            return store.heads()
        finally:
            store.close()

    def wipe(self, name: str) -> None:
        """Lose the site's store; its hub is not running."""
        for path in (self.root / name).glob("hub.db*"):
            path.unlink()


def stored(store: Store) -> dict[Place, Stored]:
    """Return all that a store has."""
    with store.reading() as connection:
        places = [tables.place_of(row) for row in connection.execute(sa.select(tables.sectors))]
    return {place: found for place, found in store.read_back(places).items() if found}


def deliver(gateway: FakeGateway, hub: HubProcess) -> Online:
    """Let a gateway deliver all it has to one hub."""
    gateway.site = bytes.fromhex(hub.where["site"])
    gateway.receipt_key = derive.receipt_key(gateway.root, gateway.id, gateway.site)
    gateway.connect()
    online = Online(gateway, hub.broker)
    online.talk(online.settled, PATIENCE_S)
    return online


def exchange_of(hub: HubProcess) -> dict[str, Any]:
    return hub.health().get("exchange", {})


def peer_of(hub: HubProcess, name: str) -> dict[str, Any]:
    """Return what a hub says of one peer."""
    for peer in exchange_of(hub).get("peers", []):
        if peer["name"] == f"hub-{name}":
            return peer
    return {}


def wait_for(condition: Callable[[], Any], what: Callable[[], Any] | None = None) -> Any:
    """Return what a condition returns once it is true; raises with `what()` after a minute."""
    until = time.monotonic() + PATIENCE_S
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(what() if what else "it did not come true")
        time.sleep(0.1)
