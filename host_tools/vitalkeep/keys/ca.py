"""The ward's certificate authority: who may speak to the brokers, and who speaks for them.

    ca/  ca.pem            its certificate; ca.key: its key under a passphrase, or
         ca.token          the PKCS#11 URI of a key that never leaves its token
         issued/<serial>.pem   every certificate it ever issued
         revoked/<serial>      when that one was revoked; crl.pem: the list of these for brokers

Files are added and never changed, so that two people at once lose nothing. Keys of holders are
made here, handed over once and not kept.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from filelock import FileLock, Timeout

from vitalkeep.errors import ToolError
from vitalkeep.keys import token
from vitalkeep.keys.certificates import (
    ROLES,
    Signer,
    common_name_of,
    for_holder,
    revocation_list,
    self_signed,
)
from vitalkeep.keys.passphrase import check_passphrase
from vitalkeep.keys.pkcs8 import decrypt_key, encrypt_key
from vitalkeep.keys.private_files import check_private, write_file

CA_DAYS = 3650
_LOCK_S = 30
_PEM = serialization.Encoding.PEM
_DER = serialization.Encoding.DER


@dataclass(frozen=True)
class Issued:
    """One certificate of the authority.

    name     its CN, which is its holder's user name at brokers
    revoked  when, None for never
    """

    certificate: x509.Certificate
    revoked: dt.datetime | None = None

    @property
    def serial(self) -> str:
        return f"{self.certificate.serial_number:x}"

    @property
    def role(self) -> str:
        return _attribute(self.certificate, NameOID.ORGANIZATIONAL_UNIT_NAME)

    @property
    def name(self) -> str:
        return _attribute(self.certificate, NameOID.COMMON_NAME)

    @property
    def id(self) -> str:
        """Return what it was issued to: the CN without its role's prefix."""
        return self.name.removeprefix(ROLES[self.role].prefix)

    @property
    def hosts(self) -> list[str]:
        """Return the host names and addresses that a site's certificate is for."""
        names = self._alternatives()
        return [*names.get_values_for_type(x509.DNSName), *map(str, _addresses(names))]

    @property
    def user(self) -> str:
        """Return the URI that names holder and certificate: a broker may know users by it."""
        found = self._alternatives().get_values_for_type(x509.UniformResourceIdentifier)
        return str(found[0])

    def days_left(self, now: dt.datetime) -> int:
        return (self.certificate.not_valid_after_utc - now).days

    def is_live(self, now: dt.datetime) -> bool:
        """Say whether it is neither revoked nor past its end."""
        return self.revoked is None and now < self.certificate.not_valid_after_utc

    def _alternatives(self) -> x509.SubjectAlternativeName:
        found = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return found.value


@dataclass(frozen=True)
class Bundle:
    """What a holder gets: a certificate, its key, and the authority's certificate."""

    issued: Issued
    key: ec.EllipticCurvePrivateKey
    authority: x509.Certificate

    def write(self, folder: Path) -> list[Path]:
        """Write the files that this role's holder reads; the key comes last.

        A gateway's are DER and go to `tls/new` on the board; all others' are PEM.
        """
        board = self.issued.role == "gateway"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = []
        for file, data in self.board_files() if board else self._files("certificate", "pem", _PEM):
            write_file(folder / file, data)
            made.append(folder / file)
        return made

    def board_files(self) -> list[tuple[str, bytes]]:
        """Return a gateway's files, (name, bytes), in the order in which they are put."""
        return self._files("gateway", "der", _DER)

    def _files(
        self, name: str, suffix: str, encoding: serialization.Encoding
    ) -> list[tuple[str, bytes]]:
        return [
            (f"ca.{suffix}", self.authority.public_bytes(encoding)),
            (f"{name}.{suffix}", self.issued.certificate.public_bytes(encoding)),
            (f"key.{suffix}", _plain(self.key, encoding)),
        ]

    def pem(self) -> bytes:
        """Return certificate and key in one piece, for a client that is no board."""
        return self.issued.certificate.public_bytes(_PEM) + _plain(self.key, _PEM)


