"""The whole hub as a child process, with its own broker and with mosquitto."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.support.hub import FakeGateway
from tests.support.hub_process import HubProcess, Online


@pytest.fixture(params=["embedded", pytest.param("mosquitto", marks=pytest.mark.mosquitto)])
def hub(request, tmp_path, vault):
    arguments = []
    if request.param == "mosquitto":
        arguments = ["--broker", request.getfixturevalue("mosquitto")]
    with HubProcess(tmp_path, *arguments) as made:
        yield made


@pytest.fixture
def gateway(vault):
    return FakeGateway(site=vault.site_id)


@pytest.fixture
def vault(vault):
    # The file must say which site it is: the child reads it.
    vault._write()
    return vault


def test_gateway_is_receipted_and_seen(hub, gateway):
    gateway.clock.now_ms = 1000
    gateway.fill(2)
    online = Online(gateway, hub.broker)
    online.talk(online.settled)
    assert gateway.sender.mismatches == 0
    assert gateway.whole == [(0, 0), (0, 1)]

    def seen():
        return {v[0] for d in hub.get("/api/ward")["beds"][0]["devices"] for v in d["values"]}

    # Values are decoded right after their receipt.
    online.talk(lambda: "SpO2" in seen())
    ward = hub.get("/api/ward")
    (bed,) = ward["beds"]
    assert bed["bed"] == "Bed 1"
    assert bed["link"] == "up"
    device = next(found for found in bed["devices"] if found["name"] == "vent")
    assert device["cls"] == "A"
    assert {value[0] for value in device["values"]} >= {"SpO2", "PR"}
    assert abs(ward["now"] - device["at"]) < 5000
    health = hub.get("/api/health")
    assert health["receipting"]
    assert health["broker"]["connected"]
    assert health["counters"]["runs"] > 0

    def accounted():
        return hub.get("/api/account?minutes=60")["beds"][gateway.id.hex()]["classes"]

    # The backlog is decoded soon after its receipts.
    online.talk(lambda: accounted()["A"]["stored_s"] > 0 and not accounted()["A"]["gap_s"], 60)
    classes = accounted()
    assert classes["A"]["gap_s"] == 0


def test_hub_killed_midway_loses_nothing_that_it_receipted(tmp_path, vault, gateway):
    gateway.fill(2)
    with HubProcess(tmp_path) as hub:
        online = Online(gateway, hub.broker)
        online.talk(lambda: len(online.receipts) > 2)
        port = hub.broker[1]
        hub.child.kill()
    said = {(e[0], e[1]): e[2] for receipt in online.receipts for e in receipt.entries}
    with sqlite3.connect(tmp_path / "hub.db") as connection:
        rows = connection.execute("SELECT cls, sector, length FROM sectors").fetchall()
    stored = {(cls, sector): length for cls, sector, length in rows}
    assert all(stored[place] >= length for place, length in said.items())
    # The broker ends with the hub that started it.
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                break
        time.sleep(0.05)
    else:
        pytest.fail("the embedded broker outlived the hub")
    with HubProcess(tmp_path) as hub:
        gateway.connect()
        online = Online(gateway, hub.broker)
        online.talk(online.settled)
    assert gateway.sender.mismatches == 0


def test_story_tells_of_a_cut_and_of_power(hub, gateway):
    online = Online(gateway, hub.broker)
    online.talk(online.settled)
    time.sleep(6.5)
    assert hub.get("/api/ward")["beds"][0]["link"] == "down"
    gateway.boot()
    gateway.sender.restart()
    online.talk(online.settled)
    texts = " | ".join(line["text"] for line in hub.get("/api/ward")["story"])
    assert "No heartbeat for 6 s" in texts
    assert "it was without power" in texts
    assert "Gateway started" in texts


def test_unknown_gateway_is_named(hub, gateway):
    stranger = FakeGateway(b"stranger")
    online = Online(stranger, hub.broker)
    deadline = time.monotonic() + 10
    while stranger.id.hex() not in hub.get("/api/health")["strangers"]:
        assert time.monotonic() < deadline
        online.beat()  # as gateways do: the hub may not have subscribed yet at the first
        time.sleep(0.5)


def test_gateway_provisioned_while_the_hub_runs(hub, vault):
    other = FakeGateway(b"gateway2", site=vault.site_id)
    vault.add_gateway(other.id, "Bed 2", other.root, other.log_id)
    deadline = time.monotonic() + 10
    while len(hub.get("/api/ward")["beds"]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    online = Online(other, hub.broker)
    online.talk(online.settled)


def test_events_begin_with_a_snapshot_and_go_on(hub, gateway):
    online = Online(gateway, hub.broker)
    with urlopen(hub.where["http"] + "/events", timeout=5) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")

        def event():
            name = None
            for raw in stream:
                line = raw.decode().rstrip("\r\n")
                if line.startswith("event:"):
                    name = line[6:].strip()
                elif line.startswith("data:"):
                    return name, json.loads(line[5:])
            raise EOFError

        name, data = event()
        assert name == "snapshot"
        assert {"now", "beds", "story", "health", "stale_s"} <= set(data)
        online.talk(online.settled)
        seen = [event()[0] for _ in range(2)]
    assert "beds" in seen or "story" in seen


def test_page_is_read_only_and_sealed_off(hub):
    with urlopen(hub.where["http"] + "/", timeout=5) as answer:
        policy = answer.headers["content-security-policy"]
        text = answer.read().decode()
    assert "default-src 'self'" in policy
    assert "http://" not in text
    assert "https://" not in text
    for path in ("/", "/api/ward", "/events"):
        with pytest.raises(HTTPError, match="405"):
            urlopen(Request(hub.where["http"] + path, method="POST", data=b""), timeout=5)
    with pytest.raises(HTTPError, match="400"):
        hub.get("/api/account?minutes=x")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stops_cleanly(tmp_path, vault, number):
    ready = tmp_path / "ready.json"
    with HubProcess(tmp_path, "--ready-file", str(ready)) as hub:
        assert json.loads(ready.read_text()) == hub.where
        with urlopen(hub.where["http"] + "/events", timeout=5):
            assert hub.stop(number) == 0
    assert (tmp_path / "hub.err").read_text() == ""
    assert not ready.exists()


def run_hub(*arguments):
    command = [sys.executable, "-m", "vitalkeep", "hub", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_port_in_use_is_two_lines(tmp_path, vault):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_hub("--data", tmp_path, "--broker-port", 0, "--http", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2
    assert f"127.0.0.1:{port}" in done.stderr
    done = run_hub("--data", tmp_path, "--http", "nowhere")
    assert "want host:port" in done.stderr


def test_missing_vault_and_open_vault_are_refused(tmp_path):
    done = run_hub("--data", tmp_path)
    assert done.returncode == 1
    assert "there is no vault" in done.stderr
    assert len(done.stderr.splitlines()) == 2
    os.makedirs(tmp_path / "vault", mode=0o755)
    (tmp_path / "vault" / "vault.json").write_text("{}")
    assert "lets others in" in run_hub("--data", tmp_path).stderr


def test_new_vault_starts_an_empty_site(tmp_path):
    with HubProcess(tmp_path, "--new-vault", "--no-page") as hub:
        assert hub.where["http"] is None
        assert len(hub.where["site"]) == 16
