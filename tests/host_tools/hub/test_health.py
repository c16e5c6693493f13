"""What monitoring asks of a hub: metrics, readiness, logs, and what systemd is told."""

import json
import re
import signal
import socket
import sqlite3
import time
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.hub import FakeGateway
from tests.support.hub_process import HubProcess, Online
from vitalkeep.hub.broker import free_port

_PATIENCE_S = 30


@pytest.fixture
def gateway(vault):
    vault._write()
    return FakeGateway(site=vault.site_id)


def ask(hub, path):
    """Return (status, text) of an address."""
    try:
        with urlopen(hub.where["http"] + path, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def wait_ready(hub, ready=True):
    """Wait until the hub is ready, or is not; returns why not."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        status, text = ask(hub, "/readyz")
        found = json.loads(text)
        assert (status == 200) == found["ready"] == (not found["why"])
        if found["ready"] == ready:
            return found["why"]
        assert time.monotonic() < deadline, text
        time.sleep(0.1)


def metrics(hub):
    """Return {(sample name, its labels): value}."""
    _, text = ask(hub, "/metrics")
    families = list(text_string_to_metric_families(text))
    return families, {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics_say_what_happened_by_names_of_the_rules(tmp_path, gateway):
    with HubProcess(tmp_path) as hub:
        gateway.fill(1)
        online = Online(gateway, hub.broker)
        online.talk(online.settled)
        topic, payload = gateway.heartbeat()
        online.client.publish(topic, payload[:-1] + bytes((payload[-1] ^ 1,)))
        wait_ready(hub)
        deadline = time.monotonic() + _PATIENCE_S
        while ("vitalkeep_hub_refusals_total", "wrong_tag") not in metrics(hub)[1]:
            assert time.monotonic() < deadline
        families, found = metrics(hub)
    assert found["vitalkeep_hub_refusals_total", "wrong_tag"] == 1
    assert found["vitalkeep_hub_messages_total", "runs"] > 0
    assert found["vitalkeep_hub_stored_bytes_total", "A"] > 4096
    assert found["vitalkeep_hub_sectors_closed_total", "A"] == 1
    assert found["vitalkeep_hub_gateways", "up"] == 1
    assert found[("vitalkeep_hub_ready",)] == 1
    for name in ("commit", "receipt"):
        assert found[(f"vitalkeep_hub_{name}_seconds_count",)] > 0
        assert found[(f"vitalkeep_hub_{name}_seconds_sum",)] > 0
    ours = [family for family in families if family.name.startswith("vitalkeep_")]
    assert len(ours) > 20
    for family in ours:
        assert re.fullmatch(r"[a-z][a-z_]*[a-z]", family.name)
        assert family.documentation
        assert not re.search(r"_(ms|kb|mb|days|percent|minutes)(_|$)", family.name), family.name


def test_outage_and_history_are_there_for_programs(tmp_path, gateway):
    with HubProcess(tmp_path) as hub:
        online = Online(gateway, hub.broker)
        gateway.observe()
        online.talk(online.settled)
        deadline = time.monotonic() + _PATIENCE_S
        # Nothing more is heard: an outage of class A that goes on, and its length grows.
        while metrics(hub)[1].get(("vitalkeep_hub_outages",)) != 1:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert metrics(hub)[1]["vitalkeep_hub_lag_seconds", "A"] > 5
        found = hub.get("/api/attained?days=1")  # it is asked again until it was summed
        assert found["classes"]["A"]["plan"] == {"rto_s": 300, "rpo_s": 10}
        assert hub.get(f"/api/history?gateway={gateway.id.hex()}")["hours"] == []
        for path in ("attained?days=2", "attained?days=x", "history", "history?gateway=x&days=1"):
            assert ask(hub, f"/api/{path}")[0] == 400
    with sqlite3.connect(tmp_path / "hub.db") as database:
        (row,) = database.execute("SELECT cls, end_ms, cause FROM outages").fetchall()
    assert row[:2] == (0, None)
    with HubProcess(tmp_path) as hub:  # it goes on over a restart, until current values are back
        gateway.connect()
        online = Online(gateway, hub.broker)
        gateway.clock.now_ms += 20_000
        gateway.observe()
        online.talk(online.settled)
        deadline = time.monotonic() + _PATIENCE_S
        with sqlite3.connect(tmp_path / "hub.db") as database:
            while (
                database.execute("SELECT count(*) FROM outages WHERE end_ms > 0").fetchone()[0] < 1
            ):
                assert time.monotonic() < deadline
                time.sleep(0.2)


def test_ready_means_store_and_broker(tmp_path, gateway):
    with HubProcess(tmp_path, "--broker", f"mqtt://127.0.0.1:{free_port()}") as hub:
        assert "broker" in wait_ready(hub, False)[0]
        assert ask(hub, "/healthz")[0] == 200
    with HubProcess(tmp_path) as hub:
        wait_ready(hub)
        with sqlite3.connect(tmp_path / "hub.db") as other:
            other.execute("BEGIN IMMEDIATE")
            why = wait_ready(hub, False)
            assert re.search("locked|write|commit|store", why[0])
            assert ask(hub, "/healthz") == (200, "alive\n")
            assert metrics(hub)[1][("vitalkeep_hub_ready",)] == 0
        wait_ready(hub)


@pytest.mark.parametrize("replaced", [False, True])
def test_database_file_that_was_taken_away_is_noticed_and_nothing_is_receipted(
    tmp_path, gateway, replaced
):
    with HubProcess(tmp_path) as hub:
        online = Online(gateway, hub.broker)
        online.talk(online.settled)
        wait_ready(hub)
        database, away = tmp_path / "hub.db", tmp_path / "away.db"
        database.rename(away)
        if replaced:
            database.write_bytes(away.read_bytes())
        gateway.observe()
        number, end = gateway.journal.newest(0)

        def receipted():
            entries = [entry for receipt in online.receipts for entry in receipt.entries]
            return any(entry[:3] == (0, number, end) for entry in entries)

        online.beat()
        why = wait_ready(hub, False)  # though nobody sends anything
        assert any("hub.db was moved, removed or replaced" in text for text in why)
        assert any("put back the file" in text for text in why)
        online.talk(lambda: not hub.health()["receipting"])
        assert not receipted()
        away.replace(database)
        wait_ready(hub)
        online.talk(receipted, 30)


@pytest.mark.parametrize("replaced", [False, True])
def test_log_of_the_database_that_was_taken_away_is_noticed_and_nothing_of_it_is_lost(
    tmp_path, gateway, replaced
):
    with HubProcess(tmp_path) as hub:
        online = Online(gateway, hub.broker)
        gateway.observe()
        online.talk(online.settled)
        wait_ready(hub)
        (tmp_path / "hub.db-wal").unlink()
        if replaced:
            (tmp_path / "hub.db-wal").touch()
        gateway.observe()
        number, end = gateway.journal.newest(0)

        def receipted():
            entries = [entry for receipt in online.receipts for entry in receipt.entries]
            return any(entry[:3] == (0, number, end) for entry in entries)

        why = wait_ready(hub, False)  # though nobody sends anything
        assert any("hub.db-wal was moved, removed or replaced" in text for text in why)
        online.talk(lambda: not hub.health()["receipting"])
        assert not receipted()
        hub.stop(signal.SIGKILL)
    with HubProcess(tmp_path) as hub:
        online = Online(gateway, hub.broker)
        online.talk(online.settled)
        wait_ready(hub)


def test_reserve_that_is_reached_is_not_ready(tmp_path, gateway):
    config = tmp_path / "hub.toml"
    config.write_text("[room]\nreserve_mb = 1000000000\n")
    with HubProcess(tmp_path, "--config", str(config)) as hub:
        assert any("full" in why for why in wait_ready(hub, False))


def test_logs_are_json_and_hold_no_values_and_no_secrets(tmp_path, vault, gateway, monkeypatch):
    # A word in each of what must not be seen: a value, an alarm, a device, a password, a key.
    monkeypatch.setenv("VK_TEST_PASSWORD", "hunter2hunter2")
    config = tmp_path / "hub.toml"
    config.write_text(
        '[broker]\nurl = "mqtt://hub@127.0.0.1:1"\npassword = "env:VK_TEST_PASSWORD"'
    )
    with HubProcess(tmp_path, "--config", str(config), "--log-json", "--verbose") as hub:
        wait_ready(hub, False)
        hub.stop()
    first = (tmp_path / "hub.err").read_text()
    with HubProcess(tmp_path, "--log-json", "--verbose") as hub:
        gateway.observe(0, 0, p1=7321)
        gateway.alarm("Apnoea of Mr Miller")
        online = Online(gateway, hub.broker)
        online.talk(online.settled)
        topic, payload = gateway.heartbeat()
        online.client.publish(topic, payload[:-1] + b"x")
        online.client.publish(topic, b"garbage 7321")
        with pytest.raises(HTTPError):
            urlopen(hub.where["http"] + "/api/account?minutes=7321", timeout=5)
        hub.stop()
    text = first + (tmp_path / "hub.err").read_text()
    entries = [json.loads(line) for line in text.splitlines()]
    assert any(entry["level"] == "warning" for entry in entries)
    assert all({"time", "level", "logger", "message"} <= set(entry) for entry in entries)
    root = gateway.vault_entry().root.hex()
    for secret in ("7321", "732.1", "Miller", "Apnoea", "vent", "hunter2", root, root[:16]):
        assert secret not in text


def test_systemd_hears_ready_alive_and_why(tmp_path, gateway, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(_PATIENCE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "600000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        with HubProcess(tmp_path) as hub:
            assert manager.recv(4096) == b"READY=1"
            heard = b""
            while b"STATUS=receipting" not in heard:
                heard = manager.recv(4096)
                assert heard.startswith(b"WATCHDOG=1\n")
            hub.stop()
            while heard != b"STOPPING=1":
                heard = manager.recv(4096)
