"""`vitalkeep provision`: a flashed board becomes the gateway of a bed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from vitalkeep.board.errors import BoardError
from vitalkeep.board.kinds import BOARDS
from vitalkeep.board.progress import Progress
from vitalkeep.board.units import find_units, locked
from vitalkeep.commands.ca import ca_folder, ca_option, json_option, now, passphrase_option, unlock
from vitalkeep.commands.flash import Teller
from vitalkeep.commands.revoke import vaults_option
from vitalkeep.errors import ToolError
from vitalkeep.hub.config.chosen import data_home

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)

Command = Callable[..., None]


def unit_options(command: Command) -> Command:
    """Give a command the options that say which board it works on."""
    for option in (
        click.option(
            "--id", "identity", help="Which of those plugged in: vitalkeep flash --list."
        ),
        click.option("--port", help="Its serial port."),
        click.option("--home", type=_FOLDER, help="Folder for locks and for what was saved."),
    ):
        command = option(command)
    return command


def office_options(command: Command) -> Command:
    """Give a command the options that say where authority and vaults are."""
    return vaults_option(ca_option(passphrase_option(json_option(command))))


def ward_options(command: Command) -> Command:
    """Give a command the options that say which gateway is meant."""
    command = click.option("--bed", metavar="NAME", help="Its bed, or its gateway's id.")(command)
    return click.option(
        "--ward", "ward_file", type=_FILE, required=True, help="The plan: docs/guides/ward.md."
    )(command)


def open_office(folder: Path | None, vaults: Sequence[Path], passphrase_file: Path | None) -> Any:
    """Return the office of an engineer; raises ToolError."""
    from vitalkeep.keys.ca import Authority
    from vitalkeep.keys.private_files import check_private
    from vitalkeep.provision.office import Office
    from vitalkeep.provision.sites import Sites

    authority = Authority.open(ca_folder(folder))
    check_private(authority.folder, 0o700, "the ward's certificate authority")
    sites = Sites.open(authority, vaults, data_home() / "vault")
    return Office(authority, sites, lambda: unlock(authority, passphrase_file), now)


def units_here() -> list[Any]:
    """Return the boards that are plugged in now."""
    return find_units()


@contextmanager
def unit_at_work(
    identity: str | None, port: str | None, home: Path | None, drive: Path | None = None
) -> Iterator[Any]:
    """Yield the board that is meant, locked; raises BoardError."""
    from vitalkeep.board.flash import Order, choose_unit

    kept = home or data_home() / "boards"
    unit = choose_unit(Order(kept, id=identity, port=port, drive=drive), find_units)
    if not unit.device and drive is None:
        raise BoardError(
            "no-firmware", f"{unit.drive}: it waits for an image", "First: vitalkeep flash."
        )
    with locked(unit.identity, kept / "locks"):
        yield unit


@contextmanager
def told(as_json: bool) -> Iterator[Progress]:
    """Yield what tells of steps; with --json a failure is one object, with its cause."""
    teller = Teller()
    progress = Progress() if as_json else Progress(teller.show, teller.is_terminal)
    try:
        yield progress
    except ToolError as error:
        if not as_json:
            raise
        cause = error.cause if isinstance(error, BoardError) else "error"
        said = {"outcome": cause, "message": error.message, "hint": error.hint}
        click.echo(json.dumps(said | {"steps": [vars(step) for step in progress.steps]}))
        raise SystemExit(error.exit_code) from None


@click.command()
@ward_options
@unit_options
@click.option("--erase-log", is_flag=True, help="A log of another gateway on it may go.")
@click.option("--trial", is_flag=True, help="Also where the log is full within a day.")
@click.option("--boards", type=_FOLDER, default=BOARDS, help="Folder of kinds of boards.")
@office_options
def provision(
    ward_file: Path,
    bed: str | None,
    identity: str | None,
    port: str | None,
    home: Path | None,
    erase_log: bool,
    trial: bool,
    boards: Path,
    vaults: Sequence[Path],
    folder: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Make a flashed board the gateway of a bed: keys, certificate, configuration.

    What is right already is left as it is, so after an interruption run the same again; also after
    a change of the ward's file. The vaults and the brokers are told.
    """
    from vitalkeep.provision.board import GatewayBoard
    from vitalkeep.provision.plan import find_bed, make_plan
    from vitalkeep.provision.provision import provision as provision_board
    from vitalkeep.ward.compile import load_ward

    with told(as_json) as progress:
        ward = load_ward(ward_file)
        plan = make_plan(ward, find_bed(ward, bed))
        office = open_office(folder, vaults, passphrase_file)
        with unit_at_work(identity, port, home) as unit:
            done = provision_board(
                GatewayBoard(unit.device, office.sites.gateways), plan, office, progress,
                boards=boards, erase_log=erase_log, trial=trial,
            )  # fmt: skip
    if as_json:
        steps = [vars(step) for step in progress.steps]
        click.echo(json.dumps({"outcome": "done"} | done.as_dict() | {"steps": steps}))
        return
    click.echo(f"{done.bed}: gateway {done.gateway} on {done.kind.name}, {done.hours:.0f} hours")
