"""`vitalkeep setup`: a bare board, one command, an accepted gateway with a label."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vitalkeep.board.flash import Order
from vitalkeep.board.kinds import BOARDS, FIRMWARE
from vitalkeep.board.progress import Progress
from vitalkeep.board.units import Unit, from_drive, unit_at
from vitalkeep.commands import provision as verbs
from vitalkeep.commands.provision import (
    office_options,
    open_office,
    told,
    unit_options,
    ward_options,
)
from vitalkeep.hub.config.chosen import data_home

if TYPE_CHECKING:
    from vitalkeep.provision.guide import Guide
    from vitalkeep.provision.office import Office
    from vitalkeep.provision.runs import Asked
    from vitalkeep.provision.setup import Done, Wishes

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@ward_options
@unit_options
@click.option("--drive", type=_FOLDER, help="The drive that an RP2 shows with BOOTSEL held.")
@click.option("--board", help="Which of boards/ it is, where the ward's file does not say.")
@click.option("--image", type=_FILE, help="MicroPython, as a file.")
@click.option("--sha256", default="", help="The hash that the image must have.")
@click.option("--images", "pins", type=_FILE, help="List of pinned images.")
@click.option("--flash/--no-flash", default=True, help="Bring image and firmware, or not.")
@click.option("--no-devices", is_flag=True, help="Devices come later: silence is no failure.")
@click.option("--listen", default=20.0, show_default=True, type=click.FloatRange(1, 600),
              help="Seconds for which devices are listened to.")  # fmt: skip
@click.option("--labels", type=_FOLDER, help="Folder for labels; default: labels in --home.")
@click.option("--trial", is_flag=True, help="Also where memory or log are small.")
@click.option("--erase-log", is_flag=True, help="A log in another place may go; it is saved.")
@click.option("--boards", type=_FOLDER, default=BOARDS, help="Folder of kinds of boards.")
@click.option("--firmware", type=_FOLDER, default=FIRMWARE, help="Folder of the firmware.")
@click.option("--page", is_flag=True, help="The same as a guided page in this computer's browser.")
@office_options
def setup(
    ward_file: Path,
    bed: str | None,
    identity: str | None,
    port: str | None,
    home: Path | None,
    vaults: Sequence[Path],
    folder: Path | None,
    passphrase_file: Path | None,
    page: bool,
    as_json: bool,
    **rest: Any,
) -> None:
    """Make a board that is plugged in the accepted gateway of a bed, from bare to label.

    Finds the board, flashes it, installs the firmware, makes keys and certificate, writes the
    configuration, tests it at its sites and with its devices, prints a label and enters the birth
    in the register. What is right already is left as it is: after an interruption run the same
    again, without --bed if you like. Several may run side by side, each with its --id; with
    --page all of that is chosen, begun and watched in a browser.
    """
    from vitalkeep.provision.setup import Wishes, set_up
    from vitalkeep.ward.compile import load_ward

    if page and (bed or identity or as_json):
        raise click.UsageError("--page asks for bed and board itself: without --bed, --id, --json")
    kept = home or data_home() / "boards"
    with told(as_json) as progress:
        ward = load_ward(ward_file)
        office = open_office(folder, vaults, passphrase_file)
        wishes = Wishes(
            flash=_order(kept, rest) if rest["flash"] else None,
            ward=ward,
            bed=bed,
            home=kept,
            labels=rest["labels"] or kept / "labels",
            listen_s=rest["listen"],
            silent=rest["no_devices"],
            trial=rest["trial"],
            erase_log=rest["erase_log"],
        )
        # Asked for now, while somebody is there, and not when half of it is done.
        assert office.signer
        if page:
            _show_page(ward_file, wishes, office, _units(port, rest["drive"]))
            return
        with verbs.unit_at_work(identity, port, home, rest["drive"]) as unit:
            done = set_up(unit, wishes, office, progress, verbs.units_here)
    if as_json:
        steps = [vars(step) for step in progress.steps]
        click.echo(json.dumps(done.as_dict() | {"steps": steps}))
        return
    made = done.provisioned
    click.echo(f"{made.bed}: gateway {made.gateway} is accepted")
    click.echo(f"  keeps its devices for {done.accepted.hours:.0f} hours without any site")
    click.echo(f"  print its label: {done.label[0]}")


def _order(home: Path, rest: dict[str, Any]) -> Order:
    listed = home / "images.txt"
    pins = rest["pins"] or (listed if listed.exists() else None)
    return Order(
        home=home,
        board=rest["board"],
        image=rest["image"],
        sha256=rest["sha256"],
        pins=pins,
        trial=rest["trial"],
        erase_log=rest["erase_log"],
        boards=rest["boards"],
        firmware=rest["firmware"],
    )


def _units(port: str | None, drive: Path | None) -> Callable[[], list[Unit]]:
    """Return what finds the boards that are plugged in, those that were named among them."""

    def find() -> list[Unit]:
        found: list[Unit] = verbs.units_here()
        named = [from_drive(drive)] if drive is not None else []
        if port is not None and os.path.exists(port):
            named.append(unit_at(port, found))
        known = {unit.identity for unit in found}
        return found + [unit for unit in named if unit and unit.identity not in known]

    return find


def _show_page(
    ward_file: Path, wishes: Wishes, office: Office, units: Callable[[], list[Unit]]
) -> None:
    """Serve the guided page until Ctrl-C; each run on it is what the command would do."""
    from vitalkeep.provision.guide import Guide
    from vitalkeep.provision.runs import Runs
    from vitalkeep.provision.serve import serve_page
    from vitalkeep.provision.setup import set_up
    from vitalkeep.ward.compile import load_ward

    def work(asked: Asked, progress: Progress) -> Done:
        ward = load_ward(ward_file)  # again, as for a command that is run again
        mine = replace(wishes, ward=ward, bed=asked.bed, silent=asked.silent)
        here = {unit.identity: unit for unit in units()}.get(asked.board)
        drive = here.drive if here else None
        named = here.device if here and here.what == "named" else None
        with verbs.unit_at_work(asked.board, named, wishes.home, drive) as unit:
            return set_up(unit, mine, office.beside(), progress, verbs.units_here)

    def make(moved: Callable[[], None]) -> Guide:
        runs = Runs(work, moved)
        return Guide(
            lambda: load_ward(ward_file), office.register, wishes.home, units, runs, wishes.silent
        )

    if not serve_page(make, click.echo):
        raise SystemExit(130)
