"""How a ward's certificates are made up: who they are for, and what these may do. No files.

What a certificate is for stands in itself: its role in OU, and its holder's name in CN.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vitalkeep.errors import ToolError

# What signs: sign() and public_key() are all that is asked of it, which a key in a token has too.
Signer = ec.EllipticCurvePrivateKey

_BACKDATED = dt.timedelta(days=1)  # for holders whose clocks are a little behind
_CLIENT, _SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True)
class Role:
    """What a certificate is for, and for how many days it is good.

    prefix  of its CN: so no other role's name can look like a gateway's
    by_id   its holder's name is an id of 16 hex digits
    may_serve  others may connect to its holder, too: with the host names that they do it by
    """

    usage: tuple[x509.ObjectIdentifier, ...]
    days: int
    prefix: str = ""
    by_id: bool = False
    may_serve: bool = False

    @property
    def has_hosts(self) -> bool:
        """Say whether others connect to its holder, by the names in the certificate."""
        return _SERVER in self.usage


ROLES = {
    "gateway": Role((_CLIENT,), 730, by_id=True),
    "site": Role((_SERVER,), 397, "site-"),
    "node": Role((_SERVER, _CLIENT), 397, "node-"),  # of a broker's cluster: they call each other
    "hub": Role((_CLIENT,), 397, "hub-", may_serve=True),
    "relay": Role((_CLIENT,), 730, "relay-", by_id=True),
}

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_ID = re.compile(r"[0-9a-f]{16}")


def common_name_of(role: str, name: str) -> str:
    """Return the CN of a role's holder; raises ToolError for a name that is none."""
    by_id = ROLES[role].by_id
    if not (_ID if by_id else _NAME).fullmatch(name):
        want = "16 hex digits" if by_id else "lower-case letters, digits and hyphens"
        raise ToolError(f"{role} {name!r}: want {want}", "vitalkeep ca issue --help says more.")
    return ROLES[role].prefix + name


def self_signed(subject: x509.Name, key: Signer, now: dt.datetime, days: int) -> x509.Certificate:
    """Return the certificate of an authority."""
    return (
        _builder(subject, subject, key, x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def for_holder(
    authority: x509.Certificate,
    signer: Signer,
    key: Signer,
    role: str,
    common_name: str,
    hosts: Sequence[str],
    good: tuple[dt.datetime, dt.datetime],
) -> x509.Certificate:
    """Return a certificate for a holder's key; raises ToolError for a host that is none.

    hosts  names and addresses by which others connect to the holder
    good   from when to when
    """
    usage = [*ROLES[role].usage, *([_SERVER] if hosts and ROLES[role].may_serve else [])]
    serial = x509.random_serial_number()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    user = f"urn:vitalkeep:{role}:{common_name}:{serial:x}"
    names = [*map(_host, hosts), x509.UniformResourceIdentifier(user)]
    return (
        _builder(subject, authority.subject, key, serial)
        .not_valid_before(good[0] - _BACKDATED)
        .not_valid_after(good[1])
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(_authority_id(authority.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )


def revocation_list(
    authority: x509.Certificate,
    signer: Signer,
    revoked: Iterable[tuple[int, dt.datetime]],
    now: dt.datetime,
) -> x509.CertificateRevocationList:
    """Return the list of revoked certificates: (serial number, since when)."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(now - _BACKDATED)
        .next_update(authority.not_valid_after_utc)
        .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        .add_extension(_authority_id(authority.public_key()), critical=False)
    )
    for serial, since in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(signer, hashes.SHA256())


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass  # then it is a name
    try:
        return x509.DNSName(text)
    except ValueError:
        raise ToolError(
            f"host {text!r}: want a name in ASCII or an address", "For example 10.0.0.5."
        ) from None


def _key_usage(digital_signature: bool = False, authority: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Signer, serial: int
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(serial)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _authority_id(public: object) -> x509.AuthorityKeyIdentifier:
    # The key alone, no serial number: it holds for every dating of the authority.
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
