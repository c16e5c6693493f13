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
from vitalkeep.site.rights import User, users_of

_USERS = "users.json"  # who could connect, for people and for the next writing

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
    name = _check_site(authority, out, now)
    known = list(gateways)
    live = [issued for issued in authority.issued() if issued.is_live(now)]
    users = users_of(live, known)
    holders = {issued.name for issued in live if issued.role == "gateway"}
    change = Change(
        users=users,
        missing=sorted(set(known) - holders),
        strange=sorted(holders - set(known)),
    )
    where = path or str(out.resolve())
    files = kind.files(users, listen, where, name)
    # Trust comes first: nothing else may name what is not there yet.
    texts = {"tls/ca.pem": authority.folder / "ca.pem", "crl.pem": authority.folder / "crl.pem"}
    contents = {file: source.read_bytes() for file, source in texts.items()}
    contents |= {file: text.encode() for file, text in files.items()}
    before = _users(out / _USERS)
    after = {user.name: user.role for user in users}
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
    return change


def _check_site(authority: Authority, out: Path, now: dt.datetime) -> str:
    """Return the name of the site whose certificate is in the folder; raises ToolError."""
    path = out / "tls" / "certificate.pem"
    hint = f"Run: vitalkeep ca issue site NAME --host ADDRESS --out {out / 'tls'}"
    try:
        issued = Issued(x509.load_pem_x509_certificate(path.read_bytes()))
        issued.certificate.verify_directly_issued_by(authority.certificate)
    except FileNotFoundError:
        raise ToolError(f"{path}: the site's certificate is not there", hint) from None
    except (ValueError, TypeError, InvalidSignature):
        raise ToolError(f"{path}: not a certificate of this authority", hint) from None
    if issued.role != "site" or issued.days_left(now) < 0:
        found = issued.role if issued.role != "site" else "past its end"
        raise ToolError(f"{path}: want a site's certificate, found one {found}", hint)
    return issued.name


def _users(path: Path) -> set[str]:
    """Return the names of the last writing."""
    try:
        return set(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return set()
