"""`vitalkeep doctor`: what is on a line, how the line is set, and what is wrong with it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from bridge.core.protocols import PROTOCOLS, make_decoder
from vitalkeep.commands.decode import parse_options
from vitalkeep.decoding.capture import parse_hex
from vitalkeep.doctor.board import Board
from vitalkeep.doctor.diagnose import SURE, Diagnosis, diagnose, scan
from vitalkeep.doctor.recording import Recording
from vitalkeep.doctor.setting import Setting
from vitalkeep.doctor.sources import Asker, Port, from_capture, opened


@click.command()
@click.option("--port", help="A serial port to listen on.")
@click.option("--board", help="A board, as `mpremote connect` takes it.")
@click.option("--uart", type=click.IntRange(0, 3), default=1, show_default=True, help="Its UART.")
@click.option("--pins", default="{}", callback=parse_options, help='As {"tx": 8, "rx": 9}.')
@click.option("--capture", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--hex", "is_hex", is_flag=True, help="The capture is hexadecimal.")
@click.option("--setting", help="Only this one, as in '19200 8E1'.")
@click.option("--ask", type=click.Choice(sorted(PROTOCOLS)), help="Ask as this driver does.")
@click.option("--options", default="{}", callback=parse_options, help="For --ask, as JSON.")
@click.option("--seconds", default=30.0, show_default=True, type=click.FloatRange(1, 600))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def doctor(
    port: str | None,
    board: str | None,
    uart: int,
    pins: dict[str, int],
    capture: Path | None,
    is_hex: bool,
    setting: str | None,
    ask: str | None,
    options: dict[str, object],
    seconds: float,
    as_json: bool,
) -> None:
    """Say which protocol, speed and framing fit a line, how surely, and what is wrong.

    It only listens. A device that speaks when asked stays silent then: --ask NAME sends what the
    driver of that protocol sends, all of it reads, to a device that you know to be one of these.
    Ends with 0 when it is sure, else with 1.
    """
    try:
        known = None if setting is None else Setting.parse(setting)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--setting") from None
    if sum(source is not None for source in (port, board, capture)) != 1:
        raise click.UsageError("one of --port, --board and --capture")
    if capture is not None:
        data = capture.read_bytes()
        pieces = [(False, data)]
        if is_hex:
            pieces = parse_hex(data.decode("ascii", "replace"), str(capture))
        found = diagnose([from_capture(pieces, known or Setting(9600))])
    elif board is not None:
        ear = Board(board, uart, pins)
        if known is not None:
            found = diagnose([ear.listen(known, seconds)])
        else:
            found = scan(ear.listen, seconds, can_invert=True)
    else:
        assert port is not None
        with opened(port) as line:
            found = _at_the_port(line, known, ask, options, seconds)
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    else:
        _tell(found, capture is not None and known is None)
    raise SystemExit(0 if found.verdict == SURE else 1)


def _at_the_port(
    line: Port, known: Setting | None, ask: str | None, options: dict[str, object], seconds: float
) -> Diagnosis:
    def listen(setting: Setting, for_s: float) -> Recording:
        click.echo(f"\rlistening at {setting} ", nl=False, err=True)
        asker = None if ask is None else Asker(ask, options)
        recording = line.listen(setting, for_s, asker)
        click.echo(f"{len(recording.data)} bytes", err=True)
        return recording

    if known is not None:
        return diagnose([listen(known, seconds)])
    if ask is not None:
        module = sys.modules[make_decoder(ask, options).__class__.__module__]
        ports = [Setting.parse(text) for text in module.PORTS]
        return diagnose([listen(setting, seconds / len(ports)) for setting in ports])
    return scan(listen, seconds)


def _tell(found: Diagnosis, any_speed: bool) -> None:
    if found.protocol:
        where = "" if any_speed else f" at {found.setting}"
        options = f" with options {json.dumps(found.options)}" if found.options else ""
        click.echo(f"{found.verdict}: {found.protocol}{options}{where}")
        click.echo(f"  {100 * found.coverage:.0f} % of the bytes, {found.evidence} bits of proof")
    else:
        click.echo("unknown")
    for name in found.others:
        click.echo(f"  also possible: {name}")
    for finding in found.findings:
        click.echo(f"  {finding.name}: {finding.text}")
