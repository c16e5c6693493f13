"""`vitalkeep revoke`: a gateway is shut out, everywhere and at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from vitalkeep.commands.ca import ca_folder, ca_option, json_option, now, passphrase_option, unlock
from vitalkeep.errors import ToolError
from vitalkeep.hub.config.chosen import data_home

_FOLDER = click.Path(path_type=Path, file_okay=False)
_PARTLY = 3  # exit code

vaults_option = click.option(
    "--vault",
    "vaults",
    type=_FOLDER,
    multiple=True,
    help="Folder of a site's vault; may be repeated. Default: those of the known brokers.",
)


@click.command()
@click.argument("gateway")
@vaults_option
@ca_option
@passphrase_option
@json_option
def revoke(
    gateway: str,
    vaults: Sequence[Path],
    folder: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Shut a gateway out for ever: one that was stolen, lost or thrown away.

    GATEWAY is its id or its bed. It is struck from the vaults, so hubs take nothing new from it;
    its certificates are revoked; every broker of the authority reads that and ends its session.
    What it sealed before stays readable. Run it again as often as you like: it says what is left
    to do, and ends with 3 while something is.
    """
    from vitalkeep.keys.ca import Authority
    from vitalkeep.site.known import known_brokers
    from vitalkeep.site.revoke import FAILED, Revoker, open_vaults

    authority = Authority.open(ca_folder(folder))
    brokers = known_brokers(authority)
    folders = list(vaults) or [broker.vault for broker in brokers] or [data_home() / "vault"]
    opened, failed = open_vaults(folders)
    id = _find(gateway, opened, authority)
    signer = unlock(authority, passphrase_file)
    tell = (lambda deed: None) if as_json else _tell
    revoker = Revoker(id, authority, signer, opened, brokers, tell)
    for deed in failed:
        revoker.note(deed)
    done = revoker.run(now)
    outcome = "done" if done.is_whole else "partly"
    if as_json:
        deeds = [vars(deed) for deed in done.deeds]
        click.echo(json.dumps({"outcome": outcome, "gateway": done.gateway, "deeds": deeds}))
    elif done.is_whole:
        click.echo(f"{done.gateway} is shut out. A replacement takes a new id.")
    else:
        left = sum(deed.state == FAILED for deed in done.deeds)
        click.echo(f"{done.gateway}: {left} left to do; then run the same again", err=True)
    raise SystemExit(0 if done.is_whole else _PARTLY)


def _find(name: str, vaults: Sequence[Any], authority: Any) -> bytes:
    """Return the id of a gateway by id or bed; raises ToolError."""
    known = {one.id.hex(): one for vault in vaults for one in vault.gateways()}
    # The bed of a gateway that is revoked has another one by now.
    found = [id for id, one in known.items() if name == one.bed and not one.revoked]
    if name in known:
        found = [name]
    elif not found:
        issued = {one.name for one in authority.issued() if one.role == "gateway"}
        found = [name] if name in issued else []
    if len(found) != 1:
        why = "no such gateway" if not found else f"several have this bed: {', '.join(found)}"
        raise ToolError(f"{name}: {why}", "Name it by its id: vitalkeep vault list.")
    return bytes.fromhex(found[0])


def _tell(deed: Any) -> None:
    click.echo(f"{deed.state:7} {deed.what:12} {deed.where}: {deed.detail}", err=bool(deed.hint))
    if deed.hint:
        click.echo(f"        {deed.hint}", err=True)
