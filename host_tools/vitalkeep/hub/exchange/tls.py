"""Both ends of a connection between hubs: certificates of the ward's authority, of hubs alone.

A gateway's certificate, a broker's or a base station's is refused, as is one of another authority,
one that was revoked, and one of a hub that the settings do not name.
"""

from __future__ import annotations

import ssl
from collections.abc import Collection
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from vitalkeep.errors import ToolError
from vitalkeep.hub.config.basics import BrokerSettings
from vitalkeep.hub.config.chosen import find_identity
from vitalkeep.hub.config.load import Config
from vitalkeep.hub.exchange.doorstep import Friends
from vitalkeep.hub.exchange.settings import ExchangeSettings
from vitalkeep.hub.exchange.wire import PeerError
from vitalkeep.hub.tls import CIPHERS, Identity
from vitalkeep.keys.ca import Issued
from vitalkeep.keys.private_files import check_private


def identity_of(config: Config) -> Identity | None:
    """Return this hub's certificate for other hubs: of [exchange], else the broker's, else None.

    Raises  ToolError for files that cannot be used
    """
    for section in (config[ExchangeSettings], config[BrokerSettings]):
        found = find_identity(section.ca, section.certificate, section.key)
        if found is not None:
            return found
    return None


def server_context(identity: Identity) -> ssl.SSLContext:
    """Return a context for a server that lets holders of the ward's certificates in alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.verify_mode = ssl.CERT_REQUIRED
    check_private(identity.key, 0o600, "a key")
    try:
        context.load_verify_locations(identity.ca)
        context.load_cert_chain(identity.certificate, identity.key)
    except (OSError, ssl.SSLError) as error:
        raise ToolError(
            f"{identity.certificate}: {error}",
            "Issue it for this hub's address: vitalkeep ca issue hub NAME --host ADDRESS.",
        ) from None
    return context


class Doorkeeper:
    """Says who a certificate is of, and whether that one is let in.

    names  CNs of the hubs that the settings name
    crl    the authority's list of what it revoked, None for none; read again when it changes
    friends  where some of those were met
    """

    def __init__(self, authority: Path, names: Collection[str], crl: Path | None) -> None:
        self._authority = authority
        self._names = frozenset(names)
        self._crl = crl
        self.friends = Friends()
        self._stamp: tuple[int, int] | None = None
        self._revoked: frozenset[int] = frozenset()

    def name(self, shown: bytes | None) -> str:
        """Return the name of a hub that showed this certificate (DER); raises PeerError.

        The TLS handshake has checked its signature, its dates and that its holder has the key.
        """
        if not shown:
            raise PeerError("showed no certificate")
        issued = Issued(x509.load_der_x509_certificate(shown))
        if issued.role != "hub":
            raise PeerError(f"{issued.name or 'a stranger'} is no hub: {issued.role or 'no role'}")
        if issued.name not in self._names:
            raise PeerError(f"{issued.name} is not among the peers of this hub")
        if issued.certificate.serial_number in self._list():
            raise PeerError(f"the certificate of {issued.name} was revoked")
        return issued.name

    def _list(self) -> frozenset[int]:
        if self._crl is None:
            return self._revoked
        try:
            found = self._crl.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp != self._stamp:
                self._revoked = _revoked(self._crl, self._authority)
                self._stamp = stamp
        except (OSError, ValueError) as error:
            if self._stamp is None:
                # Whom it would name is not known: better nobody than one of them.
                raise PeerError(f"{self._crl}: {error}") from None
        return self._revoked


def _revoked(crl: Path, authority: Path) -> frozenset[int]:
    """Return the serial numbers in a list; raises ValueError when it is not the authority's."""
    issuer = x509.load_pem_x509_certificate(authority.read_bytes())
    found = x509.load_pem_x509_crl(crl.read_bytes())
    try:
        good = found.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (InvalidSignature, TypeError):
        good = False
    if not good:
        raise ValueError("not a list of this authority")
    return frozenset(entry.serial_number for entry in found)
