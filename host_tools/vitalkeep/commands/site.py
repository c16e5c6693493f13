"""`vitalkeep site`: what a site's broker is told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from vitalkeep.commands.ca import ca_folder, ca_option, json_option, now
from vitalkeep.errors import ToolError
from vitalkeep.hub.config.chosen import data_home, parse_listen

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group()
def site() -> None:
    """Set up a site."""


@site.command()
@click.option("--broker", type=click.Choice(["mosquitto", "nats"]), required=True)
@click.option("--out", type=_FOLDER, required=True, help="Folder for the broker; may exist.")
@click.option("--listen", default="0.0.0.0:8883", show_default=True, metavar="HOST:PORT")
@click.option(
    "--cluster",
    "nodes",
    multiple=True,
    metavar="NAME=HOST[:PORT]",
    help="A server of a NATS cluster, and where the others call it (port 6222). Give three.",
)
@click.option(
    "--witness",
    metavar="HOST:PORT",
    help="With --cluster: where hubs agree on their duties, for example 0.0.0.0:4222.",
)
@click.option("--path", default="", help="Of the folder on the broker's machine; default: --out.")
@click.option("--vault", type=_FOLDER, help="Folder of the site's vault.")
@click.option(
    "--apply",
    metavar="COMMAND",
    help="Has the broker read the folder, now and whenever a gateway is provisioned or revoked.",
)
@ca_option
@json_option
def config(
    broker: str,
    out: Path,
    listen: str,
    nodes: tuple[str, ...],
    witness: str | None,
    path: str,
    vault: Path | None,
    apply: str | None,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Write a broker's whole configuration, or what has changed of it.

    Each gateway of the vault may publish and read its own topics, by the name in its certificate,
    and nobody else gets in. Run it again after every change of gateways or certificates. With
    --cluster each server's files are in a folder of its name.

    The folder is noted with the authority. COMMAND may be `systemctl reload mosquitto`, or a
    program of yours that carries the folder to another machine.
    """
    from vitalkeep.keys.ca import Authority
    from vitalkeep.keys.vault import Vault
    from vitalkeep.site.known import Known, remember

    authority = Authority.open(ca_folder(folder))
    vault_ = Vault.open(vault or data_home() / "vault")
    where = parse_listen("--listen", listen)
    if nodes and broker != "nats":
        raise ToolError(f"--cluster: {broker} has none", "Write --broker nats.")
    if witness and not nodes:
        raise ToolError("--witness: want a cluster", "Give its servers: --cluster NAME=HOST.")
    duties = parse_listen("--witness", witness) if witness else None
    cluster = tuple(_node(text, where, duties) for text in nodes)
    known = Known(
        out.resolve(), broker, where, vault_.folder.resolve(), vault_.site_name, path, cluster
    )
    changes = known.write(authority, vault_.admitted(), now())
    known = remember(authority, known, apply)
    changed = {state for change in changes.values() for state in change.files.values()} != {"same"}
    if known.apply and changed:
        known.have_it_read()
        for change in changes.values():
            change.advice = ""
    if as_json:
        said = {name: _as_dict(change) for name, change in changes.items()}
        click.echo(json.dumps(said if nodes else said[""]))
        return
    for name, change in changes.items():
        _say_files(out / name, change)
    _say_users(next(iter(changes.values())))


def _node(text: str, listen: tuple[str, int], witness: tuple[str, int] | None) -> Any:
    from vitalkeep.site.nats import ROUTES_PORT, Node

    name, _, where = text.partition("=")
    if not where or not re.fullmatch(r"[a-z0-9-]+", name):
        raise ToolError(f"--cluster {text}: want NAME=HOST", "For example a=nats-a.ward3.example.")
    if ":" not in where.rpartition("]")[2]:
        where = f"{where}:{ROUTES_PORT}"
    return Node(name, parse_listen("--cluster", where), listen, witness)


def _say_files(out: Path, change: Any) -> None:
    for name, state in change.files.items():
        click.echo(f"{state:8} {out / name}")
    if change.advice:
        click.echo(change.advice)


def _say_users(change: Any) -> None:
    roles = [user.role for user in change.users]
    counts = ", ".join(f"{roles.count(role)} {role}s" for role in ("gateway", "hub", "relay"))
    click.echo(f"may connect: {counts}")
    for gateway in change.came:
        click.echo(f"new      {gateway}")
    for gateway in change.gone:
        click.echo(f"gone     {gateway}")
    for gateway in change.missing:
        click.echo(f"gateway {gateway} has no live certificate and is locked out", err=True)
    for gateway in change.strange:
        click.echo(f"gateway {gateway} is not in this vault and is locked out", err=True)


def _as_dict(change: Any) -> dict[str, Any]:
    return {
        "files": change.files,
        "users": [{"name": user.name, "role": user.role} for user in change.users],
        "came": change.came,
        "gone": change.gone,
        "missing": change.missing,
        "strange": change.strange,
        "advice": change.advice,
    }
