"""The hub as a subject of `vitalkeep bench`: a ward of gateways on this machine."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import sys
from importlib.metadata import version
from platform import python_version
from typing import Any

import click

from hil.bench.figures import Report, show
from hil.bench.hub import peer, sites
from hil.bench.hub.plan import PARTS, STORES, Measuring, Plan, Tell
from hil.load import shape


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, not a table.")
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, help="Only this.")
@click.option("--store", "stores", type=click.Choice(STORES), multiple=True, help="Only this.")
@click.option("--tls/--no-tls", "tls", default=None, help="Only with it, or only without.")
@click.option(
    "--workers",
    type=click.IntRange(1, 8),
    multiple=True,
    help="Only with so many hubs on one store; may be repeated.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 600),
    default=Plan.seconds,
    show_default=True,
    help="Of each measurement.",
)
@click.option("--gateways", type=click.IntRange(1, 5000), default=Plan.gateways, show_default=True)
@click.option(
    "--outage",
    "outage_s",
    type=click.IntRange(10, 3600),
    default=Plan.outage_s,
    show_default=True,
    help="Seconds of log with which all gateways come back at once.",
)
@click.option("--seed", type=int, default=Plan.seed, show_default=True, help="Of the ward.")
def hub(
    as_json: bool,
    parts: tuple[str, ...],
    stores: tuple[str, ...],
    tls: bool | None,
    workers: tuple[int, ...],
    **options: Any,
) -> None:
    """Measure a hub under a ward's load beside a consumer on paho-mqtt."""
    logging.getLogger("vitalkeep").addHandler(logging.NullHandler())
    plan = Plan(
        parts=parts or PARTS,
        stores=stores or STORES,
        tls=Plan.tls if tls is None else (tls,),
        workers=workers or Plan.workers,
        **options,
    )
    show(measure(plan, lambda text: click.echo(text, err=True)), as_json)


def measure(plan: Plan, tell: Tell) -> Report:
    """Do what the plan says; raises RigError when a tool is missing or a part cannot be done."""
    report = Report(
        {
            "subject": "hub",
            "command": shlex.join(["vitalkeep", *sys.argv[1:]]),
            "versions": {"vitalkeep": version("vitalkeep"), "python": python_version()},
            "processors": os.cpu_count(),
            "seconds": plan.seconds,
            "gateways": plan.gateways,
            "values_per_s": round(shape.values_per_s(plan.gateways)),
            "commits_per_s": round(shape.commits_per_s(plan.gateways)),
            "outage_s": plan.outage_s,
            "seed": plan.seed,
        }
    )
    measuring = Measuring(plan, report, tell)

    async def work() -> None:
        other = await peer.measure(measuring) if "peer" in plan.parts else None
        for setting in plan.settings():
            await sites.measure(measuring, setting, other)

    asyncio.run(work())
    return report
