"""`vitalkeep simulate`: a device's side of a serial line, for whoever has none at hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import sys
import termios
import time
import tty
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import click
import serial

from hil.errors import RigError
from hil.ledger import Ledger
from hil.simulators import SIMULATORS, module_of, plug_in, setting_of
from hil.simulators.device import Plug
from hil.simulators.line import SerialLine
from hil.simulators.plan import Plan, Trouble, run_planned
from hil.tasks import end_tasks
from hil.vitals import Sample, TraceError, TraceVitals, VitalsModel
from vitalkeep.commands.decode import parse_options
from vitalkeep.doctor.setting import Setting
from vitalkeep.doctor.sources import apply_setting

_TELL_S = 1.0


@click.command()
@click.argument("name", type=click.Choice(sorted(SIMULATORS)))
@click.option("--port", type=click.Path(path_type=Path), help="A serial port, or a name to make.")
@click.option("--setting", help="Of the port, where it is not the usual, as in '9600 8E1'.")
@click.option("--options", callback=parse_options, help="How the device is set, as JSON.")
@click.option("--trace", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--faults", metavar="PLAN", help="A JSON file, or the JSON itself.")
@click.option("--seed", default=1, show_default=True, help="Of the patient.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Then stop.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
def simulate(
    name: str,
    port: Path | None,
    setting: str | None,
    options: dict[str, Any] | None,
    trace: Path | None,
    faults: str | None,
    seed: int,
    seconds: float | None,
    as_json: bool,
) -> None:
    """Be a device of protocol NAME on a serial line, until Ctrl-C.

    Without --port a new pseudo-terminal is made and named; a --port that does not exist becomes a
    link to one; a port that exists is opened as the device sets it.
    """
    plan = _plan(faults)
    sample = _vitals(trace, seed)
    known = setting_of(name)
    if setting is not None:
        try:
            known = Setting.parse(setting)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--setting") from None
    if options is None:
        options = dict(module_of(name).OPTIONS)
    with _line(port, known) as (master, there):
        line = SerialLine(master, known.baud, known.character_bits, plan.faults)
        told = f"{name} at {known} on {there}; options {json.dumps(options)}"
        click.echo(told, err=as_json)

        def start(plug: Plug) -> Coroutine[Any, Any, None]:
            return plug_in(name, plug, options)

        ledger = asyncio.run(_run(name, start, line, sample, plan, known, seconds, as_json))
    found = {"protocol": name, "port": there, "observations": ledger.produced}
    found |= {"spoilt": ledger.damaged, "unheard_bytes": line.unheard}
    if as_json:
        click.echo(json.dumps(found))


def _plan(faults: str | None) -> Plan:
    if faults is None:
        return Plan()
    text = faults
    if not faults.lstrip().startswith("{"):
        try:
            text = Path(faults).read_text(encoding="utf-8")
        except OSError as error:
            raise RigError(f"{faults}: {error.strerror}", "Give a JSON file or JSON.") from None
    try:
        plan = json.loads(text)
    except ValueError as error:
        raise RigError(f"faults: {error}", "Give a JSON file or JSON.") from None
    if not isinstance(plan, dict):
        raise RigError("faults: not a JSON object", 'The simplest is {"flip": 0.01}.')
    return Plan.parse(plan)


def _vitals(trace: Path | None, seed: int) -> Sample:
    model = VitalsModel(seed)
    if trace is None:
        return model.sample
    try:
        return TraceVitals(trace, model.sample).sample
    except TraceError as error:
        raise RigError(str(error), "The form is described in the README.") from None


@contextlib.contextmanager
def _line(port: Path | None, setting: Setting) -> Iterator[tuple[int, str]]:
    """Yield the descriptor of the device's end and the name of the gateway's."""
    if port is not None and port.exists():
        if not stat.S_ISCHR(port.stat().st_mode):
            raise RigError(f"{port}: not a serial port", "Name a port, or a path that is free.")
        try:
            device = serial.Serial(str(port), timeout=0)
        except (OSError, ValueError) as error:
            raise RigError(f"{port}: {error}", "Is it in use, or not yours to open?") from None
        with device:
            apply_setting(device, setting)
            modes = termios.tcgetattr(device.fileno())
            modes[6][termios.VMIN] = 1  # so that "nothing yet" is not "no more"
            termios.tcsetattr(device.fileno(), termios.TCSANOW, modes)
            yield device.fileno(), str(port)
        return
    master, slave = os.openpty()
    tty.setraw(slave)  # held open, so that bytes wait for whoever opens it
    os.set_blocking(master, False)
    there = os.ttyname(slave)
    try:
        if port is not None:
            try:
                port.symlink_to(there)
            except OSError as error:
                raise RigError(f"{port}: {error.strerror}", "Name a path that is free.") from None
        yield master, there if port is None else str(port)
    finally:
        if port is not None and port.is_symlink():
            port.unlink()
        os.close(master)
        os.close(slave)


async def _run(
    name: str,
    start: Callable[[Plug], Coroutine[Any, Any, None]],
    line: SerialLine,
    sample: Sample,
    plan: Plan,
    setting: Setting,
    seconds: float | None,
    quiet: bool,
) -> Ledger:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    ledger = Ledger()
    start_s = time.monotonic()
    plug = Plug(line, lambda: sample(time.monotonic() - start_s), ledger, "bed-1", name)
    trouble = Trouble(plan, setting)
    device = asyncio.ensure_future(run_planned(start, plug, trouble))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        while not stop.is_set() and not device.done():
            left_s = _TELL_S if seconds is None else seconds - (time.monotonic() - start_s)
            if left_s <= 0:
                break
            await asyncio.wait((device, stopping), timeout=min(_TELL_S, left_s))
            if not quiet and sys.stderr.isatty():
                said = f"\r{ledger.produced} observations, {ledger.damaged} spoilt "
                click.echo(said, nl=False, err=True)
        if device.done():
            device.result()  # raises what stopped it
    finally:
        await end_tasks((device, stopping))
    return ledger
