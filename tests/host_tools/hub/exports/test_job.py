"""Archive and exports of a site with several workers: one does each, and a kill costs nothing."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.fleet import Fleet
from tests.support.hub_process import Client, HubProcess
from vitalkeep.errors import ToolError
from vitalkeep.hub.config.load import parse
from vitalkeep.hub.exports.settings import ExportSettings
from vitalkeep.hub.store import Store
from vitalkeep.keys.vault import Vault

SOON_S = 60
NOW_MS = 1_700_000_000_000


class Site:
    """A broker, a database, a vault, gateways, and workers with an archive and exports."""

    def __init__(self, root: Path, broker: str, database: str) -> None:
        self.root, self.broker, self.database = root, broker, database
        self.vault = Vault.create(root / "vault")
        host, port = broker.removeprefix("mqtt://").split(":")
        self.fleet = Fleet(3, self.vault, lambda name: Client(host, int(port), name))
        for member in self.fleet.members:
            member.gateway.set_clock(NOW_MS)
        self.store = Store(database)
        self.stack = ExitStack()
        for name in ("archive", "exports"):
            (root / name).mkdir()

    def worker(self, name: str) -> HubProcess:
        folder = self.root / name
        folder.mkdir()
        (folder / "hub.toml").write_text(
            f'[cluster]\nworker = "{name}"\nterm_s = 2.0\n[duties]\nterm_s = 2.0\n'
            f'[archive]\naddress = "file://{self.root}/archive"\n'
            f'[exports]\naddress = "file://{self.root}/exports"\nevery_min = 0.01\n'
        )
        hub = HubProcess(
            folder, "--vault", str(self.root / "vault"), "--broker", self.broker,
            "--database", self.database, "--config", str(folder / "hub.toml"),
        )  # fmt: skip
        return self.stack.enter_context(hub)

    def exported(self) -> list[str]:
        """Return the ids in all files, and check that no number comes twice."""
        files = sorted((self.root / "exports").glob("*/*.ndjson"))
        numbers = [path.name.partition("-")[0] for path in files]
        assert len(numbers) == len(set(numbers))
        return [json.loads(line)["id"] for path in files for line in path.open()]

    def stored(self) -> int:
        return sum(
            len(row["readings"])
            for member in self.fleet.members
            for row in self.store.observations(member.gateway.id, count=10**6)
        )


@pytest.fixture
def site(tmp_path: Path, mosquitto: str, postgres: str) -> Iterator[Site]:
    made = Site(tmp_path, mosquitto, postgres)
    try:
        yield made
    finally:
        made.fleet.close()
        made.stack.close()
        made.store.close()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def has(hub: HubProcess, duty: str) -> bool:
    return hub.health().get("duties", {}).get(duty, {}).get("here", False)


@pytest.mark.mosquitto
@pytest.mark.postgres
def test_one_worker_does_each_and_when_it_is_killed_another_goes_on(site: Site) -> None:
    hubs = {name: site.worker(name) for name in ("one", "two")}
    duties = ("archive", "exports")

    def holders() -> list[list[str]]:
        return [[name for name, hub in hubs.items() if has(hub, duty)] for duty in duties]

    wait_for(lambda: all(len(found) == 1 for found in holders()))
    fleet = site.fleet
    until = time.monotonic() + 2
    fleet.serve(lambda: time.monotonic() > until, SOON_S, every_s=0.1)
    wait_for(lambda: len(site.exported()) > 0)
    archive = hubs[holders()[0][0]]
    wait_for(lambda: archive.health()["archive"]["backups"]["A"]["count"] == 1)
    backups = [len(site.store.backups(cls)) for cls in range(3)]
    assert backups == [1, 1, 1], "each class once, not once a worker"
    killed = hubs.pop(holders()[1][0])
    killed.child.send_signal(signal.SIGKILL)
    killed.child.wait()
    until = time.monotonic() + 1
    fleet.serve(lambda: time.monotonic() > until, SOON_S, every_s=0.1)
    fleet.serve(fleet.settled, SOON_S)
    (left,) = hubs.values()
    wait_for(lambda: has(left, "archive") and has(left, "exports"))
    wait_for(lambda: len(site.exported()) == site.stored())
    assert len(set(site.exported())) == site.stored()
    assert left.health()["duties"]["exports"]["term"] >= 2
    assert {export.term for export in site.store.exports(10**6)} >= {1, 2}
    story = [line["text"] for line in left.get("/api/ward")["story"]]
    assert any("Exports are written from here now, in term" in text for text in story)


def test_settings_are_checked() -> None:
    found = parse('[exports]\naddress = "file:///x"\nform = "csv"\n')[ExportSettings]
    assert (found.form, found.every_min) == ("csv", 15)
    for wrong, why in (
        ("[exports]\nkey = 'env:X'", "belong together"),
        ("[exports]\nform = 'hl7'", "one of fhir, csv"),
        ("[exports]\nevery_min = 0", r"0\.01 min or more"),
    ):
        with pytest.raises(ToolError, match=why):
            parse(wrong)
