"""A throwaway authority for tests of TLS: one CA, a server and a client, all of P-256."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SERVER_NAME = "site.test"
_DER = serialization.Encoding.DER
_PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def key_bytes(self, encoding: serialization.Encoding) -> bytes:
        return self.key.private_bytes(
            encoding,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )


class ThrowawayAuthority:
    """Signs a server and a client certificate, good from the year 2000 on: boards begin there.

    folder  for what brokers read: ca.pem, server.pem, server.key
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._ca = self._sign("vk test ca", None)
        self.server = self._sign(SERVER_NAME, self._ca)
        self.client = self._sign("gateway", self._ca)
        (folder / "ca.pem").write_bytes(self._ca.certificate.public_bytes(_PEM))
        (folder / "server.pem").write_bytes(self.server.certificate.public_bytes(_PEM))
        (folder / "server.key").write_bytes(self.server.key_bytes(_PEM))

    @staticmethod
    def _sign(name: str, by: Pair | None) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = by.certificate.subject if by else subject
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(dt.datetime(1999, 1, 1))
            .not_valid_after(dt.datetime(2049, 1, 1))
            .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        )
        if by:
            names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return Pair(made.sign(by.key if by else key, hashes.SHA256()), key)

    def server_context(self) -> ssl.SSLContext:
        """Return what a server needs that insists on a client's certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        context.load_verify_locations(self.folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def write_client(self, folder: Path) -> None:
        """Write ca.der, gateway.der and key.der, as a gateway reads them."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ca.der").write_bytes(self._ca.certificate.public_bytes(_DER))
        (folder / "gateway.der").write_bytes(self.client.certificate.public_bytes(_DER))
        (folder / "key.der").write_bytes(self.client.key_bytes(_DER))

    def mosquitto(self) -> str:
        """Return the lines of mosquitto.conf for TLS with client certificates."""
        return (
            f"cafile {self.folder / 'ca.pem'}\n"
            f"certfile {self.folder / 'server.pem'}\n"
            f"keyfile {self.folder / 'server.key'}\n"
            "require_certificate true\n"
        )
