"""Where a site's root keys live: one JSON file that only its owner can read.

    {"v": 1, "site": {"id": "<16 hex>", "name": "..."},
     "gateways": [{"id": "<16 hex>", "bed": "...", "root": "<64 hex>", "logs": ["<16 hex>"],
                   "revoked": "2026-03-14T09:26:53+00:00"}]}

In a vault with a lock, "lock" and "sealed" stand in the place of "gateways" (see lock.py).

A root key never leaves this file for a board, a log line or a message: `provision` writes what
`derive` makes of it.
"""

import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vitalkeep.errors import ToolError
from vitalkeep.keys.derive import ROOT_SIZE
from vitalkeep.keys.lock import Ask, Lock, ask_for_secret, open_lock
from vitalkeep.keys.private_files import check_private, write_file

_FILE = "vault.json"
_VERSION = 1
ID_SIZE = 8
_CONTENT = "root keys"
_LOCK_S = 30


@dataclass(frozen=True)
class Gateway:
    """One gateway: id and log ids of 8 bytes, the bed it stands at, its root key (not shown).

    revoked  since when nothing new is taken from it, in ISO 8601, "" for never: what it sealed
             before is still opened
    """

    id: bytes
    bed: str
    root: bytes = field(repr=False)
    logs: tuple[bytes, ...] = ()
    revoked: str = ""


