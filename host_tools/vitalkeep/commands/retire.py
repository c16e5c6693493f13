"""`vitalkeep retire`: the end of a gateway whose board is plugged in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from vitalkeep.commands import provision as verbs
from vitalkeep.commands.provision import office_options, open_office, told, unit_options

_FILE = click.Path(path_type=Path, dir_okay=False)
_PARTLY = 3  # exit code, as of `revoke`


@click.command()
@click.option("--ward", "ward_file", type=_FILE, help="The plan, which names the sites.")
@unit_options
@click.option("--lose", is_flag=True, help="What no site has may be lost.")
@click.option("--wait", default=120.0, show_default=True, type=click.FloatRange(0, 86400),
              help="Seconds for which the gateway may deliver what is left.")  # fmt: skip
@office_options
def retire(
    ward_file: Path | None,
    identity: str | None,
    port: str | None,
    home: Path | None,
    lose: bool,
    wait: float,
    vaults: Sequence[Path],
    folder: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """End a gateway: deliver what is left, shut it out, and make its board blank.

    Unplug its devices first. Nothing is erased before a site has receipted every byte of the log,
    unless you order that it be lost. What was stored stays readable from the vault. The register
    gets a signed end record. After an interruption run the same again.
    """
    from vitalkeep.provision.board import GatewayBoard
    from vitalkeep.provision.retire import retire as retire_board
    from vitalkeep.ward.compile import load_ward

    with told(as_json) as progress:
        ward = load_ward(ward_file) if ward_file is not None else None
        office = open_office(folder, vaults, passphrase_file)
        assert office.signer
        with verbs.unit_at_work(identity, port, home) as unit:
            board = GatewayBoard(unit.device, office.sites.gateways)
            with board.left_running():
                done = retire_board(board, ward, office, progress, lose=lose, patience_s=wait)
    if as_json:
        steps = [vars(step) for step in progress.steps]
        click.echo(json.dumps(done.as_dict() | {"steps": steps}))
    else:
        click.echo(f"gateway {done.gateway} is retired; its board may be another under a new id")
        for deed in done.revocation.deeds:
            if deed.hint:
                click.echo(f"left: {deed.where}: {deed.detail}. {deed.hint}", err=True)
    raise SystemExit(0 if done.revocation.is_whole else _PARTLY)
