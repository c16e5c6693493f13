"""`vitalkeep births`: the signed register of a ward's gateways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from vitalkeep.commands.ca import ca_folder, ca_option, json_option
from vitalkeep.errors import ToolError


@click.group()
def births() -> None:
    """Look into the register: which board became which gateway, when, and how it was tested."""


@births.command()
@click.option("--head", metavar="HASH", help="A line's hash, or its beginning, from a label.")
@ca_option
@json_option
def verify(head: str | None, folder: Path | None, as_json: bool) -> None:
    """Check every line's signature and place. With --head also that this very line is there.

    That is how a register shows that was cut off at its end.
    """
    entries = _entries(folder)
    if head is not None and not any(_is(entry, head) for entry in entries):
        raise ToolError(
            f"no line has the hash {head}",
            "The register was cut off or replaced: find its copy, and find out who.",
        )
    last = entries[-1].hash if entries else None
    if as_json:
        click.echo(json.dumps({"lines": len(entries), "head": last}))
        return
    click.echo(f"{len(entries)} lines are as they were signed; the last one's hash: {last}")


@births.command("list")
@ca_option
@json_option
def show(folder: Path | None, as_json: bool) -> None:
    """List the lines of the register, checked."""
    entries = _entries(folder)
    if as_json:
        rows = [dict(entry.fields) | {"hash": entry.hash} for entry in entries]
        click.echo(json.dumps(rows))
        return
    for entry in entries:
        fields = entry.fields
        click.echo(
            f"{fields['at'][:19]}  {entry.event:12} {entry.gateway}  "
            f"{fields.get('bed', ''):16} {entry.hash[:16]}"
        )


def _entries(folder: Path | None) -> Any:
    from vitalkeep.keys.births import Register
    from vitalkeep.keys.ca import Authority

    return Register(Authority.open(ca_folder(folder))).entries()


def _is(entry: Any, head: str) -> bool:
    return len(head) >= 8 and entry.hash.startswith(head.lower())
