"""`vitalkeep ward`: one file for a ward, and from it each gateway's configuration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from vitalkeep.commands.ca import json_option
from vitalkeep.errors import ToolError

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def ward() -> None:
    """Plan a ward in one file: its sites, beds, devices and links."""


@ward.command()
@click.argument("file", type=_FILE)
@json_option
def check(file: Path, as_json: bool) -> None:
    """Say what is wrong with a ward's FILE, line by line. It reads no secret."""
    from vitalkeep.ward.compile import lines_of, load_ward

    found = load_ward(file)
    rows = [
        {
            "bed": bed.name,
            "gateway": bed.gateway,
            "devices": [d.name for line in lines_of(found, bed) for d in line.devices],
        }
        for bed in found.beds
    ]
    if as_json:
        click.echo(json.dumps({"sites": [site.name for site in found.sites], "beds": rows}))
        return
    click.echo(f"nothing is wrong: {len(found.sites)} sites, {len(rows)} beds")
    for row in rows:
        click.echo(f"  {row['bed']:16} {row['gateway']}  {', '.join(row['devices'])}")


@ward.command("compile")
@click.argument("file", type=_FILE)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="A folder for each gateway is made here.",
)
@click.option("--bed", "beds", multiple=True, metavar="NAME", help="Only this one; repeatable.")
@json_option
def compile_(file: Path, out: Path, beds: Sequence[str], as_json: bool) -> None:
    """Write each gateway's config.json from a ward's FILE, where it differs.

    It has the keys of the ward's networks in clear, as the board wants them: the files are for
    their owner alone.
    """
    from vitalkeep.keys.private_files import update_file
    from vitalkeep.ward.compile import gateway_config, load_ward

    found = load_ward(file)
    names = [bed.name for bed in found.beds]
    for name in beds:
        if name not in names:
            raise ToolError(f"{file}: no bed {name}", f"There are {', '.join(names)}.")
    # All of them first: a secret that is missing leaves nothing half done.
    chosen = [bed for bed in found.beds if not beds or bed.name in beds]
    made = [(bed, json.dumps(gateway_config(found, bed), indent=1) + "\n") for bed in chosen]
    states = {}
    for bed, text in made:
        path = out / bed.gateway / "config.json"
        states[bed.name] = update_file(path, text.encode(), 0o600)
        if not as_json:
            click.echo(f"{states[bed.name]:8} {path}  {bed.name}")
    if as_json:
        click.echo(json.dumps({"out": str(out), "beds": states}))