class Vault:
    """The root keys of one site. Open it with `Vault.open`, make it with `Vault.create`.

    site_id, site_name  this site's 8-byte id, random at creation, and its name for people
    lock                what its keys are enciphered with; None: they are in clear
    """

    def __init__(self, folder: Path, ask: Ask) -> None:
        self.folder = folder
        self.site_id = b""
        self.site_name = ""
        self.lock: Lock | None = None
        self._ask = ask
        self._gateways: dict[bytes, Gateway] = {}
        self._stamp = (0, 0)

    def __repr__(self) -> str:
        return f"<Vault {self.folder} with {len(self._gateways)} gateways>"

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        site_name: str = "primary",
        lock: Lock | None = None,
    ) -> "Vault":
        """Make an empty vault in the folder `path`; raises ToolError when there is one."""
        folder = Path(path)
        if (folder / _FILE).exists():
            raise ToolError(
                f"{folder}: there is a vault already", "Open it, or name a new folder."
            )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        vault = cls(folder, ask_for_secret)
        vault.site_id, vault.site_name, vault.lock = secrets.token_bytes(ID_SIZE), site_name, lock
        check_private(folder, 0o700, _CONTENT)
        vault._write()
        return vault

    @classmethod
    def open(cls, path: str | os.PathLike[str], ask: Ask = ask_for_secret) -> "Vault":
        """Read a vault.

        ask     returns what opens its lock, if it has one
        Raises  ToolError when it is absent, damaged, locked, or readable by others
        """
        vault = cls(Path(path), ask)
        vault.reload()
        return vault

    def again(self) -> "Vault":
        """Return this vault as another thread may use it; nobody is asked to open it again."""
        other = Vault(self.folder, self._ask)
        other.lock = self.lock
        other.reload()
        return other

    def changed(self) -> bool:
        """Return True when the file is not the one that was read: someone provisioned."""
        try:
            return self._stat() != self._stamp
        except OSError:
            return False  # gone for the moment; what was read still holds

    def reload(self) -> None:
        """Read the file again; raises ToolError as `open` does and then changes nothing."""
        path = self.folder / _FILE
        if not path.exists():
            raise ToolError(
                f"{self.folder}: there is no vault here",
                "Name the folder of one, or make one: vitalkeep hub --new-vault.",
            )
        check_private(self.folder, 0o700, _CONTENT)
        check_private(path, 0o600, _CONTENT)
        stamp = self._stat()
        try:
            data = json.loads(path.read_text())
            if data["v"] != _VERSION:
                raise ValueError(f"version {data['v']}, want {_VERSION}")
            site_id, site_name = _id(data["site"]["id"]), str(data["site"]["name"])
            lock = self._open_lock(data.get("lock"))
            entries = data["gateways"] if lock is None else _opened(lock, data["sealed"], site_id)
            gateways = [_gateway(entry) for entry in entries]
        except (KeyError, TypeError, ValueError) as error:
            # The message of a JSON error names a place, never the content around it.
            raise ToolError(
                f"{path}: damaged ({type(error).__name__})", "Restore it from its copy."
            ) from None
        self.site_id, self.site_name, self._stamp = site_id, site_name, stamp
        self.lock = lock
        self._gateways = {gateway.id: gateway for gateway in gateways}

    def _open_lock(self, parameters: Any) -> Lock | None:
        if parameters is None:
            return None
        if self.lock is not None and self.lock.parameters == parameters:
            return self.lock
        return open_lock(parameters, self._ask)

    def relock(self, lock: Lock | None) -> None:
        """Write the vault under another lock, or under none."""
        self.lock = lock
        self._write()

    def gateways(self) -> list[Gateway]:
        """Return all gateways in the order they were added, revoked ones as well."""
        return list(self._gateways.values())

    def admitted(self) -> list[str]:
        """Return the ids, in hex, of the gateways that are not revoked."""
        return [known.id.hex() for known in self._gateways.values() if not known.revoked]

    def revoke(self, gateway_id: bytes, now: datetime) -> Gateway:
        """Have nothing new taken from a gateway, for ever; raises ToolError for an unknown one."""
        with self._alone():
            known = self._gateways.get(gateway_id)
            if known is None:
                raise ToolError(
                    f"gateway {gateway_id.hex()}: not in this vault", "See vitalkeep vault list."
                )
            if not known.revoked:
                known = replace(known, revoked=now.isoformat(timespec="seconds"))
                self._gateways[gateway_id] = known
                self._write()
            return known

    def add_gateway(
        self,
        gateway_id: bytes,
        bed: str,
        root: bytes | None = None,
        log_id: bytes | None = None,
    ) -> Gateway:
        """Add a gateway, or a log to one that is known, and write the vault.

        gateway_id, log_id  8 bytes each; a new log id comes with each format of a flash
        root                32 bytes, random by default; that of a known gateway never changes
        Raises              ToolError when sizes are wrong or another root is given
        """
        with self._alone():
            gateway = self._add(gateway_id, bed, root, log_id)
            self._write()
            return gateway

    def add_gateways(self, gateways: Iterable[Gateway]) -> None:
        """Add many gateways, each with its logs, in one writing; raises as `add_gateway` does."""
        with self._alone():
            for gateway in gateways:
                for log_id in gateway.logs or (None,):
                    self._add(gateway.id, gateway.bed, gateway.root, log_id)
            self._write()

    def _add(
        self, gateway_id: bytes, bed: str, root: bytes | None, log_id: bytes | None
    ) -> Gateway:
        for name, value, size in (
            ("gateway id", gateway_id, ID_SIZE),
            ("log id", log_id, ID_SIZE),
        ):
            if value is not None and len(value) != size:
                raise ToolError(f"{name} of {len(value)} bytes, want {size}")
        if root is not None and len(root) != ROOT_SIZE:
            raise ToolError(f"root key of {len(root)} bytes, want {ROOT_SIZE}")
        known = self._gateways.get(gateway_id)
        if known is not None and root not in (None, known.root):
            raise ToolError(
                f"gateway {gateway_id.hex()} is known with another root key",
                "Gateway ids are never used twice: provision under a new one.",
            )
        if known is not None and known.revoked:
            raise ToolError(
                f"gateway {gateway_id.hex()} was revoked {known.revoked[:10]}",
                "Gateway ids are never used twice: provision under a new one.",
            )
        logs: Iterable[bytes] = known.logs if known else ()
        if log_id is not None:
            logs = [*(log for log in logs if log != log_id), log_id]
        secret = known.root if known else root or secrets.token_bytes(ROOT_SIZE)
        gateway = Gateway(gateway_id, bed, secret, tuple(logs))
        self._gateways[gateway_id] = gateway
        return gateway

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other programs from changing the vault, and follow what they did before."""
        try:
            with FileLock(self.folder / f"{_FILE}.lock", timeout=_LOCK_S, mode=0o600):
                if self.changed():
                    self.reload()
                yield
        except Timeout:
            raise ToolError(
                f"{self.folder}: another program changes it for {_LOCK_S} s already",
                "End that, and run the same again.",
            ) from None

    def _stat(self) -> tuple[int, int]:
        found = (self.folder / _FILE).stat()
        return found.st_mtime_ns, found.st_ino

    def _write(self) -> None:
        gateways = [
            {
                "id": gateway.id.hex(),
                "bed": gateway.bed,
                "root": gateway.root.hex(),
                "logs": [log.hex() for log in gateway.logs],
                **({"revoked": gateway.revoked} if gateway.revoked else {}),
            }
            for gateway in self._gateways.values()
        ]
        data: dict[str, Any] = {
            "v": _VERSION,
            "site": {"id": self.site_id.hex(), "name": self.site_name},
        }
        if self.lock is None:
            data["gateways"] = gateways
        else:
            data["lock"] = self.lock.parameters
            data["sealed"] = self.lock.seal(json.dumps(gateways).encode(), self.site_id)
        write_file(self.folder / _FILE, json.dumps(data, indent=1).encode())
        self._stamp = self._stat()


def _opened(lock: Lock, sealed: Any, site_id: bytes) -> Any:
    return json.loads(lock.open(sealed, site_id))


def _id(text: Any) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != ID_SIZE:
        raise ValueError(f"id of {len(value)} bytes")
    return value


def _gateway(entry: Any) -> Gateway:
    root = bytes.fromhex(entry["root"])
    if len(root) != ROOT_SIZE:
        raise ValueError(f"root key of {len(root)} bytes")
    logs = tuple(_id(log) for log in entry["logs"])
    return Gateway(_id(entry["id"]), str(entry["bed"]), root, logs, str(entry.get("revoked", "")))
