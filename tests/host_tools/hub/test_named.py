"""The page is shown under the hub's own names alone."""

import asyncio
import socket
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from starlette.responses import PlainTextResponse

from tests.support.hub_process import HubProcess
from vitalkeep.hub.named import Named


def ask(*hosts):
    """Return the status that requests with these Host headers get, and how many were refused."""
    refused, sent = [], []
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/ward",
        "headers": [(b"host", host.encode("latin-1")) for host in hosts],
    }

    async def send(message):
        sent.append(message)

    app = Named(PlainTextResponse("values"), ["Ward.hospital.example"], lambda: refused.append(1))
    asyncio.run(app(scope, None, send))
    return sent[0]["status"], len(refused)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8321", "127.0.0.1", "[::1]:8321", "[::1]", "::1", "10.0.0.5:80", "localhost",
        "LOCALHOST:8321", socket.gethostname(), "ward.hospital.example",
        "ward.hospital.EXAMPLE:443",
    ],
)  # fmt: skip
def test_addresses_and_names_that_are_its_own_get_in(host):
    assert ask(host) == (200, 0)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8321", "127.0.0.1.evil.example", "localhost.evil.example",
        "xward.hospital.example", "ward.hospital.example.", "", ":8321", "127.0.0.1@evil.example",
        "localhost evil.example", "[::1]evil.example", "127.1", "0x7f000001", "é",
    ],
)  # fmt: skip
def test_names_of_others_are_turned_away_and_counted(host):
    assert ask(host) == (421, 1)
    assert ask("127.0.0.1", host) == (421, 1)


def test_programs_that_say_no_name_get_in():
    assert ask() == (200, 0)


def test_a_hub_turns_them_away(tmp_path, vault):
    vault._write()
    named = tmp_path / "hub.toml"
    named.write_text('[page]\nnames = ["ward.hospital.example"]\n')
    with HubProcess(tmp_path, "--config", str(named)) as hub:
        connection = HTTPConnection(urlsplit(hub.where["http"]).netloc, timeout=5)

        def get(path, host):
            connection.request("GET", path, headers={"host": host})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

        for path in ("/", "/api/ward", "/events", "/metrics"):
            status, text = get(path, "evil.example")
            assert (status, "[page]" in text) == (421, True)
        assert get("/api/ward", "ward.hospital.example:443")[0] == 200
        refused = 'vitalkeep_hub_page_refused_total{why="name"} 4.0'
        assert refused in get("/metrics", "localhost")[1].splitlines()
