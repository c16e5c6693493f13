"""The brokers of an authority: their folders, and how each hears of a change.

    ca/brokers.json   for its owner alone: it names commands that are run

Whoever provisions or revokes needs no list of his own: every broker that trusts the authority is
written again, and told.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cryptography import x509
from filelock import FileLock, Timeout

from vitalkeep.errors import ToolError
from vitalkeep.keys.ca import Authority, Issued
from vitalkeep.keys.private_files import check_private, write_file
from vitalkeep.site.config import Change, write_cluster, write_config
from vitalkeep.site.nats import Node

_FILE = "brokers.json"
_VERSION = 1
_APPLY_S = 60
_LOCK_S = 120
_HINT = "Write it again: vitalkeep site config."


@dataclass(frozen=True)
class Listener:
    """Where clients reach one server of a broker: the hosts of its certificate, and its port."""

    folder: Path
    hosts: tuple[str, ...]
    port: int


@dataclass(frozen=True)
class Known:
    """One broker's folder, as it was written last.

    out    the folder; of a cluster that of its servers' folders
    vault  folder of the site's vault
    name   of the site, which a cluster has as its own
    apply  command that has the broker read the folder, () for none
    """

    out: Path
    broker: str
    listen: tuple[str, int]
    vault: Path
    name: str
    path: str = ""
    nodes: tuple[Node, ...] = ()
    apply: tuple[str, ...] = ()

    def write(
        self, authority: Authority, gateways: Iterable[str], now: dt.datetime
    ) -> dict[str, Change]:
        """Write what has changed; returns {server's name, "" for the only one: Change}.

        Raises  ToolError
        """
        if self.nodes:
            known = list(gateways)
            return write_cluster(self.name, authority, known, self.out, self.nodes, now, self.path)
        return {
            "": write_config(
                self.broker, authority, gateways, self.out, self.listen, now, self.path
            )
        }

    def have_it_read(self) -> None:
        """Run the command that has the broker read its folder; raises ToolError."""
        shown = shlex.join(self.apply)
        try:
            done = subprocess.run(
                self.apply,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_APPLY_S,
                check=False,
            )
        except OSError as error:
            raise ToolError(f"{shown}: {error.strerror}", "Name another: --apply.") from None
        except subprocess.TimeoutExpired:
            raise ToolError(f"{shown}: not done after {_APPLY_S} s", "Run it by hand.") from None
        if done.returncode:
            words = (done.stderr + done.stdout).strip().splitlines()[-1:] or ["no word"]
            raise ToolError(f"{shown}: exit code {done.returncode}, {words[0]}", "Run it by hand.")

    def listeners(self) -> list[Listener]:
        """Return where its servers are reached; raises ToolError."""
        if not self.nodes:
            return [_listener(self.out, self.listen[1])]
        return [_listener(self.out / node.name, node.listen[1]) for node in self.nodes]


@contextmanager
def alone(authority: Authority) -> Iterator[None]:
    """Keep other programs from writing brokers' folders meanwhile; raises ToolError.

    Whoever writes next reads what was issued and revoked until then, so nobody's is lost.
    """
    try:
        with FileLock(authority.folder / "brokers.lock", timeout=_LOCK_S):
            yield
    except Timeout:
        raise ToolError(
            f"{authority.folder}: another program writes brokers' folders for {_LOCK_S} s already",
            "End that, and run the same again.",
        ) from None


def known_brokers(authority: Authority) -> list[Known]:
    """Return the brokers of an authority; raises ToolError."""
    path = authority.folder / _FILE
    if not path.exists():
        return []
    check_private(path, 0o600, "commands that are run")
    try:
        data = json.loads(path.read_text())
        if data["v"] != _VERSION:
            raise ValueError(f"version {data['v']}, want {_VERSION}")
        return [_parsed(row) for row in data["brokers"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ToolError(f"{path}: damaged ({error})", _HINT) from None


def remember(authority: Authority, broker: Known, apply: str | None) -> Known:
    """Note a broker for the next time, with its command; returns it as it is known now.

    apply   its command, None for that of the last time, "" for none
    Raises  ToolError
    """
    known = {one.out: one for one in known_brokers(authority)}
    before = known.get(broker.out)
    if apply is not None:
        broker = replace(broker, apply=_split(apply))
    elif before is not None:
        broker = replace(broker, apply=before.apply)
    if broker != before and os.access(authority.folder, os.W_OK):
        known[broker.out] = broker
        rows = [asdict(one) for one in known.values()]
        text = json.dumps({"v": _VERSION, "brokers": rows}, indent=1, default=str)
        write_file(authority.folder / _FILE, text.encode())
    return broker


def _split(command: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise ToolError(f"--apply {command}: {error}", "Quote it as for a shell.") from None


def _parsed(row: dict[str, Any]) -> Known:
    nodes = [
        Node(
            n["name"],
            _pair(n["routes"]),
            _pair(n["listen"]),
            _pair(n["witness"]) if n.get("witness") else None,
        )
        for n in row["nodes"]
    ]
    return Known(
        Path(row["out"]),
        str(row["broker"]),
        _pair(row["listen"]),
        Path(row["vault"]),
        str(row["name"]),
        str(row["path"]),
        tuple(nodes),
        tuple(map(str, row["apply"])),
    )


def _pair(value: Sequence[Any]) -> tuple[str, int]:
    host, port = value
    return str(host), int(port)


def _listener(folder: Path, port: int) -> Listener:
    path = folder / "tls" / "certificate.pem"
    try:
        issued = Issued(x509.load_pem_x509_certificate(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ToolError(f"{path}: {error}", _HINT) from None
    return Listener(folder, tuple(issued.hosts), port)
