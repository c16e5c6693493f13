"""A vault under a lock: what stands in its file, who opens it, and how the lock is changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.softhsm import PIN
from vitalkeep import cli
from vitalkeep.errors import ToolError
from vitalkeep.keys import lock as locks
from vitalkeep.keys.lock import passphrase_lock, token_lock
from vitalkeep.keys.token import Address
from vitalkeep.keys.vault import Vault

GATEWAY = b"gateway1"
OLD, NEW = b"correct horse battery", b"staple of another day"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_N", 2)  # scrypt takes a fifth of a second, on purpose


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    vault = Vault.create(tmp_path / "vault", lock=passphrase_lock(OLD))
    vault.add_gateway(GATEWAY, "bed-1")
    return vault


def test_file_gives_nothing_away(vault: Vault) -> None:
    text = (vault.folder / "vault.json").read_text()
    root = vault.gateways()[0].root
    for secret in (root.hex(), "bed-1", GATEWAY.hex(), OLD.decode()):
        assert secret not in text
    assert root.hex() not in repr(vault.lock)
    assert Vault.open(vault.folder, lambda _: OLD).gateways() == vault.gateways()


def test_each_writing_is_enciphered_anew(vault: Vault) -> None:
    path = vault.folder / "vault.json"
    before = json.loads(path.read_text())["sealed"]
    vault.add_gateway(GATEWAY, "bed-1")
    after = json.loads(path.read_text())["sealed"]
    assert before["nonce"] != after["nonce"]
    assert before["data"] != after["data"]


def test_wrong_passphrase_and_changed_bytes_open_nothing(vault: Vault) -> None:
    with pytest.raises(ToolError, match="does not open") as refused:
        Vault.open(vault.folder, lambda _: NEW)
    assert NEW.decode() not in refused.value.message
    path = vault.folder / "vault.json"
    data = json.loads(path.read_text())
    for part, name in (("sealed", "data"), ("site", "id")):
        changed = json.loads(path.read_text())
        text = changed[part][name]
        changed[part][name] = ("1" if text[0] == "0" else "0") + text[1:]
        path.write_text(json.dumps(changed))
        with pytest.raises(ToolError, match="does not open"):
            Vault.open(vault.folder, lambda _: OLD)
        path.write_text(json.dumps(data))


def test_lock_that_asks_for_too_much_is_damage(vault: Vault) -> None:
    path = vault.folder / "vault.json"
    data = json.loads(path.read_text())
    for changed in ({"kind": "rope"}, {"kind": "passphrase"}, dict(data["lock"], n=1 << 30)):
        path.write_text(json.dumps(data | {"lock": changed}))
        with pytest.raises(ToolError, match="damaged"):
            Vault.open(vault.folder, lambda _: OLD)


def test_another_reader_needs_no_passphrase_and_both_lose_nothing(vault: Vault) -> None:
    def nobody(kind: str) -> bytes:
        raise AssertionError(kind)

    vault._ask = nobody
    other = vault.again()
    other.add_gateway(b"gateway2", "bed-2")
    vault.add_gateway(b"gateway3", "bed-3")
    found = Vault.open(vault.folder, lambda _: OLD).gateways()
    assert [known.bed for known in found] == ["bed-1", "bed-2", "bed-3"]


def test_hub_that_runs_follows_without_being_asked_again(vault: Vault) -> None:
    asked = []

    def ask(kind: str) -> bytes:
        asked.append(kind)
        return OLD

    running = Vault.open(vault.folder, ask)
    vault.add_gateway(b"gateway2", "bed-2")
    assert running.changed()
    running.reload()
    assert len(running.gateways()) == 2
    assert asked == ["passphrase"]


def test_new_passphrase_ends_the_old_one(vault: Vault) -> None:
    vault.relock(passphrase_lock(NEW))
    with pytest.raises(ToolError, match="does not open"):
        Vault.open(vault.folder, lambda _: OLD)
    assert Vault.open(vault.folder, lambda _: NEW).gateways() == vault.gateways()


def test_token_opens_what_it_locked(softhsm: Address, tmp_path: Path) -> None:
    vault = Vault.create(tmp_path / "vault", lock=token_lock(softhsm, PIN, new=True))
    vault.add_gateway(GATEWAY, "bed-1")
    assert PIN.decode() not in (vault.folder / "vault.json").read_text()
    assert Vault.open(vault.folder, lambda _: PIN).gateways() == vault.gateways()
    # Another lock of the same key is another lock.
    assert token_lock(softhsm, PIN).key != vault.lock.key


def test_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(["vault", *arguments, "--vault", str(tmp_path / "vault")])
        said = capsys.readouterr()
        assert (ended.value.code or 0) == code, said.err
        return said.out + said.err

    files = {}
    for name, secret in (("old", OLD), ("new", NEW)):
        files[name] = tmp_path / name
        files[name].write_bytes(secret + b"\n")
        files[name].chmod(0o600)
    run("create", "--name", "primary", "--passphrase-file", str(files["old"]))
    assert "no passphrase of the vault" in run("list", code=1)
    monkeypatch.setenv("VITALKEEP_VAULT_PASSPHRASE_FILE", str(files["old"]))
    assert json.loads(run("list", "--json"))["lock"] == "passphrase"
    run("lock", "--passphrase-file", str(files["new"]))
    assert "does not open" in run("list", code=1)
    monkeypatch.setenv("VITALKEEP_VAULT_PASSPHRASE_FILE", str(files["new"]))
    assert "lock   passphrase" in run("list")
