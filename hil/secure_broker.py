"""A broker as a hospital would run it: mosquitto, mutual TLS, the configuration we generate."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import secrets
import shutil
import socket
import time
from pathlib import Path

from hil.board import die_with_the_rig
from hil.errors import RigError
from vitalkeep.hub.broker import free_port
from vitalkeep.keys.ca import Authority
from vitalkeep.keys.private_files import write_file
from vitalkeep.site.config import write_config

HOST = "127.0.0.1"
_READY_S = 15
_STOP_S = 5


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


class SecureBroker:
    """An authority, a site's and a hub's certificate, and mosquitto, all in one folder.

    hub  folder with the hub's ca.pem, certificate.pem and key.pem
    """

    def __init__(self, folder: Path) -> None:
        path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin:/usr/local/sbin"
        program = shutil.which("mosquitto", path=path)
        if program is None:
            raise RigError(
                "TLS on both sides needs mosquitto, and there is none here.",
                "Install it (apt-get install mosquitto), or leave out --tls.",
            )
        self._program = program
        self._folder = folder / "broker"
        passphrase = secrets.token_hex(16).encode()
        self._authority = Authority.create(folder / "ca", "Demo ward", passphrase, _now())
        self._signer = self._authority.unlock(passphrase)
        self._gateways: list[str] = []
        self._process: asyncio.subprocess.Process | None = None
        self.port = free_port()
        self.hub = folder / "hub-identity"
        self._issue("site", "demo", self._folder / "tls", [HOST])
        self._issue("hub", "demo", self.hub)

    @property
    def url(self) -> str:
        return f"mqtts://{HOST}:{self.port}"

    def admit(self, gateway: bytes, files: Path) -> None:
        """Put a gateway's certificate on its board, as provisioning does; before `start`."""
        self._gateways.append(gateway.hex())
        self._issue("gateway", gateway.hex(), files / "tls" / "now")

    def admit_pem(self, gateway: bytes, path: Path) -> None:
        """Let in a gateway that is no board: certificate and key in one file; before `start`."""
        self._gateways.append(gateway.hex())
        bundle = self._authority.issue(self._signer, "gateway", gateway.hex(), _now())
        write_file(path, bundle.pem())

    def _issue(self, role: str, name: str, out: Path, hosts: list[str] | None = None) -> None:
        self._authority.issue(self._signer, role, name, _now(), hosts or ()).write(out)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it and wait until it listens; raises RigError."""
        write_config(
            "mosquitto", self._authority, self._gateways, self._folder, (HOST, self.port), _now()
        )
        if os.geteuid() == 0:
            # It would become a user who cannot read the folder.
            (self._folder / "own.conf.d" / "rig.conf").write_text("user root\n")
        with (self._folder / "log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(self._program, "-c", str(self._folder / "mosquitto.conf")),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_the_rig,
            )
        until = time.monotonic() + _READY_S
        while not self._listens():
            if self._process.returncode is not None or time.monotonic() > until:
                words = (self._folder / "log").read_text(errors="replace")[-500:].strip()
                raise RigError("mosquitto did not start.", words or "It said nothing.")
            await asyncio.sleep(0.05)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 0.5):
            return True
        return False

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_S)
            except asyncio.TimeoutError:
                self._process.kill()
                await self._process.wait()
