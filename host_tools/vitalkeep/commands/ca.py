"""`vitalkeep ca`: the ward's certificates, made, listed, renewed and revoked."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from vitalkeep.errors import ToolError
from vitalkeep.hub.config.chosen import data_home

_SECRET = "VITALKEEP_CA_PASSPHRASE"
_PIN = "VITALKEEP_TOKEN_PIN"
_SOON_DAYS = 60
_FOLDER = click.Path(path_type=Path, file_okay=False)

ca_option = click.option(
    "--ca", "folder", type=_FOLDER, help="Folder of the authority; default: ca in the data folder."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Say it as one JSON object.")
passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"Its first line opens the key, or its token; else {_SECRET} or {_PIN}, else a prompt.",
)
_out_option = click.option(
    "--out", type=_FOLDER, required=True, help="Where certificate and key go; each holder's own."
)


def _signing(command: Callable[..., None]) -> Callable[..., None]:
    return ca_option(passphrase_option(json_option(command)))


def ca_folder(folder: Path | None) -> Path:
    return folder or data_home() / "ca"


def now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


@click.group()
def ca() -> None:
    """Keep the ward's certificate authority: who may speak to the brokers.

    Its key opens with a passphrase, or is in a PKCS#11 token. Keep its folder on a machine of its
    own, and a copy.
    """


@ca.command()
@click.option("--name", required=True, help="Of the ward, for people: it stands in certificates.")
@click.option("--token", "uri", metavar="URI", help="PKCS#11 URI of a new key in a token.")
@_signing
def create(
    name: str,
    uri: str | None,
    folder: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Make the authority of a ward, once.

    Its key is in a file under a passphrase, or in a token that it never leaves: --token
    'pkcs11:token=ward;object=ca?module-path=/usr/lib/softhsm/libsofthsm2.so'.
    """
    from vitalkeep.keys.ca import Authority
    from vitalkeep.keys.token import Address

    at = Address.parse(uri) if uri is not None else None
    secret = _secret(passphrase_file, at, new=True)
    made = Authority.create(ca_folder(folder), name, secret, now(), at=at)
    until = made.certificate.not_valid_after_utc
    if as_json:
        click.echo(json.dumps({"folder": str(made.folder), "until": _date(until)}))
        return
    click.echo(f"authority  {made.folder}, until {_date(until)}")
    if at is None:
        click.echo("Copy the folder to a safe place, and the passphrase to another.")
    else:
        click.echo("Copy the folder to a safe place. The key is in the token alone.")
    click.echo("Next: vitalkeep ca issue site NAME --host ADDRESS --out DIR")


