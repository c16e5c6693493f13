"""A site with a certificate authority, and a real broker with the configuration we generate."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from cryptography.hazmat.primitives import serialization as form

from tests.support.needs import find_program
from tests.support.processes import answers, free_port, running
from vitalkeep.keys import pkcs8
from vitalkeep.keys.ca import Authority, Bundle, Issued
from vitalkeep.keys.certificates import Signer
from vitalkeep.site.config import write_config

PASSPHRASE = b"correct horse battery"
HOST = "127.0.0.1"
PROGRAMS = {"mosquitto": ("mosquitto", "mosquitto.conf"), "nats": ("nats-server", "nats.conf")}


def now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


def make_authority(folder: Path, name: str = "Test ward") -> tuple[Authority, Signer]:
    """Return a new authority and its key, which is not locked as well as a real one."""
    with mock.patch.object(pkcs8, "_N", 2):  # scrypt takes a fifth of a second, on purpose
        authority = Authority.create(folder, name, PASSPHRASE, now())
        return authority, authority.unlock(PASSPHRASE)


def as_pem(folder: Path) -> Path:
    """Turn a board's certificate to what OpenSSL reads."""
    made = folder / "pem"
    if not made.exists():
        made.mkdir()
        certificate = (folder / "gateway.der").read_bytes()
        (made / "certificate.pem").write_text(ssl.DER_cert_to_PEM_cert(certificate))
        key = form.load_der_private_key((folder / "key.der").read_bytes(), None)
        plain = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        (made / "key.pem").write_bytes(plain)
    return made


class SecureSite:
    """One authority, one site certificate, and a broker's folder.

    gateways  ids in hex that the site's vault is said to know
    """

    def __init__(self, root: Path, broker: str, hosts: tuple[str, ...] = (HOST,)) -> None:
        self.root = root
        self.broker = broker
        self.port = free_port()
        self._own_port = free_port()  # of NATS's own protocol, which no test speaks
        self.gateways: list[str] = []
        self.authority, self.signer = make_authority(root / "ca")
        self.folder = root / "broker"
        self.issue("site", "primary", self.folder / "tls", hosts)
        self.hub = root / "hub"
        self.issue("hub", "primary", self.hub)
        self._process: subprocess.Popen[bytes] | None = None

    def issue(
        self,
        role: str,
        name: str,
        folder: Path,
        hosts: tuple[str, ...] = (),
        days: int = 90,
        from_days: int = 0,
    ) -> Bundle:
        """Issue a certificate as of today, or of `from_days` later."""
        when = now() + dt.timedelta(days=from_days)
        bundle = self.authority.issue(self.signer, role, name, when, hosts, days)
        bundle.write(folder)
        return bundle

    def gateway(self, name: str, folder: Path, days: int = 90) -> Bundle:
        """Issue a gateway's certificate and let the site know the gateway."""
        if name not in self.gateways:
            self.gateways.append(name)
        return self.issue("gateway", name, folder, days=days)

    def revoke(self, *issued: Issued) -> None:
        self.authority.revoke(self.signer, issued, now())

    def configure(self) -> dict[str, str]:
        """Write the broker's folder as `vitalkeep site config` does; returns what changed."""
        change = write_config(
            self.broker, self.authority, self.gateways, self.folder, (HOST, self.port), now()
        )
        extra = self.folder / "own.conf.d" / "root.conf"
        if self.broker == "mosquitto":
            # As root it would become a user who cannot read the folder.
            extra.write_text("user root\nlog_dest stderr\n")
        else:
            config = self.folder / "nats.conf"
            config.write_text(config.read_text().replace("port: 4222", f"port: {self._own_port}"))
        return change.files

    @contextlib.contextmanager
    def running(self) -> Iterator[SecureSite]:
        self.configure()
        program, file = PROGRAMS[self.broker]
        found = find_program(program)
        assert found is not None, f"no {program} here"
        command = [found, "-c", str(self.folder / file)]
        with running(command, self.folder / "log", lambda: answers(self.port)) as process:
            self._process = process
            yield self

    def reload(self) -> None:
        """Write the configuration again and have the broker read it."""
        self.configure()
        self.signal_reload()

    def signal_reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def context(self, folder: Path | None) -> ssl.SSLContext:
        """Return a client's context: trusts the site, shows what is in a folder, if any."""
        context = ssl.create_default_context(cafile=self.folder / "tls" / "ca.pem")
        if folder is not None:
            context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
        return context

    def copy_to_board(self, folder: Path, files: Path, name: str = "now") -> None:
        """Put a gateway's certificate where provisioning puts it."""
        target = files / "tls" / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder, target)
