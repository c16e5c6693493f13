"""Keys in a token: what they sign holds, and they do not come out."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from tests.support.softhsm import PIN
from vitalkeep.errors import ToolError
from vitalkeep.keys.ca import Authority
from vitalkeep.keys.token import Address, make_key, open_key

NOW = dt.datetime(2026, 3, 14, tzinfo=dt.timezone.utc)


def test_uri_is_read_back_as_it_was_written() -> None:
    address = Address("ward 3; left", "ca=1", "/opt/a maker's/lib.so")
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "token=ward;object=ca?module-path=/lib.so",
        "pkcs11:token=ward?module-path=/lib.so",
        "pkcs11:token=ward;object=ca?module-path=/lib.so&pin-value=31415926",
    ],
)
def test_uri_that_lacks_or_tells_too_much_is_refused(uri: str) -> None:
    with pytest.raises(ToolError) as refused:
        Address.parse(uri)
    assert "31415926" not in refused.value.message + (refused.value.hint or "")


def test_what_a_token_signs_is_good(softhsm: Address) -> None:
    made = make_key(softhsm, PIN)
    key = open_key(softhsm, PIN)
    assert key.public_key().public_numbers() == made.public_key().public_numbers()
    data = b"seven vital signs"
    key.public_key().verify(
        key.sign(data, ec.ECDSA(hashes.SHA256())), data, ec.ECDSA(hashes.SHA256())
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    signed = key.sign(digest.finalize(), ec.ECDSA(Prehashed(hashes.SHA256())))
    key.public_key().verify(signed, data, ec.ECDSA(hashes.SHA256()))


def test_a_secret_is_agreed_with_a_key_outside(softhsm: Address) -> None:
    key, peer = make_key(softhsm, PIN), ec.generate_private_key(ec.SECP256R1())
    assert key.exchange(ec.ECDH(), peer.public_key()) == peer.exchange(ec.ECDH(), key.public_key())


def test_key_does_not_leave_its_token(softhsm: Address) -> None:
    key = make_key(softhsm, PIN)
    with pytest.raises(ToolError, match="does not leave"):
        key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    with pytest.raises(ToolError, match="does not leave"):
        key.private_numbers()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"token": "of another ward"}, "no such token"),
        ({"object": "another"}, "no such key"),
        ({"module": "/nowhere/lib.so"}, "does not load"),
    ],
)
def test_what_is_not_there_has_a_name(softhsm: Address, changed: dict, reason: str) -> None:
    make_key(softhsm, PIN)
    with pytest.raises(ToolError, match=reason) as refused:
        open_key(dataclasses.replace(softhsm, **changed), PIN)
    assert refused.value.hint


def test_second_key_of_a_name_is_refused(softhsm: Address) -> None:
    make_key(softhsm, PIN)
    with pytest.raises(ToolError, match="already"):
        make_key(softhsm, PIN)


def test_wrong_pin_is_said_and_not_repeated(softhsm: Address, tmp_path: Path) -> None:
    # In a process of its own: this one has logged in.
    wrong = {"VITALKEEP_TOKEN_PIN": "27182818"}
    asked = [sys.executable, "-m", "vitalkeep", "ca", "create", "--name", "Ward 3"]
    asked += ["--token", str(softhsm), "--ca", str(tmp_path / "ca")]
    said = subprocess.run(asked, env=os.environ | wrong, capture_output=True, text=True)
    assert said.returncode == 1
    assert "PIN is wrong" in said.stderr
    assert "27182818" not in said.stderr
    assert "Traceback" not in said.stderr


def test_authority_whose_key_is_in_a_token(softhsm: Address, tmp_path: Path) -> None:
    made = Authority.create(tmp_path / "ca", "Ward 3", PIN, NOW, at=softhsm)
    assert not (made.folder / "ca.key").exists()
    authority = Authority.open(made.folder)
    assert authority.token == softhsm
    signer = authority.unlock(PIN)
    bundle = authority.issue(signer, "gateway", "a" * 16, NOW)
    bundle.issued.certificate.verify_directly_issued_by(authority.certificate)
    authority.revoke(signer, [bundle.issued], NOW)
    other = dataclasses.replace(softhsm, object="other")
    make_key(other, PIN)
    (authority.folder / "ca.token").write_text(str(other))
    with pytest.raises(ToolError, match=r"not that of ca\.pem"):
        authority.unlock(PIN)
