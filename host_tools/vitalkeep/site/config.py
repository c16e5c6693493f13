"""The folder of a site's broker: written whole, again after every change, and never half."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from vitalkeep.errors import ToolError
from vitalkeep.keys.ca import Authority, Issued
from vitalkeep.keys.private_files import update_file
from vitalkeep.site import mosquitto, nats
from vitalkeep.site.nats import Node
from vitalkeep.site.rights import User, users_of

_USERS = "users.json"  # who could connect, for people and for the next writing

_NODES = 3  # of a cluster: fewer cannot lose one, more only slow each other down

_OWN = "own."  # files for settings of one's own: made once, then left alone

Files = Callable[[Sequence[User], tuple[str, int], str, str], dict[str, str]]


@dataclass(frozen=True)
class Broker:
    """One kind of broker.

    files    (users, (host, port), path on its machine, name) -> {file: text}
    main     the file that it is started with; a change of it takes a restart
    advice   what to do after the first writing, after a change, and after one of `main`
    """

    files: Files
    main: str
    advice: dict[str, str]


BROKERS = {
    "mosquitto": Broker(mosquitto.files, "mosquitto.conf", mosquitto.ADVICE),
    "nats": Broker(nats.files, "nats.conf", nats.ADVICE),
}


@dataclass
class Change:
    """What a writing did.

    files    {name: "new", "changed" or "same"}
    users    who may connect now
    came     names that the broker did not know before; gone: those that it knew
    missing  gateways of the vault that have no live certificate: they are locked out
    strange  gateways with a live certificate that the vault does not know: locked out as well
    advice   the next action for whoever runs the broker
    """

    files: dict[str, str] = field(default_factory=dict)
    users: list[User] = field(default_factory=list)
    came: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    advice: str = ""


def write_config(
    broker: str,
    authority: Authority,
    gateways: Iterable[str],
    out: Path,
    listen: tuple[str, int],
    now: dt.datetime,
    path: str = "",
) -> Change:
    """Write a broker's folder, or what changed in it; raises ToolError.

    broker    a name of BROKERS
    gateways  ids of the site's vault, in hex
    out       folder; its `tls` holds what `vitalkeep ca issue site` wrote
    listen    address and port for gateways and hubs
    path      of the folder on the broker's machine, when that is another one
    """
    kind = BROKERS[broker]
    name = _check_certificate(authority, out, "site", now)
    change = _who(authority, gateways, now)
    where = path or str(out.resolve())
    _write_folder(
        change, kind, authority, out, where, kind.files(change.users, listen, where, name)
    )
    return change


def write_cluster(
    name: str,
    authority: Authority,
    gateways: Iterable[str],
    out: Path,
    nodes: Sequence[Node],
    now: dt.datetime,
    path: str = "",
) -> dict[str, Change]:
    """Write a folder for each server of a NATS cluster; returns what each writing did.

    name  of the cluster
    out   folder of the nodes' folders; each one's `tls` is from `vitalkeep ca issue node`
    path  of `out` on the brokers' machines, when these are others
    Raises  ToolError as write_config does, and for another number of nodes than three
    """
    if len(nodes) != _NODES or len({node.name for node in nodes}) != _NODES:
        raise ToolError(
            f"a cluster of {len({node.name for node in nodes})} servers, want {_NODES}",
            "Give three: one may then be lost, and the other two still agree.",
        )
    kind = BROKERS["nats"]
    for node in nodes:
        host = node.routes[0]
        if ":" in host or host.replace(".", "").isdigit():
            # nats-server compares names of certificates and no addresses.
            raise ToolError(
                f"--cluster {node.name}={host}: an address; servers know each other by name",
                "Give names, if need be from /etc/hosts, and issue certificates for them.",
            )
    for node in nodes:
        _check_certificate(authority, out / node.name, "node", now, node.routes[0])
    known = list(gateways)
    changes = {}
    for node in nodes:
        change = changes[node.name] = _who(authority, known, now)
        folder = out / node.name
        where = f"{path}/{node.name}" if path else str(folder.resolve())
        texts = nats.node_files(change.users, node, nodes, where, name)
        _write_folder(change, kind, authority, folder, where, texts)
    return changes


def _who(authority: Authority, gateways: Iterable[str], now: dt.datetime) -> Change:
    """Return a Change that knows its users and nothing of files yet."""
    known = list(gateways)
    live = [issued for issued in authority.issued() if issued.is_live(now)]
    holders = {issued.name for issued in live if issued.role == "gateway"}
    return Change(
        users=users_of(live, known),
        missing=sorted(set(known) - holders),
        strange=sorted(holders - set(known)),
    )


def _write_folder(
    change: Change,
    kind: Broker,
    authority: Authority,
    out: Path,
    where: str,
    files: dict[str, str],
) -> None:
    """Write what differs, and note that in `change`."""
    # Trust comes first: nothing else may name what is not there yet.
    texts = {"tls/ca.pem": authority.folder / "ca.pem", "crl.pem": authority.folder / "crl.pem"}
    contents = {file: source.read_bytes() for file, source in texts.items()}
    contents |= {file: text.encode() for file, text in files.items()}
    before = _users(out / _USERS)
    after = {user.name: user.role for user in change.users}
    change.came, change.gone = sorted(set(after) - before), sorted(before - set(after))
    contents[_USERS] = json.dumps(after, indent=1).encode() + b"\n"
    for file, data in contents.items():
        own = file.startswith(_OWN) and (out / file).exists()
        change.files[file] = "same" if own else update_file(out / file, data, 0o644)
    if change.files[kind.main] == "new":
        change.advice = kind.advice["start"].format(path=where)
    elif change.files[kind.main] == "changed":
        change.advice = kind.advice["restart"]
    elif "changed" in change.files.values():
        change.advice = kind.advice["reload"]


def _check_certificate(
    authority: Authority, out: Path, role: str, now: dt.datetime, host: str = ""
) -> str:
    """Return the name in the certificate in a broker's folder; raises ToolError.

    host  that must be in it, "" for any
    """
    path = out / "tls" / "certificate.pem"
    shown = host or "ADDRESS"
    hint = f"Run: vitalkeep ca issue {role} NAME --host {shown} --out {out / 'tls'}"
    try:
        issued = Issued(x509.load_pem_x509_certificate(path.read_bytes()))
        issued.certificate.verify_directly_issued_by(authority.certificate)
    except FileNotFoundError:
        raise ToolError(f"{path}: the {role}'s certificate is not there", hint) from None
    except (ValueError, TypeError, InvalidSignature):
        raise ToolError(f"{path}: not a certificate of this authority", hint) from None
    if issued.role != role or issued.days_left(now) < 0:
        found = issued.role if issued.role != role else "past its end"
        raise ToolError(f"{path}: want a {role}'s certificate, found one {found}", hint)
    if host and host not in issued.hosts:
        raise ToolError(f"{path}: does not name {host}, by which the others call it", hint)
    return issued.name


def _users(path: Path) -> set[str]:
    """Return the names of the last writing."""
    try:
        return set(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return set()
