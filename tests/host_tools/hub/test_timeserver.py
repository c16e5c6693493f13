"""The site's answers to gateways that ask for the time."""

import socket
import time
from datetime import datetime, timezone

import pytest

from bridge.core import timewire
from tests.support.hub import FakeGateway
from tests.support.hub_process import HubProcess
from vitalkeep.hub.timeserver import TimeServer, clock_sync

NOW_MS = 1_790_000_000_123
NONCE = b"noncenon"


@pytest.fixture
def gateway(vault):
    return FakeGateway(site=vault.site_id)


@pytest.fixture
def server(vault):
    return TimeServer(vault, sync=lambda: timewire.SYNC_LOST)


def question(gateway, nonce=NONCE, key=None):
    return timewire.pack_question(key or gateway.uplink_key, gateway.id, nonce)


def test_a_known_gateway_gets_an_answer_to_its_own_question(server, gateway):
    payload = server.answer(question(gateway), NOW_MS)
    found = timewire.parse_answer(payload, gateway.receipt_key, gateway.id)
    assert (found.site, found.nonce, found.utc_ms) == (gateway.site, NONCE, NOW_MS)
    assert found.sync == timewire.SYNC_LOST
    assert len(payload) <= len(question(gateway))
    assert server.counters == {"answered": 1}


def test_whoever_is_not_of_the_vault_gets_nothing_and_is_counted(server, gateway):
    stranger = FakeGateway(id=b"stranger", site=gateway.site)
    for payload, name in (
        (question(stranger), "unknown"),
        (question(gateway, key=b"x" * 32), "forged"),
        (question(gateway)[:-1], "malformed"),
        (question(gateway) + b"\0", "malformed"),
        (b"", "malformed"),
        (b"VQ\x02" + question(gateway)[3:], "malformed"),
        (server.answer(question(gateway), NOW_MS), "malformed"),
    ):
        before = server.counters[name]
        assert server.answer(payload, NOW_MS) is None
        assert server.counters[name] == before + 1


def test_only_so_many_questions_are_looked_at_in_a_second(server, gateway):
    forged = question(gateway, key=b"x" * 32)
    for _ in range(2000):
        assert server.answer(forged, NOW_MS) is None
    assert server.counters["forged"] + server.counters["flooded"] == 2000
    assert server.counters["forged"] <= 500
    assert server.answer(question(gateway), NOW_MS) is None
    assert server.answer(question(gateway), NOW_MS + 1000) is not None


def test_gateways_that_were_provisioned_meanwhile_are_answered(server, gateway, vault):
    stranger = FakeGateway(id=b"newcomer", site=gateway.site)
    assert server.answer(question(stranger), NOW_MS) is None
    vault.add_gateway(stranger.id, "Bed 2", stranger.root, stranger.log_id)
    server.set_vault(vault)
    assert server.answer(question(stranger), NOW_MS) is not None


def test_revoked_gateway_is_not_answered(server, gateway, vault):
    vault.revoke(gateway.id, datetime(2026, 3, 14, tzinfo=timezone.utc))
    server.set_vault(vault)
    assert server.answer(question(gateway), NOW_MS) is None


def test_what_the_kernel_says_of_this_clock_is_one_of_three(server):
    assert clock_sync() in (timewire.SYNC_UNKNOWN, timewire.SYNC_LOST, timewire.SYNC_GOOD)


def ask(hub, payload):
    host, port = hub.where["time"].split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(payload, (host, int(port)))
        return sock.recv(200)


def test_the_hub_tells_the_time_and_counts_who_asked(tmp_path, vault, gateway):
    vault._write()
    with HubProcess(tmp_path) as hub:
        payload = ask(hub, question(gateway))
        found = timewire.parse_answer(payload, gateway.receipt_key, gateway.id)
        assert abs(found.utc_ms - time.time() * 1000) < 5000
        assert hub.get("/api/health")["time"] == {"answered": 1}


def test_the_hub_tells_no_time_when_it_is_told_so(tmp_path, vault):
    vault._write()
    with HubProcess(tmp_path, "--time", "none") as hub:
        assert hub.where["time"] is None


def test_a_port_that_is_taken_is_an_error_when_it_was_asked_for(tmp_path, vault):
    vault._write()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(RuntimeError, match="the time cannot be told on"):
            HubProcess(tmp_path, "--time", f"127.0.0.1:{port}").__enter__()
