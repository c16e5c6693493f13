"""Several vaults of one ward have each gateway with one root key, whoever adds it when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.secure_site import make_authority
from vitalkeep.keys.vault import Gateway, Vault
from vitalkeep.provision.sites import Sites

ID = bytes.fromhex("0011223344556677")


def test_two_who_name_the_vaults_in_another_order_agree_on_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, _ = make_authority(tmp_path / "ca")
    folders = [Vault.create(tmp_path / name).folder for name in ("one", "two")]
    mine = Sites(authority, [Vault.open(folder) for folder in folders], [])
    theirs = Sites(authority, [Vault.open(folder) for folder in reversed(folders)], [])
    add = Vault.add_gateway
    left = [theirs]

    def between(self: Vault, *what: Any) -> Gateway:
        found = add(self, *what)
        if left:
            left.pop().add(ID, "bed-1", b"log----2")
        return found

    monkeypatch.setattr(Vault, "add_gateway", between)
    mine.add(ID, "bed-1", b"log----1")
    found = [Vault.open(folder).gateways()[0] for folder in folders]
    assert found[0].root == found[1].root
    assert {*found[0].logs} == {*found[1].logs} == {b"log----1", b"log----2"}
