"""The vault: who may read it, what it gives away, what survives."""

import json
import os
import stat
from datetime import datetime, timezone

import pytest

from vitalkeep.errors import ToolError
from vitalkeep.keys.vault import Vault

ID = b"gateway1"
LOG = b"logid--1"


@pytest.fixture
def vault(tmp_path):
    return Vault.create(tmp_path / "vault", "ward 7")


def test_what_is_added_is_there_when_opened_again(vault):
    added = vault.add_gateway(ID, "Bed 1", log_id=LOG)
    again = Vault.open(vault.folder)
    assert again.gateways() == [added]
    assert again.gateways()[0].root == added.root
    assert (again.site_id, again.site_name) == (vault.site_id, "ward 7")
    assert len(added.root) == 32


def test_logs_gather_and_the_root_stays(vault):
    first = vault.add_gateway(ID, "Bed 1", log_id=LOG)
    second = vault.add_gateway(ID, "Bed 2", log_id=b"logid--2")
    assert second.root == first.root
    assert second.logs == (LOG, b"logid--2")
    assert second.bed == "Bed 2"
    with pytest.raises(ToolError, match="another root"):
        vault.add_gateway(ID, "Bed 1", root=bytes(32))


def test_revoked_is_for_ever(vault):
    vault.add_gateway(ID, "Bed 1", log_id=LOG)
    first = vault.revoke(ID, datetime(2026, 3, 14, tzinfo=timezone.utc))
    again = vault.revoke(ID, datetime(2026, 3, 15, tzinfo=timezone.utc))
    assert again == first
    assert Vault.open(vault.folder).gateways()[0].revoked == "2026-03-14T00:00:00+00:00"
    with pytest.raises(ToolError, match="was revoked 2026-03-14"):
        vault.add_gateway(ID, "Bed 1", log_id=b"logid--2")
    with pytest.raises(ToolError, match="not in this vault"):
        vault.revoke(b"stranger", datetime(2026, 3, 15, tzinfo=timezone.utc))


def test_files_are_the_owners_alone(vault):
    assert stat.S_IMODE(vault.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((vault.folder / "vault.json").stat().st_mode) == 0o600
    assert os.listdir(vault.folder) == ["vault.json"]


@pytest.mark.parametrize(("name", "mode"), [("vault.json", 0o640), (".", 0o750)])
def test_vault_that_others_can_read_is_refused(vault, name, mode):
    (vault.folder / name).chmod(mode)
    with pytest.raises(ToolError, match="lets others in") as caught:
        Vault.open(vault.folder)
    assert "chmod" in caught.value.hint


def test_root_keys_are_never_printed(vault):
    gateway = vault.add_gateway(ID, "Bed 1")
    for text in (repr(vault), str(vault), repr(gateway), repr(vault.gateways())):
        assert gateway.root.hex() not in text
        assert repr(gateway.root) not in text


def test_damage_is_said_without_the_content(vault):
    gateway = vault.add_gateway(ID, "Bed 1")
    path = vault.folder / "vault.json"
    path.write_text(path.read_text().replace('"v": 1', '"v": 2'))
    with pytest.raises(ToolError, match="damaged") as caught:
        Vault.open(vault.folder)
    assert gateway.root.hex() not in str(caught.value)


@pytest.mark.parametrize("change", [{"id": "00"}, {"root": "zz"}, {"logs": ["1"]}])
def test_wrong_sizes_are_refused(vault, change):
    vault.add_gateway(ID, "Bed 1")
    path = vault.folder / "vault.json"
    data = json.loads(path.read_text())
    data["gateways"][0] |= change
    path.write_text(json.dumps(data))
    with pytest.raises(ToolError, match="damaged"):
        Vault.open(vault.folder)


def test_cut_before_the_rename_leaves_the_old_vault(vault, monkeypatch):
    vault.add_gateway(ID, "Bed 1")

    def cut(*_):
        raise OSError("power")

    monkeypatch.setattr(os, "replace", cut)
    with pytest.raises(ToolError, match="power"):
        vault.add_gateway(b"gateway2", "Bed 2")
    assert [gateway.id for gateway in Vault.open(vault.folder).gateways()] == [ID]


def test_change_by_someone_else_is_noticed(vault):
    mine = Vault.open(vault.folder)
    assert not mine.changed()
    vault.add_gateway(ID, "Bed 1")
    assert mine.changed()
    mine.reload()
    assert len(mine.gateways()) == 1
    assert not mine.changed()


def test_second_vault_in_one_place_is_refused(vault):
    with pytest.raises(ToolError, match="already"):
        Vault.create(vault.folder)
    with pytest.raises(ToolError, match="no vault"):
        Vault.open(vault.folder / "nowhere")