@ca.command()
@click.argument("role", type=click.Choice(["site", "node", "hub", "gateway", "relay"]))
@click.argument("name")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    help="A name or address that the broker of a site or node is reached by, or a hub by other "
    "hubs. May be repeated.",
)
@click.option("--days", type=click.IntRange(1, 3650), help="Default: 397; gateways, relays 730.")
@_out_option
@_signing
def issue(
    role: str,
    name: str,
    hosts: Sequence[str],
    days: int | None,
    out: Path,
    folder: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Issue a certificate with a new key.

    NAME is the id of a gateway or a relay (16 hex digits), or a short name for a site, a node or
    a hub. Each hub needs its own: two that show the same one end each other's sessions. A relay
    is a base station of the radio link, a node one server of a broker's cluster.
    """
    authority, signer = _open(folder, passphrase_file)
    _check_free(out)
    bundle = authority.issue(signer, role, name, now(), hosts, days)
    _say_bundles([(bundle, bundle.write(out))], as_json)


@ca.command("list")
@click.option("--within", type=int, metavar="DAYS", help="Only what ends within so many days.")
@click.option("--all", "everything", is_flag=True, help="Also what is revoked or has ended.")
@ca_option
@json_option
def show(within: int | None, everything: bool, folder: Path | None, as_json: bool) -> None:
    """List certificates and when they end."""
    from vitalkeep.keys.ca import Authority

    authority, when = Authority.open(ca_folder(folder)), now()
    rows = [
        _row(issued, when)
        for issued in authority.issued()
        if (everything or issued.is_live(when))
        and (within is None or issued.days_left(when) <= within)
    ]
    own = (authority.certificate.not_valid_after_utc - when).days
    if as_json:
        click.echo(json.dumps({"authority_days": own, "certificates": rows}))
        return
    click.echo(f"authority  {authority.folder}: good for {own} days")
    for row in rows:
        soon = row["state"] == "live" and row["days"] <= _SOON_DAYS
        state = "ends soon" if soon else row["state"]
        click.echo(
            f"{row['role']:8} {row['name']:24} until {row['until'][:10]} {row['days']:5} days  "
            f"{state:10} serial {row['serial']}"
        )


@ca.command()
@click.argument("names", nargs=-1)
@click.option("--within", type=int, metavar="DAYS", help="Everyone whose newest ends by then.")
@click.option("--authority", "whole", is_flag=True, help="The authority itself: dates, same key.")
@click.option("--out", type=_FOLDER, help="A folder for each of them is made here.")
@_signing
def renew(
    names: Sequence[str],
    within: int | None,
    whole: bool,
    out: Path | None,
    folder: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Issue successors. The old ones stay good until they end or are revoked.

    NAMES are those of `vitalkeep ca list`.
    """
    authority, when = _authority(folder), now()
    newest = _newest(authority, when)
    chosen = list(names)
    for name in chosen:
        if name not in newest:
            raise ToolError(f"{name}: no live certificate", "vitalkeep ca list shows who has one.")
    if within is not None:
        chosen += [n for n, issued in newest.items() if issued.days_left(when) <= within]
    if not chosen and not whole:
        if within is None:
            raise ToolError("nothing to renew", "Name holders, or give --within or --authority.")
        _say_bundles([], as_json)
        return
    if chosen and out is None:
        raise ToolError("--out is missing", "Name a folder for the new certificates and keys.")
    signer = unlock(authority, passphrase_file)
    if whole:
        authority.renew_authority(signer, when)
    made = []
    for name in dict.fromkeys(chosen):
        assert out is not None
        _check_free(out / name)
        bundle = authority.renew(signer, newest[name], when)
        made.append((bundle, bundle.write(out / name)))
    if whole and not as_json:
        click.echo(f"authority  until {_date(authority.certificate.not_valid_after_utc)}")
    _say_bundles(made, as_json)


@ca.command()
@click.argument("name")
@click.option("--serial", help="This certificate of theirs alone.")
@click.option("--superseded", is_flag=True, help="All of theirs but the newest.")
@_signing
def revoke(
    name: str,
    serial: str | None,
    superseded: bool,
    folder: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Revoke a holder's certificates, all of them unless you say which.

    NAME is that of `vitalkeep ca list`. Brokers hear of it by `vitalkeep site config`. To shut a
    gateway out for good: vitalkeep revoke.
    """
    authority = _authority(folder)
    found = [issued for issued in authority.issued() if issued.name == name]
    if serial is not None:
        found = [issued for issued in found if issued.serial == serial.lower()]
    elif superseded:
        found = found[1:]
    found = [issued for issued in found if issued.revoked is None]
    if not found and not superseded:
        raise ToolError(
            f"{name}: no such certificate that is not revoked", "See vitalkeep ca list --all."
        )
    authority.revoke(unlock(authority, passphrase_file), found, now())
    if as_json:
        click.echo(json.dumps({"revoked": [issued.serial for issued in found]}))
        return
    for issued in found:
        click.echo(f"revoked  {issued.name}  serial {issued.serial}")
    click.echo("Next: vitalkeep site config, for each broker, and have it read the files.")


# --- parts of commands ---


def _authority(folder: Path | None) -> Any:
    from vitalkeep.keys.ca import Authority

    return Authority.open(ca_folder(folder))


def _open(folder: Path | None, passphrase_file: Path | None) -> tuple[Any, Any]:
    authority = _authority(folder)
    return authority, unlock(authority, passphrase_file)


def _secret(file: Path | None, token: Any, new: bool = False) -> bytes:
    """Return what opens the authority's key: a passphrase, or its token's PIN."""
    from vitalkeep.keys.passphrase import read_secret

    if token is not None:
        return read_secret("PIN of the authority's token", _PIN, file)
    return read_secret("passphrase of the authority", _SECRET, file, new)


def unlock(authority: Any, file: Path | None) -> Any:
    """Return the authority's key; its secret is in a file, the environment, or asked for."""
    return authority.unlock(_secret(file, authority.token))


def _check_free(folder: Path) -> None:
    if folder.is_dir() and any(folder.glob("key.*")):
        raise ToolError(
            f"{folder}: there is a key already", "Name another folder: a key is not overwritten."
        )


def _newest(authority: Any, when: dt.datetime) -> dict[str, Any]:
    newest: dict[str, Any] = {}
    for issued in authority.issued():  # by name, the newest first
        if issued.is_live(when):
            newest.setdefault(issued.name, issued)
    return newest


def _row(issued: Any, when: dt.datetime) -> dict[str, Any]:
    state = "live" if issued.is_live(when) else "revoked" if issued.revoked else "ended"
    return {
        "role": issued.role,
        "name": issued.name,
        "hosts": issued.hosts,
        "serial": issued.serial,
        "until": _date(issued.certificate.not_valid_after_utc),
        "days": issued.days_left(when),
        "state": state,
    }


def _say_bundles(bundles: Sequence[tuple[Any, list[Path]]], as_json: bool) -> None:
    when = now()
    if as_json:
        rows = [_row(b.issued, when) | {"files": [str(f) for f in files]} for b, files in bundles]
        click.echo(json.dumps({"issued": rows}))
        return
    for bundle, files in bundles:
        row = _row(bundle.issued, when)
        click.echo(f"{row['role']}  {row['name']}  until {row['until'][:10]}, {row['days']} days")
        for file in files:
            click.echo(f"  {file}")
        click.echo(f"  {_NEXT[row['role']]}")
    if not bundles:
        click.echo("nothing to renew")


_NEXT = {
    "site": "Next: vitalkeep site config, which reads it there.",
    "node": "Next: vitalkeep site config --cluster, which reads it there.",
    "hub": "Next: vitalkeep hub --broker mqtts://... --ca --certificate --key with these files.",
    "gateway": "Next: onto the board as tls/new, key.der last; and vitalkeep site config.",
    "relay": "Next: vitalkeep base-station with these; and vitalkeep site config.",
}


def _date(when: dt.datetime) -> str:
    return when.isoformat(timespec="seconds")
