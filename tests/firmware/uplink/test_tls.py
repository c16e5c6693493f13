"""A session over TLS against peers that are not what they should be: each has its name.

The session runs under MicroPython as on a board. The servers here are OpenSSL's, one handshake
each; real brokers are in tests/firmware/test_secure_site.py.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hil.board import FIRMWARE, find_micropython
from tests.support.secure_site import make_authority, now

CLIENT = f"""
    import sys

    sys.path.append({str(FIRMWARE)!r})
    import asyncio
    from bridge.core.errors import ProtocolError
    from bridge.uplink.credentials import Credentials
    from bridge.uplink.faults import fault_of
    from bridge.uplink.session import Session


    async def settle():
        pass


    async def main():
        session = Session(1500)
        options = {{
            "server_name": "127.0.0.1",
            "tls": Credentials().choose(0).context, "client_id": "board", "will_topic": "w",
            "will_payload": b"gone", "subscriptions": [("receipt", 1)],
        }}
        try:
            await session.dial(0, "127.0.0.1", int(sys.argv[1]), None)
            await session.open(options, lambda: None, settle)
            print("open")
        except (OSError, ProtocolError, asyncio.TimeoutError, ValueError) as error:
            print("fault", fault_of(error, session.stage), error)
        finally:
            await session.close()

    asyncio.run(main())
"""

Peer = Callable[[socket.socket], None]


class Ward:
    """An authority, another that nobody trusts, and a board with a certificate of the first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.authority, self.signer = make_authority(root / "ca")
        other, others = make_authority(root / "other-ca")
        self.board = root / "board"
        self.authority.issue(self.signer, "gateway", "0123456789abcdef", now()).write(
            self.board / "tls" / "now"
        )
        self._site("good")
        self._site("expired", from_days=-20, days=10)
        self._site("future", from_days=5)
        self._site("elsewhere", hosts=("10.0.0.5", "broker.test"))
        other.issue(others, "site", "x", now(), ["127.0.0.1"]).write(root / "other")
        self.authority.issue(self.signer, "relay", "e" * 16, now()).write(root / "relay")
        self._rsa_site(root / "rsa")

    def _site(
        self,
        name: str,
        from_days: int = 0,
        days: int = 90,
        hosts: tuple[str, ...] = ("127.0.0.1",),
    ) -> None:
        when = now() + dt.timedelta(days=from_days)
        bundle = self.authority.issue(self.signer, "site", name, when, hosts, days)
        bundle.write(self.root / name)

    def _rsa_site(self, folder: Path) -> None:
        """Write a site's certificate for a key that is not elliptic, signed by the authority."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = self.authority.certificate.subject
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = x509.CertificateBuilder(name, name, key.public_key(), 5)
        builder = builder.not_valid_before(now()).not_valid_after(now() + dt.timedelta(days=1))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        folder.mkdir()
        pem = serialization.Encoding.PEM
        certificate = builder.sign(self.signer, hashes.SHA256())
        (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
        plain = key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / "key.pem").write_bytes(plain)

    def server(self, name: str, trusts: str | None = "ca") -> ssl.SSLContext:
        """Return a server's context; `trusts` is the folder of the clients' authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        folder = self.root / name
        context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
        if trusts:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.root / trusts / "ca.pem")
        return context

    def connect(self, peer: Peer) -> str:
        """Return what the board says of a peer."""
        script = self.root / "client.py"
        script.write_text(dedent(CLIENT))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            accepted = threading.Thread(target=_accept, args=(listener, peer), daemon=True)
            accepted.start()
            done = subprocess.run(
                [find_micropython(), str(script), str(port)],
                cwd=self.board,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=30,
                check=False,
            )
            accepted.join(30)
        return done.stdout


def _accept(listener: socket.socket, peer: Peer) -> None:
    link, _ = listener.accept()
    link.settimeout(20)
    with link:
        try:
            peer(link)
        except OSError:
            pass  # what the board made of it is asked, not what OpenSSL did


def speaks(context: ssl.SSLContext) -> Peer:
    """Return a broker of two answers over TLS."""

    def peer(link: socket.socket) -> None:
        with context.wrap_socket(link, server_side=True) as stream:
            stream.recv(100)
            stream.sendall(b"\x20\x02\x00\x00")
            stream.recv(100)
            stream.sendall(b"\x90\x03\x00\x01\x01")
            stream.recv(100)

    return peer


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    return Ward(tmp_path_factory.mktemp("ward"))


def test_good_site_is_connected(ward: Ward) -> None:
    assert ward.connect(speaks(ward.server("good"))) == "open\n"


def test_site_that_asks_for_no_certificate_looks_like_a_good_one(ward: Ward) -> None:
    # A client of TLS 1.2 that is not asked does not learn it here: the hub looks for this.
    assert ward.connect(speaks(ward.server("good", trusts=None))) == "open\n"


@pytest.mark.parametrize(
    ("certificate", "fault"),
    [
        ("other", "certificate_untrusted"),
        ("expired", "certificate_expired"),
        ("future", "certificate_not_yet_valid"),
        ("elsewhere", "certificate_of_another"),
        ("relay", "certificate_of_another"),
        ("rsa", "refused_in_handshake"),
    ],
)
def test_each_wrong_certificate_has_its_name(certificate: str, fault: str, ward: Ward) -> None:
    said = ward.connect(speaks(ward.server(certificate)))
    assert said.startswith(f"fault {fault} "), said


def test_site_that_does_not_trust_our_authority_breaks_off(ward: Ward) -> None:
    said = ward.connect(speaks(ward.server("good", trusts="other-ca")))
    # Whether its alert is read before the next write fails is a matter of luck.
    assert said.startswith(("fault refused_in_handshake", "fault broken_in_handshake")), said


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_and_other_ciphers_are_not_spoken(ward: Ward) -> None:
    old = ward.server("good")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    unauthenticated = ward.server("good")
    unauthenticated.maximum_version = ssl.TLSVersion.TLSv1_2
    unauthenticated.set_ciphers("ECDHE-ECDSA-AES256-SHA384")
    for context in (old, unauthenticated):
        said = ward.connect(speaks(context))
        assert said.startswith("fault refused_in_handshake"), said


def _hangs_up(link: socket.socket) -> None:
    link.recv(1000)


def _is_silent(link: socket.socket) -> None:
    while link.recv(1000):
        pass


def _speaks_http(link: socket.socket) -> None:
    link.recv(1000)
    link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    link.recv(1000)


def _breaks_off(link: socket.socket) -> None:
    link.recv(1000)
    link.sendall(b"\x16\x03\x03\x00\x40\x02\x00\x00")


@pytest.mark.parametrize(
    ("peer", "fault"),
    [
        (_hangs_up, "broken_in_handshake"),
        (_is_silent, "silent_in_handshake"),
        (_speaks_http, "no_tls"),
        (_breaks_off, "broken_in_handshake"),
    ],
)
def test_peers_without_tls_have_their_names(peer: Peer, fault: str, ward: Ward) -> None:
    said = ward.connect(peer)
    assert said.startswith(f"fault {fault} "), said
