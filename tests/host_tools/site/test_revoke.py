"""`vitalkeep revoke` at real brokers: a session that is open ends, and does not come back."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub_process import Client
from tests.support.secure_site import HOST, PASSPHRASE, SecureSite, as_pem, now
from vitalkeep import cli
from vitalkeep.hub.consume import FILTERS
from vitalkeep.keys.vault import Vault
from vitalkeep.site import revoke as revoking
from vitalkeep.site.known import Known, known_brokers, remember

A, B = "a" * 16, "b" * 16
BROKERS = [
    pytest.param("mosquitto", marks=pytest.mark.mosquitto),
    pytest.param("nats", marks=pytest.mark.nats),
]

# The folder is written with NATS's own port, which another test may have.
_RELOAD = """
import os, pathlib, signal, sys, time
path = pathlib.Path(sys.argv[1])
if path.exists():
    path.write_text(path.read_text().replace("port: 4222", "port: " + sys.argv[2]))
os.kill(int(sys.argv[3]), signal.SIGHUP)
time.sleep(0.3)  # it has read it by then, so no knock before that ends a session by chance
"""


class Ward:
    """A site whose broker runs, its vault with two gateways, and an engineer at his terminal."""

    def __init__(self, root: Path, broker: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.site = SecureSite(root / "site", broker)
        self.root = root
        self.capsys = capsys
        self.secret = root / "passphrase"
        self.secret.write_bytes(PASSPHRASE)
        self.secret.chmod(0o600)
        self.vault = Vault.create(root / "vault")
        for name in (A, B):
            self.vault.add_gateway(bytes.fromhex(name), "bed-" + name[0])
            self.site.gateway(name, root / name)

    @contextmanager
    def running(self, told: bool = True) -> Iterator[Ward]:
        with self.site.running() as site:
            script = self.root / "reload.py"
            script.write_text(_RELOAD)
            words = (script, site.folder / "nats.conf", site._own_port, site._process.pid)
            command = " ".join(map(str, (sys.executable, *words)))
            known = Known(
                site.folder.resolve(), site.broker, (HOST, site.port), self.vault.folder, "primary"
            )
            remember(site.authority, known, command if told else "")
            yield self

    def join(self, name: str) -> Client:
        context = self.site.context(as_pem(self.root / name))
        return Client(HOST, self.site.port, name, context)

    def revoke(self, name: str, *more: str, code: int = 0) -> dict[str, Any]:
        with pytest.raises(SystemExit) as ended:
            cli.main(
                ["revoke", name, "--json", "--ca", str(self.site.authority.folder),
                 "--passphrase-file", str(self.secret), *more]
            )  # fmt: skip
        said = self.capsys.readouterr()
        assert (ended.value.code or 0) == code, said.err + said.out
        return json.loads(said.out) if said.out else {"error": said.err}


class Stubborn(threading.Thread):
    """A gateway that comes back whenever its session ends, until nobody lets it in any more.

    sessions  that it had
    shut_out  set once it was refused
    """

    def __init__(self, ward: Ward, name: str) -> None:
        super().__init__(daemon=True)
        self.ward = ward
        self.id = name
        self.sessions = 0
        self.shut_out = threading.Event()
        self.inside = threading.Event()
        self.refused = 0
        self.start()
        assert self.inside.wait(10)

    def run(self) -> None:
        while self.refused < 5:
            try:
                client = self.ward.join(self.id)
            except (OSError, EOFError, TimeoutError, AssertionError):
                self.refused += 1
                continue
            self.refused = 0
            self.sessions += 1
            self.inside.set()
            try:
                while True:
                    client.publish(f"vk/{self.id}/health", b"here")
                    client.pump(0.1)
            except (OSError, EOFError):
                client.close()
        self.shut_out.set()


@pytest.fixture(params=BROKERS)
def ward(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Ward:
    return Ward(tmp_path, request.param, capsys)


def _states(said: dict[str, Any]) -> list[tuple[str, str]]:
    return [(deed["what"], deed["state"]) for deed in said["deeds"]]


def test_open_session_ends_and_does_not_come_back_and_others_go_on(ward: Ward) -> None:
    with ward.running():
        thief, other = Stubborn(ward, A), ward.join(B)
        hub = Client(HOST, ward.site.port, "hub", ward.site.context(ward.site.hub))
        hub.subscribe(*FILTERS)
        assert any(packet.topic == f"vk/{A}/health" for packet in hub.pump(5))
        began = time.monotonic()
        said = ward.revoke("bed-a")
        assert thief.shut_out.wait(30), "it is still let in"
        assert time.monotonic() - began < 60  # what is promised; it takes about a second
        assert (said["outcome"], said["gateway"]) == ("done", A)
        assert _states(said) == [
            ("vault", "done"), ("certificates", "done"), ("broker", "done"), ("session", "done"),
        ]  # fmt: skip
        while hub.pump(0.3):
            pass
        other.publish(f"vk/{B}/health", b"still here")
        assert [(p.topic, p.payload) for p in hub.pump(5)] == [(f"vk/{B}/health", b"still here")]
        live = [one.name for one in ward.site.authority.issued() if one.is_live(now())]
        assert A not in live
        assert B in live
        hub.close()
        other.close()
    ward.vault.reload()
    assert ward.vault.admitted() == [B]


def test_once_more_changes_nothing_and_proves_it_again(ward: Ward) -> None:
    with ward.running():
        ward.revoke(A)
        said = ward.revoke(A)
        assert _states(said) == [
            ("vault", "same"), ("certificates", "same"), ("broker", "done"), ("session", "done"),
        ]  # fmt: skip
        client = ward.join(B)
        client.close()
    assert "no such gateway" in ward.revoke("bed-z", code=1)["error"]


@pytest.mark.mosquitto
def test_broker_that_nobody_told_is_named_until_it_has_read_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revoking, "PROOF_S", 1.0)
    ward = Ward(tmp_path, "mosquitto", capsys)
    with ward.running(told=False):
        said = ward.revoke(A, code=3)
        assert said["outcome"] == "partly"
        failed = said["deeds"][-1]
        assert (failed["what"], failed["state"]) == ("session", "failed")
        assert "still takes" in failed["detail"]
        assert "HUP" in failed["hint"]
        monkeypatch.setattr(revoking, "PROOF_S", 30.0)
        is_done = threading.Event()

        def by_hand() -> None:
            while not is_done.wait(0.3):
                ward.site.signal_reload()

        engineer = threading.Thread(target=by_hand)
        engineer.start()
        try:
            assert ward.revoke(A)["outcome"] == "done"
        finally:
            is_done.set()
            engineer.join()
    remember(ward.site.authority, known_brokers(ward.site.authority)[0], "false")
    said = ward.revoke(A, code=3)
    assert "false: exit code 1" in said["deeds"][-1]["detail"]


@pytest.mark.mosquitto
def test_what_cannot_be_reached_stops_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revoking, "_REACH_S", 0.1)
    ward = Ward(tmp_path, "mosquitto", capsys)
    with ward.running():
        pass
    remember(ward.site.authority, known_brokers(ward.site.authority)[0], "true")
    (tmp_path / "vault").rename(tmp_path / "elsewhere")
    said = ward.revoke(A, "--vault", str(tmp_path / "elsewhere"), code=3)
    assert _states(said) == [("vault", "done"), ("certificates", "done"), ("broker", "failed")]
    (tmp_path / "elsewhere").rename(tmp_path / "vault")
    said = ward.revoke(A, code=3)
    assert _states(said)[2:] == [("broker", "done"), ("session", "failed")]
    assert "not reached" in said["deeds"][-1]["detail"]


def test_list_of_commands_that_others_can_write_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ward = Ward(tmp_path, "mosquitto", capsys)
    known = Known(ward.site.folder, "mosquitto", (HOST, 1), ward.vault.folder, "primary")
    remember(ward.site.authority, known, "true")
    path = ward.site.authority.folder / "brokers.json"
    path.chmod(0o666)
    assert "mode 666" in ward.revoke(A, code=1)["error"]
    path.chmod(0o600)
    path.write_text("{}")
    assert "damaged" in ward.revoke(A, code=1)["error"]
