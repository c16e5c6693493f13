"""`vitalkeep power-cuts`: cut a gateway's power at every flash operation and judge its log."""

import json
import os
import sys
import time

import click

from hil.power_cuts.campaign import TEARS, Failure, Verdict, campaign
from hil.power_cuts.judge import INVARIANTS
from hil.power_cuts.lineage import cut_at


def _parse_cut(
    context: click.Context, option: click.Parameter, value: str | None
) -> tuple[int, int, int] | None:
    if value is None:
        return None
    try:
        seed, operation, tear = (int(part) for part in value.split(":"))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not three numbers, as in 7:120:2") from None
    if seed < 0 or operation < 1 or not 0 <= tear < TEARS:
        raise click.BadParameter(f"operations count from 1, tears from 0 to {TEARS - 1}")
    return seed, operation, tear


@click.command("power-cuts")
@click.option("--cuts", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--jobs", type=click.IntRange(1), help="Processes; as many as there are cores.")
@click.option(
    "--cut",
    callback=_parse_cut,
    metavar="SEED:OPERATION:TEAR",
    help="Only this one, as a failure names it.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
def power_cuts(
    cuts: int, seed: int, jobs: int | None, cut: tuple[int, int, int] | None, as_json: bool
) -> None:
    """Cut a gateway's power at every flash operation of its work, in every way a NOR chip fails.

    After each cut the gateway comes back, often through more cuts, works on, and its log is
    compared with all it was ever told. Ends with 1 when anything did not hold.
    """
    start = time.monotonic()
    if cut is not None:
        verdict = _one(*cut)
    else:
        with click.progressbar(
            length=cuts, label="Cutting", show_pos=True, file=sys.stderr
        ) as progress:
            verdict = campaign(
                cuts,
                seed,
                jobs or os.cpu_count() or 1,
                lambda so_far: progress.update(so_far.cuts - progress.pos),
            )
    seconds = time.monotonic() - start
    click.echo(json.dumps(_object(verdict, seconds)) if as_json else _table(verdict, seconds))
    raise SystemExit(1 if verdict.broken else 0)


def _one(seed: int, operation: int, tear: int) -> Verdict:
    found = cut_at(seed, operation, tear)
    if found is None:
        raise click.UsageError(f"the work of seed {seed} has no operation {operation}")
    verdict = Verdict(cuts=1, workloads=1)
    verdict.note(seed, operation, tear, found)
    return verdict


def _place(failure: Failure) -> str:
    return f"{failure.seed}:{failure.operation}:{failure.tear}"


def _object(verdict: Verdict, seconds: float) -> dict[str, object]:
    return {
        "cuts": verdict.cuts,
        "workloads": verdict.workloads,
        "seconds": round(seconds, 1),
        "holds": not verdict.broken,
        "invariants": {name: verdict.broken[name] for name in INVARIANTS},
        "failures": [
            {"cut": _place(failure), "invariant": failure.invariant, "what": failure.what}
            for failure in verdict.failures
        ],
    }


def _table(verdict: Verdict, seconds: float) -> str:
    lines = [f"{verdict.cuts} cuts in {verdict.workloads} workloads, {seconds:.0f} s"]
    width = max(len(name) for name in INVARIANTS)
    for name in INVARIANTS:
        broken = verdict.broken[name]
        lines.append(f"  {name:{width}}  {f'BROKEN {broken} times' if broken else 'holds'}")
    for failure in verdict.failures:
        lines.append(f"{_place(failure)}  {failure.invariant}: {failure.what}")
    if verdict.failures:
        first = _place(verdict.failures[0])
        lines.append(f"Repeat one with: vitalkeep power-cuts --cut {first}")
    return "\n".join(lines)
