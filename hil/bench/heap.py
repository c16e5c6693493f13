"""What the whole firmware takes of a board's heap, measured on 32 bits (whole.py)."""

from __future__ import annotations

import argparse
import ast
import functools
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from hil.bench.figures import LESS, Figure
from hil.bench.whole import make_order, run
from hil.errors import RigError
from vitalkeep.board.kinds import FIRMWARE

CODE_AND_DATA_MAX = 110 * 1024
DATA_MAX = 48 * 1024

_TLS_ROOM = 26 * 1024  # as the wiring of RP2 boards
_CALM_S = 6  # behind each hour: both sessions are back by then, and weighed with the rest
_THRESHOLD = 16384  # as firmware/main.py


def _imports_of(name: str) -> set[str]:
    """Return the firmware's modules that a module imports when it is imported."""
    path = FIRMWARE / (name.replace(".", "/") + ".py")
    if not path.exists():
        return set()
    wanted: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            wanted.add(node.module)
            wanted |= {f"{node.module}.{alias.name}" for alias in node.names}
    return wanted


def in_order(names: Iterable[str]) -> list[str]:
    """Return modules so that each comes behind all that it imports: its own bytes are its own."""
    known = sorted(names)
    done: list[str] = []

    def visit(name: str) -> Iterator[str]:
        parent = name.rpartition(".")[0]
        for other in ([parent] if parent else []) + sorted(_imports_of(name)):
            if other in known and other not in seen:
                seen.add(other)
                yield from visit(other)
        yield name

    seen: set[str] = set()
    for name in known:
        if name not in seen:
            seen.add(name)
            done += visit(name)
    return done


@dataclass(frozen=True)
class Heap:
    """Bytes on 32 bits.

    code      what the firmware's modules take when loaded from `.mpy`
    frozen    what they still take when frozen: functions, classes and tables made at import
    data      alive while it works, beside the modules
    peak      the same, with all that one turn of the loop allocated on top
    garbage   allocated in a second of work
    modules   {module: (bytes from `.mpy`, bytes when frozen)}
    parts     (part of the gateway, bytes it held)
    found     all that the run said
    """

    code: int
    frozen: int
    data: int
    peak: int
    garbage: int
    modules: dict[str, tuple[int, int]]
    parts: list[tuple[str, int]]
    found: dict[str, Any]

    @property
    def loaded(self) -> int:
        """Code and data of a gateway whose code is loaded from `.mpy`."""
        return self.code + self.data

    @property
    def data_frozen(self) -> int:
        """What a gateway with frozen code takes."""
        return self.frozen + self.data


@functools.cache
def modules() -> tuple[str, ...]:
    """Return the firmware's modules that the ward needs, each behind what it imports."""
    return tuple(in_order(run(make_order(job="modules"))["modules"]))


def measure(seconds: int = 60) -> Heap:
    """Return what the ward's gateway takes after some seconds of work; raises RigError."""
    names = modules()
    found = run(make_order(job="size", modules=names, seconds=seconds))
    frozen = run(make_order(job="frozen", modules=names))["modules"]
    return Heap(
        found["code"],
        sum(frozen.values()),
        found["data"],
        found["peak"],
        found["garbage_s"],
        {name: (found["modules"][name], frozen.get(name, 0)) for name in names},
        [(part, size) for part, size in found["parts"]],
        found,
    )


def flap(hours: int = 24, flaps: int = 2, flap_s: int = 4, heap: int = 1 << 20) -> dict[str, Any]:
    """Return what a day of links, sites and devices that come and go leaves; raises RigError.

    hours     of simulated time
    flaps     an hour, of `flap_s` seconds each; what lies between them passes at once
    heap      bytes that the interpreter starts with: `heap` in what is returned says what it had
              at the first hour and at the last
    """
    order = make_order(
        job="day", modules=modules(), sectors=40, tls_room=_TLS_ROOM, threshold=_THRESHOLD,
        hours=hours, flaps=flaps, flap_s=flap_s, calm_s=_CALM_S,
    )  # fmt: skip
    return run(order, heap)


def figures(heap: Heap) -> list[Figure]:
    """Return what `vitalkeep bench uplink` says of memory."""
    return [
        Figure("uplink.heap_bytes", heap.loaded, "B", LESS, limit=CODE_AND_DATA_MAX),
        Figure("uplink.heap_bytes.frozen", heap.data_frozen, "B", LESS, limit=DATA_MAX),
        Figure("uplink.heap_bytes.data", heap.data, "B", LESS, limit=DATA_MAX),
    ]


def main(arguments: list[str]) -> int:
    """Print the heap: python -m hil.bench.heap [--json] [--hours N]."""
    parser = argparse.ArgumentParser(prog="python -m hil.bench.heap", description=main.__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object, not a table")
    parser.add_argument("--seconds", type=int, default=60, help="of simulated work")
    parser.add_argument("--hours", type=int, default=0, help="of flapping, after that")
    asked = parser.parse_args(arguments)
    found = measure(asked.seconds)
    day = flap(asked.hours) if asked.hours else None
    if asked.json:
        print(json.dumps({**asdict(found), "day": day}))
        return 0
    for name, (code, frozen) in sorted(found.modules.items(), key=lambda item: -item[1][0]):
        print(f"{code:8,d} {frozen:7,d}  {name}")
    for part, size in found.parts:
        print(f"{size:16,d}  {part}")
    for figure in figures(found):
        met = "" if figure.met else "  MISSED"
        print(f"{figure.value:16,.0f}  {figure.name}, at most {figure.limit:,.0f}{met}")
    print(f"{found.code:16,d}  code from .mpy; {found.frozen:,d} of it when frozen")
    print(f"{found.peak:16,d}  data at most, with a turn's garbage; {found.garbage:,d} B a second")
    if day:
        print("alive after each hour:", *day["hours"])
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except RigError as error:
        raise SystemExit(str(error)) from None
