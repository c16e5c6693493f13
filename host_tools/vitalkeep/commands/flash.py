"""`vitalkeep flash`: a bare board gets MicroPython, its flash map and the firmware."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from vitalkeep.board.errors import BoardError
from vitalkeep.board.flash import Order
from vitalkeep.board.flash import flash as flash_board
from vitalkeep.board.kinds import BOARDS, FIRMWARE
from vitalkeep.board.progress import Progress, Step
from vitalkeep.board.units import find_units
from vitalkeep.hub.config.chosen import data_home
from vitalkeep.remote.conversation import known_gateways
from vitalkeep.shown import shown

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option("--board", help="Which of boards/ it is, as in ESP32_GENERIC.")
@click.option("--id", "identity", help="Which of those plugged in; --list says their ids.")
@click.option("--port", help="Its serial port.")
@click.option("--drive", type=_FOLDER, help="The drive that an RP2 shows with BOOTSEL held.")
@click.option("--image", type=_FILE, help="MicroPython, as a file.")
@click.option("--sha256", default="", help="The hash that the image must have.")
@click.option("--images", "pins", type=_FILE, help="List of pinned images.")
@click.option("--files/--no-files", default=True, help="Bring the firmware onto it, or not.")
@click.option("--trial", is_flag=True, help="Also where the firmware does not fit the memory.")
@click.option("--erase-log", is_flag=True, help="A log in another place may go; it is saved.")
@click.option("--format-files", is_flag=True, help="Files that cannot be read may go.")
@click.option("--older", is_flag=True, help="A newer firmware may go.")
@click.option("--baud", default=460800, show_default=True, type=click.IntRange(9600, 4000000))
@click.option("--stub/--no-stub", default=True, help="Load esptool's faster loader, or not.")
@click.option("--home", type=_FOLDER, help="Folder for locks, images and what was saved.")
@click.option("--boards", type=_FOLDER, default=BOARDS, help="Folder of kinds of boards.")
@click.option("--firmware", type=_FOLDER, default=FIRMWARE, help="Folder of the firmware.")
@click.option(
    "--vault", type=_FOLDER, help="Of the gateway on it, whose prompt is closed; else the default."
)
@click.option("--list", "only_list", is_flag=True, help="Say which boards are plugged in.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, and no progress.")
def flash(
    only_list: bool,
    as_json: bool,
    home: Path | None,
    identity: str | None,
    vault: Path | None,
    **rest: Any,
) -> None:
    """Write MicroPython, the flash map and the firmware onto a board that is plugged in.

    What is right already is left as it is, so after an interruption run the same again. Before
    anything is erased it is read and kept on this computer.
    """
    if only_list:
        _list(as_json)
        return
    kept = home or data_home() / "boards"
    listed = kept / "images.txt"
    if rest["pins"] is None and listed.exists():
        rest["pins"] = listed
    teller = Teller()
    progress = Progress() if as_json else Progress(teller.show, teller.is_terminal)
    try:
        order = Order(home=kept, id=identity, gateways=lambda: known_gateways(vault), **rest)
        done = flash_board(order, progress)
    except BoardError as error:
        if not as_json:
            raise
        steps = [vars(step) for step in progress.steps]
        said = {"outcome": error.cause, "message": error.message, "hint": error.hint}
        click.echo(json.dumps(said | {"steps": steps}))
        raise SystemExit(error.exit_code) from None
    if as_json:
        click.echo(json.dumps(done.as_dict()))
        return
    click.echo(f"{done.kind.name} at {done.port or done.id}: ready to be provisioned")
    click.echo(f"  its log keeps an 18-parameter monitor for {done.hours:.0f} hours")
    if done.saved:
        click.echo(f"  what was on it: {done.saved}")


def _list(as_json: bool) -> None:
    units = find_units()
    if as_json:
        click.echo(json.dumps([unit.as_dict() for unit in units]))
    for unit in units if not as_json else []:
        click.echo(f"{unit.identity:24} {unit.device or unit.drive!s:24} {unit.what}")
    if not units and not as_json:
        click.echo("no board is plugged in", err=True)


class Teller:
    """Shows steps on stderr: a line each, and the percent in place on a terminal."""

    def __init__(self) -> None:
        self.is_terminal = sys.stderr.isatty()

    def show(self, step: Step, percent: float | None) -> None:
        if step.outcome:
            detail = f": {shown(step.detail)}" if step.detail else ""
            end = "\r\x1b[K" if self.is_terminal else ""
            click.echo(f"{end}{step.outcome:9} {step.name}{detail}", err=True)
        elif self.is_terminal:
            done = "" if percent is None else f" {percent:3.0f} %"
            click.echo(f"\r\x1b[K...       {step.name}{done}", nl=False, err=True)