class Authority:
    """The authority in a folder: `create` it once, `open` it to look, `unlock` it to sign."""

    def __init__(self, folder: Path, certificate: x509.Certificate) -> None:
        self.folder = folder
        self.certificate = certificate

    @classmethod
    def create(
        cls,
        folder: Path,
        name: str,
        secret: bytes,
        now: dt.datetime,
        days: int = CA_DAYS,
        at: token.Address | None = None,
    ) -> Authority:
        """Make an authority; raises ToolError when there is one or the passphrase is short.

        secret  a passphrase for the file with its key, or the PIN of the token
        at      where in a token its key shall be, None for a file
        """
        if (folder / "ca.pem").exists():
            raise ToolError(
                f"{folder}: there is a certificate authority already",
                "Use it, or name a new folder: --ca DIR.",
            )
        if at is None:
            check_passphrase(secret)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_private(folder, 0o700, "the key of the ward's certificate authority")
        key: Signer
        if at is None:
            key = ec.generate_private_key(ec.SECP256R1())
            write_file(folder / "ca.key", encrypt_key(key, secret))
        else:
            key = token.make_key(at, secret)
            write_file(folder / "ca.token", f"{at}\n".encode())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = cls(folder, self_signed(subject, key, now, days))
        write_file(folder / "ca.pem", made.certificate.public_bytes(_PEM), 0o644)
        made.write_crl(key, now)
        return made

    @classmethod
    def open(cls, folder: Path) -> Authority:
        """Read what is public of an authority; raises ToolError."""
        path = folder / "ca.pem"
        try:
            return cls(folder, x509.load_pem_x509_certificate(path.read_bytes()))
        except FileNotFoundError:
            raise ToolError(
                f"{folder}: there is no certificate authority here",
                "Name its folder (--ca DIR), or make one: vitalkeep ca create.",
            ) from None
        except ValueError:
            raise ToolError(f"{path}: damaged", "Restore it from its copy.") from None

    @property
    def token(self) -> token.Address | None:
        """Where the key is, None when it is in a file; raises ToolError."""
        path = self.folder / "ca.token"
        return token.Address.parse(path.read_text().strip()) if path.exists() else None

    def unlock(self, secret: bytes) -> Signer:
        """Return the key that signs; raises ToolError for a wrong passphrase or PIN."""
        at = self.token
        key = self._read_key(secret) if at is None else token.open_key(at, secret)
        if _spki(key.public_key()) != _spki(self.certificate.public_key()):
            raise ToolError(
                f"{self.folder}: the key is not that of ca.pem",
                "Restore both from one copy, or name the token's right object in ca.token.",
            )
        return key

    def _read_key(self, passphrase: bytes) -> Signer:
        path = self.folder / "ca.key"
        if not path.exists():
            raise ToolError(
                f"{path}: the key is not here", "Issue where it is, or restore it from its copy."
            )
        check_private(path, 0o600, "the key of the ward's certificate authority")
        try:
            return decrypt_key(path.read_bytes(), passphrase)
        except ValueError:
            raise ToolError(
                f"{path}: the passphrase does not open it",
                "Try again; without the passphrase only a new authority helps.",
            ) from None

    # --- certificates ---

    def issued(self) -> list[Issued]:
        """Return every certificate, by name and then the newest first."""
        found = []
        for path in self._folder("issued").glob("*.pem"):
            try:
                certificate = x509.load_pem_x509_certificate(path.read_bytes())
                found.append(Issued(certificate, self._revoked(path.stem)))
            except ValueError:
                raise ToolError(f"{path}: damaged", "Restore it from its copy.") from None
        found.sort(key=lambda issued: issued.certificate.not_valid_before_utc, reverse=True)
        return sorted(found, key=lambda issued: issued.name)

    def issue(
        self,
        signer: Signer,
        role: str,
        name: str,
        now: dt.datetime,
        hosts: Sequence[str] = (),
        days: int | None = None,
    ) -> Bundle:
        """Issue a certificate with a new key; raises ToolError.

        role   one of ROLES
        name   16 hex digits for gateways and relays; else lower-case letters, digits, hyphens
        hosts  for a site or a node: every name and address that its broker is reached by; for
               a hub: those that hubs of other sites reach it by, if there are other sites
        days   how long it is good, at most as long as the authority; by role when None
        """
        common_name = common_name_of(role, name)
        if ROLES[role].has_hosts != bool(hosts) and not ROLES[role].may_serve:
            raise ToolError(
                f"{role} {name}: {'no host name or address' if not hosts else 'has no host name'}",
                "A site and a node need what gateways reach them by: --host broker.example "
                "--host 10.0.0.5.",
            )
        until = now + dt.timedelta(days=ROLES[role].days if days is None else days)
        until = min(until, self.certificate.not_valid_after_utc)
        if until <= now:
            raise ToolError(
                "the certificate authority itself has come to its end",
                "Renew it first: vitalkeep ca renew --authority.",
            )
        key = ec.generate_private_key(ec.SECP256R1())
        made = for_holder(self.certificate, signer, key, role, common_name, hosts, (now, until))
        issued = Issued(made)
        path = self._folder("issued") / f"{issued.serial}.pem"
        write_file(path, issued.certificate.public_bytes(_PEM), 0o644)
        return Bundle(issued, key, self.certificate)

    def renew(self, signer: Signer, old: Issued, now: dt.datetime) -> Bundle:
        """Issue a successor with a new key; the old one stays good until revoked or past."""
        return self.issue(signer, old.role, old.id, now, old.hosts)

    def renew_authority(self, signer: Signer, now: dt.datetime, days: int = CA_DAYS) -> None:
        """Date the authority anew, under the same key and name: what it issued stays good."""
        self.certificate = self_signed(self.certificate.subject, signer, now, days)
        write_file(self.folder / "ca.pem", self.certificate.public_bytes(_PEM), 0o644)
        self.write_crl(signer, now)

    # --- revocation ---

    def revoke(self, signer: Signer, certificates: Sequence[Issued], now: dt.datetime) -> None:
        """Revoke certificates and write the list anew; what is revoked already stays so."""
        for issued in certificates:
            if issued.revoked is None:
                path = self._folder("revoked") / issued.serial
                write_file(path, now.isoformat(timespec="seconds").encode(), 0o644)
        self.write_crl(signer, now)

    def write_crl(self, signer: Signer, now: dt.datetime) -> None:
        """Write crl.pem.

        It is good for as long as the authority: brokers refuse everyone once a list is past its
        date, and a ward must not go dark because nobody renewed a file. Raises ToolError.
        """
        try:
            # Whoever writes last has seen what all others revoked.
            with FileLock(self.folder / "crl.lock", timeout=_LOCK_S):
                self._write_crl(signer, now)
        except Timeout:
            raise ToolError(
                f"{self.folder}: another program writes crl.pem for {_LOCK_S} s already",
                "End that, and run the same again.",
            ) from None

    def _write_crl(self, signer: Signer, now: dt.datetime) -> None:
        revoked = [
            (issued.certificate.serial_number, issued.revoked)
            for issued in self.issued() if issued.revoked is not None
        ]  # fmt: skip
        crl = revocation_list(self.certificate, signer, revoked, now)
        write_file(self.folder / "crl.pem", crl.public_bytes(_PEM), 0o644)

    def _revoked(self, serial: str) -> dt.datetime | None:
        try:
            return dt.datetime.fromisoformat((self.folder / "revoked" / serial).read_text())
        except FileNotFoundError:
            return None

    def _folder(self, name: str) -> Path:
        path = self.folder / name
        if os.access(self.folder, os.W_OK):
            path.mkdir(mode=0o700, exist_ok=True)
        return path


def _addresses(names: x509.SubjectAlternativeName) -> list[object]:
    return list(names.get_values_for_type(x509.IPAddress))


def _attribute(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    found = certificate.subject.get_attributes_for_oid(oid)
    return str(found[0].value) if found else ""


def _plain(key: ec.EllipticCurvePrivateKey, encoding: serialization.Encoding) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    if encoding is _DER:
        form = serialization.PrivateFormat.TraditionalOpenSSL  # RFC 5915: half the bytes
    return key.private_bytes(encoding, form, serialization.NoEncryption())


def _spki(public: object) -> bytes:
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return public.public_bytes(_DER, serialization.PublicFormat.SubjectPublicKeyInfo)
