"""`vitalkeep update`: a new firmware is built, signed, and brought to gateways."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from vitalkeep.board.kinds import BOARDS, FIRMWARE
from vitalkeep.commands.ca import ca_folder, ca_option, json_option, passphrase_option, unlock
from vitalkeep.commands.gateway import remote
from vitalkeep.errors import ToolError
from vitalkeep.shown import shown

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_older_option = click.option("--older", is_flag=True, help="A newer firmware may go.")


@click.group()
def update() -> None:
    """Bring gateways another firmware, which goes back by itself when it is no good.

    It is one file, a bundle. The ward's authority signs it, and no gateway takes another's.
    """


@update.command()
@click.option("--board", required=True, help="Which of boards/ it is for, as in RPI_PICO2_W.")
@click.option("--mpy", help="What sys.implementation._mpy is there; see vitalkeep update state.")
@click.option("--boards", type=_FOLDER, default=BOARDS, help="Folder of kinds of boards.")
@click.option("--firmware", type=_FOLDER, default=FIRMWARE, help="Folder of the firmware.")
@click.option(
    "--patch",
    "base",
    type=_FOLDER,
    help="Folder of the firmware that the gateway's image has in it: take only what differs.",
)
@click.argument("out", type=_FILE)
@json_option
def build(
    board: str,
    mpy: str | None,
    boards: Path,
    firmware: Path,
    base: Path | None,
    out: Path,
    as_json: bool,
) -> None:
    """Compile the firmware into a bundle, a file OUT that nobody has signed yet."""
    from vitalkeep.board.bundle import pack
    from vitalkeep.board.compile import compile_firmware, usual_mpy
    from vitalkeep.board.kinds import find_kind
    from vitalkeep.board.patch import make_patch

    kind = find_kind(board, boards)
    number = _number(mpy) if mpy else usual_mpy(kind)
    if base is not None:
        bundle = make_patch(firmware, base, kind, number)
    else:
        made = compile_firmware(firmware, kind, number)
        bundle = pack(made.modules, made.manifest)
    _write(out, bundle)
    _say(bundle, as_json)


@update.command()
@click.argument("file", type=_FILE)
@ca_option
@passphrase_option
@json_option
def sign(file: Path, folder: Path | None, passphrase_file: Path | None, as_json: bool) -> None:
    """Sign a bundle with the key of the ward's authority."""
    from vitalkeep.keys.ca import Authority

    bundle = _read(file)
    signed = bundle.sign(unlock(Authority.open(ca_folder(folder)), passphrase_file))
    _write(file, signed)
    _say(signed, as_json)


@update.command()
@click.argument("file", type=_FILE)
@ca_option
@json_option
def check(file: Path, folder: Path | None, as_json: bool) -> None:
    """Say what a bundle is, and whether the ward's authority has signed it."""
    from vitalkeep.keys.ca import Authority

    bundle = _read(file)
    key: Any = Authority.open(ca_folder(folder)).certificate.public_key()
    if not bundle.is_signed_by(key):
        what = "another authority has signed it" if bundle.is_signed else "nobody has signed it"
        raise ToolError(f"{file}: {what}", "Sign it if it is yours: vitalkeep update sign.")
    _say(bundle, as_json)


@update.command()
@click.argument("file", type=_FILE)
@remote
@_older_option
def push(file: Path, older: bool, as_json: bool, **where: Any) -> None:
    """Send a bundle to a gateway through a site's broker, and wait until it is kept.

    After an interruption run the same again: it goes on from what has come.
    """
    from vitalkeep.commands.gateway import talk
    from vitalkeep.remote.update import push as send

    bundle = _read(file)
    teller = _Teller(as_json)

    async def job(desk: Any) -> str:
        return await send(desk, bundle, older, teller.show)

    teller.end(talk(job, **where))


@update.command()
@click.argument("file", type=_FILE)
@click.option("--port", required=True, help="The gateway's serial port.")
@click.option("--vault", type=_FOLDER, help="With its keys, which open its prompt.")
@_older_option
@json_option
def bring(file: Path, port: str, vault: Path | None, older: bool, as_json: bool) -> None:
    """Bring a bundle to a gateway over USB, and wait until it is kept."""
    from vitalkeep.board.errors import BoardError
    from vitalkeep.board.update import bring as bring_over_usb
    from vitalkeep.remote.conversation import known_gateways

    bundle = _read(file)
    teller = _Teller(as_json)
    try:
        said = bring_over_usb(port, bundle, older, teller.show, lambda: known_gateways(vault))
    except BoardError as error:
        if not as_json:
            raise
        told = {"outcome": error.cause, "message": error.message, "hint": error.hint}
        click.echo(json.dumps(told))
        raise SystemExit(error.exit_code) from None
    teller.end(said)


@update.command()
@remote
def state(as_json: bool, **where: Any) -> None:
    """Say which firmware a gateway runs, and what has come of another one."""
    from vitalkeep.commands.gateway import talk

    async def job(desk: Any) -> Any:
        return await desk.ask("firmware")

    found = talk(job, **where)
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, value in sorted(found.items()):
        click.echo(shown(f"{name:10} {hex(value) if name == 'mpy' else value}"))


class _Teller:
    """Shows what happens on stderr, the percent in place on a terminal; or JSON, a line each."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._in_place = sys.stderr.isatty() and not as_json
        self._last = ""

    def show(self, text: str, percent: float | None) -> None:
        if self._as_json:
            # A line for each percent, not for each part
            line = f"{text} {percent or 0:.0f}"
            if line != self._last:
                told = {} if percent is None else {"percent": int(percent)}
                click.echo(json.dumps({"event": text, **told}))
            self._last = line
        elif percent is None:
            if text != self._last:
                click.echo(f"{self._clear()}{shown(text)}", err=True)
            self._last = text
        elif self._in_place:
            click.echo(f"\r\x1b[K{text} {percent:3.0f} %", nl=False, err=True)

    def end(self, said: str) -> None:
        if self._as_json:
            click.echo(json.dumps({"outcome": "done", "said": said}))
        else:
            click.echo(f"{self._clear()}{shown(said)}")

    def _clear(self) -> str:
        return "\r\x1b[K" if self._in_place else ""


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ToolError(f"--mpy {text}: no number", "It looks like 0x2b06.") from None


def _read(file: Path) -> Any:
    from vitalkeep.board.bundle import parse

    try:
        return parse(file.read_bytes(), str(file))
    except OSError as error:
        raise ToolError(
            f"{file}: {error.strerror}", "vitalkeep update build makes a bundle."
        ) from None


def _write(file: Path, bundle: Any) -> None:
    from vitalkeep.keys.private_files import write_file

    write_file(file, bundle.data, 0o644)


def _say(bundle: Any, as_json: bool) -> None:
    facts = bundle.facts()
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name:8} {hex(value) if name == 'mpy' else value}")
