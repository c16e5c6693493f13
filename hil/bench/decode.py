"""The drivers as a subject of `vitalkeep bench`: speed, allocations and heap, by protocol."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from bridge.core.protocols import PROTOCOLS
from hil.bench.figures import LESS, MORE, Figure, Report, show
from hil.bench.runner import Runner
from hil.board import REPOSITORY
from hil.errors import RigError
from hil.simulators import module_of
from hil.traffic import traffic_of
from vitalkeep.board.kinds import FIRMWARE

_LINE_BYTES_PER_S = 11520  # 115200 baud, 10 bits a byte
_HEAP_MAX = 8 * 1024
_JOB = """\
import json
from hil.bench.on_micropython.decode import main
main(json.loads({order!r}))
"""
_TIMEOUT_S = 300
_WASM = REPOSITORY / ".venv" / "micropython32" / "node_modules" / "@micropython"
_RUN_32 = REPOSITORY / "tests" / "micropython32" / "run.mjs"
_COPIED = ("firmware/bridge", "hil/bench/on_micropython", "tests/shims")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, not a table.")
@click.option("--protocol", "names", type=click.Choice(sorted(PROTOCOLS)), multiple=True)
@click.option("--seconds", type=click.IntRange(5, 600), default=60, show_default=True)
@click.option("--repeats", type=click.IntRange(1, 1000), default=10, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
def decode(as_json: bool, names: tuple[str, ...], **options: int) -> None:
    """Measure the drivers on MicroPython, on what their devices really say."""
    report = measure(
        names or tuple(sorted(PROTOCOLS)), lambda t: click.echo(t, err=True), **options
    )
    show(report, as_json)


def measure(
    names: tuple[str, ...], tell: Callable[[str], None], seconds: int, repeats: int, seed: int
) -> Report:
    """Return speed, allocations and heap of each protocol."""
    report = Report(
        {
            "subject": "decode",
            "command": shlex.join(["vitalkeep", *sys.argv[1:]]),
            "versions": {"vitalkeep": version("vitalkeep")},
            "seed": seed,
            "seconds": seconds,
            "repeats": repeats,
        }
    )
    with tempfile.TemporaryDirectory(prefix="vitalkeep-bench-") as folder:
        runner = Runner(Path(folder))
        report.context["versions"]["micropython"] = runner.version()
        node = shutil.which("node")
        packages = list(_WASM.glob("*")) if _WASM.is_dir() else []
        if node is None or not packages:
            report.skipped["decode.heap_bytes"] = (
                "no MicroPython for 32 bits: make setup, in a checkout"
            )
        for name in names:
            tell(f"{name} ...")
            job = Path(folder) / "job.py"
            order = {
                "name": name,
                "options": module_of(name).OPTIONS,
                "turns": _turns(name, seconds, seed),
                "repeats": repeats,
            }
            job.write_text(_JOB.format(order=json.dumps(order)))
            found = _run([runner.command, "-X", "heapsize=4M", str(job)])
            heap = None
            if node is not None and packages:
                job.write_text(_JOB.format(order=json.dumps({**order, "repeats": 1})))
                command = [node, str(_RUN_32), str(packages[0]), str(REPOSITORY), str(job)]
                heap = _run([*command, *_COPIED])["heap"]
            report.figures += _figures(name, found, heap)
            if found["damaged"]:
                report.failures.append(f"{name}: {found['damaged']} bytes of good traffic damaged")
    return report


def _figures(name: str, found: dict[str, Any], heap: int | None) -> list[Figure]:
    speed = found["size"] / (found["us"] / 1e6)
    each = found["allocated"] / max(1, found["frames"])
    line = "a line at 115200 bit/s"
    return [
        Figure(f"decode.bytes_per_s.{name}", speed, "B/s", MORE, line, _LINE_BYTES_PER_S),
        Figure(f"decode.allocations_per_frame.{name}", each, "B", LESS, limit=0),
        Figure(f"decode.heap_bytes.{name}", heap, "B", LESS, limit=_HEAP_MAX),
    ]


def _run(command: list[str]) -> dict[str, Any]:
    environment = dict(os.environ, MICROPYPATH=f"{FIRMWARE}:{REPOSITORY}:.frozen")
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        raise RigError(
            "bench: a driver failed on MicroPython; its output is above.",
            "The driver may be broken: run its tests (make test).",
        ) from None
    return found


def _turns(name: str, seconds: int, seed: int) -> list[tuple[int, str]]:
    """Return what a line hands to the driver, turn by turn, in some seconds of traffic."""
    found = traffic_of(name, float(seconds), seed)
    return [(now_ms, data.hex()) for now_ms, data in found.turns]
