"""`vitalkeep fuzz`: what drivers make of random bytes and of changed messages."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed

import click

from bridge.core.protocols import PROTOCOLS
from hil.fuzz import Outcome, fuzz


@click.command("fuzz")
@click.option("--protocol", "names", type=click.Choice(sorted(PROTOCOLS)), multiple=True)
@click.option("--frames", type=click.IntRange(0), default=10000, show_default=True)
@click.option("--random-bytes", type=click.IntRange(0), default=100000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--jobs", type=click.IntRange(1), help="Processes; as many as there are cores.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a protocol.")
def fuzz_command(
    names: tuple[str, ...],
    frames: int,
    random_bytes: int,
    seed: int,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Feed drivers random bytes and real messages with bytes changed, and count what gets through.

    Ends with 1 when a driver raises.
    """
    chosen = names or tuple(sorted(PROTOCOLS))
    failed = False
    with ProcessPoolExecutor(jobs or os.cpu_count()) as pool:
        work = {pool.submit(fuzz, name, frames, random_bytes, seed): name for name in chosen}
        for done in as_completed(work):
            error = done.exception()
            if error is not None:
                failed = True
                click.echo(f"{work[done]}: {error!r}", err=True)
            else:
                _tell(done.result(), as_json)
    sys.exit(1 if failed else 0)


def _tell(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(outcome.as_dict()))
        return
    click.echo(
        f"{outcome.protocol:22} {outcome.random_values:6} values of {outcome.random_bytes} random"
        f" bytes; {outcome.false_values} false of {outcome.values} values in {outcome.frames}"
        " changed messages"
    )
