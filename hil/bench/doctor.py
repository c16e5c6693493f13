"""The wiring doctor as a subject of `vitalkeep bench`: how often it is right, and surely wrong."""

from __future__ import annotations

import os
import random
import shlex
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version

import click

from hil.bench.figures import LESS, MORE, Figure, Report, show
from hil.simulators import setting_of
from hil.simulators.waveform import inverted
from hil.wires import Wire, signal_of
from vitalkeep.doctor.diagnose import BAUDS, SURE, UNKNOWN, Diagnosis, diagnose, scan
from vitalkeep.doctor.recognise import CANDIDATES
from vitalkeep.doctor.recording import Recording
from vitalkeep.doctor.setting import Setting

# A configured pattern has no look of its own, and a contact is no serial line.
NAMES = tuple(sorted({candidate.name for candidate in CANDIDATES}))
NOISES = (0.0, 0.0003, 0.001, 0.003)
LISTEN_S = 10.0

_SCAN_S = 30.0
_SCAN_NOISE = 0.0003
_RIGHT_MIN = 0.95
_GARBAGE_BYTES = 4000


@dataclass
class Count:
    """Answers about one protocol: how many, how many right, how many surely wrong."""

    asked: int = 0
    right: int = 0
    sure: int = 0
    wrong: int = 0

    def note(self, found: Diagnosis, name: str) -> None:
        is_right = found.verdict != UNKNOWN and found.protocol == name
        self.asked += 1
        self.right += is_right
        self.sure += is_right and found.verdict == SURE
        self.wrong += found.verdict == SURE and found.protocol != name


@dataclass
class Counts:
    """One protocol's lines: at their setting, scanned, with crossed wires, at other speeds."""

    name: str
    listened: Count
    scanned: Count
    crossed: Count
    other_speeds: Count


def count(name: str, seeds: int) -> Counts:
    """Return what the doctor says of lines of one protocol."""
    setting = setting_of(name)
    found = Counts(name, Count(), Count(), Count(), Count())
    for seed in range(seeds):
        for noise in NOISES:
            wire = Wire(signal_of(name, LISTEN_S + 1, noise, seed))
            found.listened.note(diagnose([wire.listen(setting, LISTEN_S)]), name)
        signal = signal_of(name, _SCAN_S + 10, _SCAN_NOISE, seed)
        found.scanned.note(scan(Wire(signal).listen, _SCAN_S, can_invert=True), name)
        crossed = Wire(inverted(signal))
        found.crossed.note(scan(crossed.listen, _SCAN_S, can_invert=True), name)
        signal = signal_of(name, LISTEN_S + 1, 0.0, seed)
        for baud in BAUDS:
            if baud != setting.baud:
                heard = Wire(signal).listen(Setting(baud), LISTEN_S)
                found.other_speeds.note(diagnose([heard]), name)
    return found


def count_garbage(lines: int) -> Count:
    """Return what the doctor says of random bytes and of text of nobody's."""
    found = Count()
    draw = random.Random(1)
    for number in range(lines):
        data = draw.randbytes(_GARBAGE_BYTES)
        if number % 2:
            data = bytes(draw.choice(b"0123456789 .,;:=-ABCDEF\r\n") for _ in data)
        recording = Recording(Setting(9600), LISTEN_S, [(1.0, data)])
        found.note(diagnose([recording]), "")
    return found


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, not a table.")
@click.option("--protocol", "names", type=click.Choice(NAMES), multiple=True)
@click.option("--seeds", type=click.IntRange(1, 1000), default=2, show_default=True)
@click.option("--jobs", type=click.IntRange(1), help="Processes; as many as there are cores.")
def doctor(as_json: bool, names: tuple[str, ...], seeds: int, jobs: int | None) -> None:
    """Measure the wiring doctor on generated lines of every protocol, with noise."""
    report = measure(names or NAMES, lambda t: click.echo(t, err=True), seeds, jobs)
    show(report, as_json)


def measure(
    names: tuple[str, ...], tell: Callable[[str], None], seeds: int, jobs: int | None = None
) -> Report:
    """Return how often the doctor is right, by protocol and in all."""
    report = Report(
        {
            "subject": "doctor",
            "command": shlex.join(["vitalkeep", *sys.argv[1:]]),
            "versions": {"vitalkeep": version("vitalkeep")},
            "seeds": seeds,
            "seconds": LISTEN_S,
            "noises": NOISES,
        }
    )
    lines: list[Counts] = []
    with ProcessPoolExecutor(jobs or os.cpu_count()) as pool:
        for found in pool.map(count, names, [seeds] * len(names)):
            tell(f"{found.name}: {found.listened.right} of {found.listened.asked}")
            lines.append(found)
    for found in lines:
        report.figures.append(_right(f"doctor.named_right.{found.name}", [found.listened], None))
    listened = [found.listened for found in lines]
    report.figures += [
        _right("doctor.named_right", listened, _RIGHT_MIN),
        _part("doctor.named_surely", [(one.sure, one.asked) for one in listened]),
        _right("doctor.scanned_right", [found.scanned for found in lines], _RIGHT_MIN),
        _right("doctor.crossed_right", [found.crossed for found in lines], None),
    ]
    every = [count_garbage(20 * seeds)]
    for found in lines:
        every += [found.listened, found.scanned, found.crossed, found.other_speeds]
    wrong = sum(one.wrong for one in every)
    note = f"of {sum(one.asked for one in every)} lines"
    report.figures.append(Figure("doctor.surely_wrong", wrong, "1", LESS, limit=0, note=note))
    report.failures += [
        f"{figure.name}: {figure.value}" for figure in report.figures if figure.met is False
    ]
    return report


def _right(name: str, counts: list[Count], limit: float | None) -> Figure:
    return _part(name, [(one.right, one.asked) for one in counts], limit)


def _part(name: str, counts: list[tuple[int, int]], limit: float | None = None) -> Figure:
    good, asked = sum(one[0] for one in counts), sum(one[1] for one in counts)
    return Figure(name, good / asked, "1", MORE, limit=limit, note=f"{good} of {asked}")
