"""The hub over TLS with a real broker, and what it says of certificates that are about to end."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.hub import FakeGateway
from tests.support.hub_process import HubProcess, Online
from tests.support.needs import find_program
from tests.support.processes import answers, running
from tests.support.secure_site import HOST, SecureSite, as_pem
from vitalkeep.errors import ToolError
from vitalkeep.hub.tls import Identity, Watch
from vitalkeep.keys.vault import Vault

NOW = dt.datetime(2026, 3, 14, tzinfo=dt.timezone.utc)


def options(site: SecureSite, folder: Path | None = None) -> list[str]:
    where = folder or site.hub
    made = ["--broker", f"mqtts://{HOST}:{site.port}"]
    for name in ("ca", "certificate", "key"):
        made += [f"--{name}", str(where / f"{name}.pem")]
    return made


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    made = Vault.create(tmp_path / "vault")
    entry = FakeGateway().vault_entry()
    made.add_gateway(entry.id, entry.bed, entry.root, entry.logs[0])
    return made


@pytest.mark.mosquitto
def test_hub_receipts_over_mutual_tls_and_warns_of_what_ends(tmp_path: Path, vault: Vault) -> None:
    gateway = FakeGateway(site=vault.site_id)
    site = SecureSite(tmp_path / "site", "mosquitto")
    site.issue("site", "primary", site.folder / "tls", (HOST,), days=9)
    name = gateway.id.hex()
    site.gateway(name, tmp_path / "gateway")
    context = site.context(as_pem(tmp_path / "gateway"))
    with site.running(), HubProcess(tmp_path, *options(site)) as hub:
        assert hub.where["broker"] == f"mqtts://{HOST}:{site.port}"
        online = Online(gateway, hub.broker, context)
        online.talk(online.settled)
        assert online.receipts
        until(lambda: hub.get("/api/health")["certificate_days"].get("broker") == 8)
        days = hub.get("/api/health")["certificate_days"]
        assert days["hub"] == 89
        texts = [line["text"] for line in hub.get("/api/ward")["story"]]
        assert "The certificate of the broker ends in 8 days: renew it" in texts
        assert not any("show no certificate" in text for text in texts)
        assert "broker_open" not in hub.get("/api/health")["counters"]


@pytest.mark.mosquitto
def test_broker_that_lets_anyone_in_is_told(tmp_path: Path, vault: Vault) -> None:
    site = SecureSite(tmp_path / "site", "mosquitto")
    site.configure()
    config = site.folder / "open.conf"
    config.write_text(
        f"listener {site.port} {HOST}\nallow_anonymous true\nuser root\nlog_dest stderr\n"
        f"certfile {site.folder}/tls/certificate.pem\nkeyfile {site.folder}/tls/key.pem\n"
    )
    program = find_program("mosquitto")
    assert program is not None
    command = [program, "-c", str(config)]
    with (
        running(command, site.folder / "log", lambda: answers(site.port)),
        HubProcess(tmp_path, *options(site)) as hub,
    ):
        until(lambda: hub.get("/api/health")["counters"].get("broker_open"))
        texts = [line["text"] for line in hub.get("/api/ward")["story"]]
        assert any("show no certificate" in text for text in texts)


@pytest.mark.mosquitto
def test_hub_connects_to_no_broker_but_the_wards(tmp_path: Path, vault: Vault) -> None:
    site = SecureSite(tmp_path / "site", "mosquitto", hosts=("broker.test",))
    with site.running(), HubProcess(tmp_path, *options(site)) as hub:
        until(lambda: hub.health()["broker"]["last_error"])
        health = hub.health()
        assert "certificate verify failed" in health["broker"]["last_error"]
        assert not health["broker"]["connected"]


def test_watch_says_each_end_once_a_day() -> None:
    watch = Watch()
    ends = {"hub": NOW + dt.timedelta(days=28, hours=1), "authority": NOW + dt.timedelta(days=900)}
    assert watch.look(ends, NOW) == ["The certificate of the hub ends in 28 days: renew it"]
    assert watch.look(ends, NOW + dt.timedelta(minutes=30)) == []
    later = NOW + dt.timedelta(days=27)
    assert watch.look(ends, later) == ["The certificate of the hub ends in 1 day: renew it"]
    late = NOW + dt.timedelta(days=30)
    assert watch.look(ends, late) == ["The certificate of the hub has ended: renew it"]
    assert watch.days == {"hub": -2, "authority": 870}


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    identity = Identity(*(tmp_path / f"{name}.pem" for name in ("ca", "certificate", "key")))
    with pytest.raises(ToolError, match=r"ca\.pem: there is no such file"):
        identity.context()
    site = SecureSite(tmp_path / "site", "mosquitto")
    mixed = Identity(
        site.hub / "ca.pem", site.hub / "certificate.pem", site.folder / "tls" / "key.pem"
    )
    with pytest.raises(ToolError, match=r"key\.pem"):
        mixed.context()
    (site.hub / "key.pem").chmod(0o644)
    with pytest.raises(ToolError, match="lets others in"):
        Identity(site.hub / "ca.pem", site.hub / "certificate.pem", site.hub / "key.pem").context()
