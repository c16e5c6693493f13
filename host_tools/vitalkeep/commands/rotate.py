"""`vitalkeep rotate-keys`: a gateway in use gets new keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from vitalkeep.commands import provision as verbs
from vitalkeep.commands.provision import office_options, open_office, told, unit_options

_ON_TRIAL = 3  # exit code


@click.command("rotate-keys")
@unit_options
@click.option("--certificate/--no-certificate", default=True, help="A new one, with a new key.")
@click.option("--epoch/--no-epoch", default=True, help="A new key epoch for the log.")
@click.option("--wait", default=60.0, show_default=True, type=click.FloatRange(0, 3600),
              help="Seconds for a site to receipt under the new certificate.")  # fmt: skip
@office_options
def rotate_keys(
    identity: str | None,
    port: str | None,
    home: Path | None,
    certificate: bool,
    epoch: bool,
    wait: float,
    vaults: Sequence[Path],
    folder: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Give the gateway that is plugged in a new certificate and a new key epoch.

    No record is lost, and old ones are opened from the vault as before. The board is not read from
    for a few seconds, two or three times. The old certificate is revoked once a site has receipted
    under the new one; until then the command ends with 3.
    """
    from vitalkeep.provision.board import GatewayBoard
    from vitalkeep.provision.rotate import rotate

    with told(as_json) as progress:
        office = open_office(folder, vaults, passphrase_file)
        assert office.signer
        with verbs.unit_at_work(identity, port, home) as unit:
            board = GatewayBoard(unit.device, office.sites.gateways)
            with board.left_running():
                done = rotate(
                    board, office, progress, certificate=certificate, epoch=epoch, patience_s=wait
                )
    if as_json:
        steps = [vars(step) for step in progress.steps]
        click.echo(json.dumps(done.as_dict() | {"steps": steps}))
    else:
        click.echo(f"gateway {done.gateway}: key epoch {done.epoch}, certificate "
                   f"{done.certificate or 'as it was'}")  # fmt: skip
    raise SystemExit(0 if done.is_proved else _ON_TRIAL)
