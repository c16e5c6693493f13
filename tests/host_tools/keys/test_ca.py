"""The ward's authority: what it issues is what OpenSSL and its own rules say it should be."""

from __future__ import annotations

import datetime as dt
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bridge.core.x509 import validity
from tests.support.needs import find_program
from vitalkeep.errors import ToolError
from vitalkeep.keys import pkcs8
from vitalkeep.keys.ca import Authority
from vitalkeep.keys.certificates import ROLES, Signer

PASSPHRASE = b"correct horse battery"
NOW = dt.datetime(2026, 3, 14, 9, 26, 53, tzinfo=dt.timezone.utc)
GATEWAY = "240ac40000010000"


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pkcs8, "_N", 2)  # scrypt takes a fifth of a second, on purpose


@pytest.fixture
def authority(_quick: None, tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "ca", "Ward 3", PASSPHRASE, NOW)


@pytest.fixture
def signer(authority: Authority) -> Signer:
    return authority.unlock(PASSPHRASE)


def test_files_are_for_their_owner_alone(authority: Authority) -> None:
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700
    key = authority.folder / "ca.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    key.chmod(0o640)
    with pytest.raises(ToolError, match="lets others in"):
        authority.unlock(PASSPHRASE)


def test_key_opens_with_the_passphrase_alone(authority: Authority) -> None:
    with pytest.raises(ToolError, match="does not open"):
        authority.unlock(PASSPHRASE + b"!")
    (authority.folder / "ca.key").write_bytes(b"no key")
    with pytest.raises(ToolError, match="does not open"):
        authority.unlock(PASSPHRASE)
    with pytest.raises(ToolError, match="already"):
        Authority.create(authority.folder, "Ward 3", PASSPHRASE, NOW)
    with pytest.raises(ToolError, match="want 12"):
        Authority.create(authority.folder.with_name("other"), "Ward 3", b"short", NOW)


def test_key_is_under_scrypt_and_openssl_reads_it(tmp_path: Path) -> None:
    program = find_program("openssl")
    if program is None:
        pytest.skip("no openssl here to compare with")
    authority = Authority.create(tmp_path / "ca", "Ward 3", PASSPHRASE, NOW)
    key = authority.folder / "ca.key"
    asked = [program, "pkey", "-in", str(key), "-passin", "stdin", "-pubout"]
    said = subprocess.run(asked, input=PASSPHRASE, capture_output=True, check=True).stdout
    parsed = subprocess.run(
        [program, "asn1parse", "-in", str(key)], capture_output=True, check=True, text=True
    ).stdout
    assert b"BEGIN PUBLIC KEY" in said
    assert "scrypt" in parsed
    assert "INTEGER           :4000" in parsed  # 16,384 rounds
    assert "aes-256-cbc" in parsed


@pytest.mark.parametrize(
    ("role", "name", "hosts", "common_name", "usage"),
    [
        ("gateway", GATEWAY, (), GATEWAY, ExtendedKeyUsageOID.CLIENT_AUTH),
        ("hub", "east", (), "hub-east", ExtendedKeyUsageOID.CLIENT_AUTH),
        ("relay", GATEWAY, (), "relay-" + GATEWAY, ExtendedKeyUsageOID.CLIENT_AUTH),
        ("site", "a", ("10.0.0.5", "::1", "b.test"), "site-a", ExtendedKeyUsageOID.SERVER_AUTH),
    ],
)
def test_each_role_gets_what_it_needs_and_no_more(
    role: str,
    name: str,
    hosts: tuple[str, ...],
    common_name: str,
    usage: x509.ObjectIdentifier,
    authority: Authority,
    signer: Signer,
    tmp_path: Path,
) -> None:
    bundle = authority.issue(signer, role, name, NOW, hosts)
    made = bundle.issued.certificate
    made.verify_directly_issued_by(authority.certificate)
    assert made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == common_name
    assert list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [usage]
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    public = made.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == "secp256r1"
    assert made.not_valid_after_utc == NOW + dt.timedelta(days=ROLES[role].days)
    assert sorted(bundle.issued.hosts) == sorted(hosts)
    assert bundle.issued.user == f"urn:vitalkeep:{role}:{common_name}:{bundle.issued.serial}"
    files = bundle.write(tmp_path / "out")
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert files[-1].name.startswith("key.")
    assert [found.name for found in authority.issued()] == [common_name]


def test_hub_that_others_reach_may_answer_them_too(authority: Authority, signer: Signer) -> None:
    made = authority.issue(signer, "hub", "east", NOW, ("10.0.0.6",)).issued
    usage = made.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    assert made.hosts == ["10.0.0.6"]
    assert authority.renew(signer, made, NOW).issued.hosts == made.hosts


def test_board_reads_the_dates_of_what_is_issued(authority: Authority, signer: Signer) -> None:
    bundle = authority.issue(signer, "gateway", GATEWAY, NOW)
    start, end = validity(bundle.issued.certificate.public_bytes(Encoding.DER))
    assert start == (NOW - dt.timedelta(days=1)).timestamp()
    assert end == (NOW + dt.timedelta(days=730)).timestamp()
    assert validity(authority.certificate.public_bytes(Encoding.DER))[1] > end


@pytest.mark.parametrize(
    ("role", "name", "hosts"),
    [
        ("gateway", "240AC40000010000", ()),
        ("gateway", "hub-primary", ()),
        ("gateway", GATEWAY, ("10.0.0.5",)),
        ("relay", "roof", ()),
        ("hub", "", ()),
        ("hub", "a+b", ()),
        ("hub", "a\nuser b", ()),
        ("hub", "-a", ()),
        ("site", "a", ()),
        ("site", "a", ("köln.test",)),
    ],
)
def test_names_that_would_mean_something_else_are_refused(
    role: str, name: str, hosts: tuple[str, ...], authority: Authority, signer: Signer
) -> None:
    with pytest.raises(ToolError):
        authority.issue(signer, role, name, NOW, hosts)
    assert authority.issued() == []


def test_renewed_certificate_has_a_new_key_and_the_old_one_stays_good(
    authority: Authority, signer: Signer
) -> None:
    first = authority.issue(signer, "site", "a", NOW, ["10.0.0.5", "b.test"])
    later = NOW + dt.timedelta(days=300)
    second = authority.renew(signer, first.issued, later)
    assert second.issued.name == first.issued.name
    assert second.issued.hosts == first.issued.hosts
    assert second.key.private_numbers() != first.key.private_numbers()
    assert [found.serial for found in authority.issued()] == [
        second.issued.serial,
        first.issued.serial,
    ]
    assert all(found.is_live(later) for found in authority.issued())


def test_list_has_what_many_revoke_at_once(authority: Authority, signer: Signer) -> None:
    bundles = [authority.issue(signer, "hub", f"hub-{n}", NOW) for n in range(12)]
    with ThreadPoolExecutor(6) as pool:
        done = [pool.submit(authority.revoke, signer, [one.issued], NOW) for one in bundles]
        for one in done:
            one.result()
    crl = x509.load_pem_x509_crl((authority.folder / "crl.pem").read_bytes())
    found = {entry.serial_number for entry in crl}
    assert found == {one.issued.certificate.serial_number for one in bundles}


def test_revoked_certificates_are_on_the_list_for_ever(
    authority: Authority, signer: Signer
) -> None:
    bundles = [authority.issue(signer, "hub", name, NOW) for name in ("a", "b", "c")]
    authority.revoke(signer, [bundles[1].issued], NOW)
    authority.revoke(signer, [bundles[0].issued], NOW + dt.timedelta(days=1))
    authority.revoke(signer, authority.issued()[:1], NOW + dt.timedelta(days=9))
    crl = x509.load_pem_x509_crl((authority.folder / "crl.pem").read_bytes())
    public = authority.certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert crl.is_signature_valid(public)
    found = {entry.serial_number: entry.revocation_date_utc for entry in crl}
    assert found == {
        bundles[1].issued.certificate.serial_number: NOW,
        bundles[0].issued.certificate.serial_number: NOW + dt.timedelta(days=1),
    }
    reopened = Authority.open(authority.folder)
    assert [issued.is_live(NOW) for issued in reopened.issued()] == [False, False, True]


def test_nothing_outlives_the_authority_and_its_renewal_keeps_what_it_issued(
    authority: Authority, signer: Signer
) -> None:
    first = authority.issue(signer, "hub", "a", NOW)
    near = NOW + dt.timedelta(days=3600)
    late = authority.issue(signer, "gateway", GATEWAY, near)
    end = authority.certificate.not_valid_after_utc
    assert late.issued.certificate.not_valid_after_utc == end
    with pytest.raises(ToolError, match="come to its end"):
        authority.issue(signer, "gateway", GATEWAY, end)
    before = authority.certificate
    authority.renew_authority(signer, near)
    reopened = Authority.open(authority.folder)
    assert reopened.certificate.not_valid_after_utc > end
    for issued in (first.issued, late.issued):
        issued.certificate.verify_directly_issued_by(reopened.certificate)
    after = reopened.issue(reopened.unlock(PASSPHRASE), "hub", "b", near)
    after.issued.certificate.verify_directly_issued_by(before)


class Token(ec.EllipticCurvePrivateKey):
    """A key that cannot be taken out: it signs, and nothing else."""

    def __init__(self) -> None:
        self._hidden = ec.generate_private_key(ec.SECP256R1())
        self.signatures = 0

    def sign(self, data: bytes, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        self.signatures += 1
        return self._hidden.sign(data, signature_algorithm)

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._hidden.public_key()

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._hidden.curve

    @property
    def key_size(self) -> int:
        return self._hidden.key_size

    def _refuse(self, *arguments: object, **more: object) -> None:
        raise AssertionError("asked for more than a signature")

    exchange = private_numbers = private_bytes = __copy__ = __deepcopy__ = _refuse  # type: ignore[assignment]


def test_token_can_sign_in_place_of_the_file(authority: Authority) -> None:
    token = Token()
    authority.renew_authority(token, NOW)
    bundle = authority.issue(token, "gateway", GATEWAY, NOW)
    bundle.issued.certificate.verify_directly_issued_by(authority.certificate)
    authority.revoke(token, [bundle.issued], NOW)
    assert token.signatures == 4
