"""The uplink as a subject of `vitalkeep bench`: speed, drain, failover, stalls, crowds, memory."""

import asyncio
import logging
import shlex
import sys
from importlib.metadata import version
from platform import python_version
from typing import Any

import click

from hil.bench.figures import Report, show
from hil.bench.uplink import crowd, drain, failover, memory, publish, stalls
from hil.bench.uplink.brokers import find_mosquitto
from hil.bench.uplink.plan import PARTS, Measuring, Plan, Tell

WORK = {
    "publish": publish.measure,
    "drain": drain.measure,
    "failover": failover.measure,
    "stalls": stalls.measure,
    "crowd": crowd.measure,
    "memory": memory.measure,
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, not a table.")
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, help="Only this.")
@click.option(
    "--seconds",
    type=click.FloatRange(0.2, 600),
    default=Plan.seconds,
    show_default=True,
    help="Of publishing at each distance; five times that of a flapping link.",
)
@click.option(
    "--hours",
    type=click.FloatRange(0.5, 48),
    default=Plan.hours,
    show_default=True,
    help="Of a monitor's log to drain.",
)
@click.option(
    "--runs",
    type=click.IntRange(1, 100),
    default=Plan.runs,
    show_default=True,
    help="Of each kind of death.",
)
@click.option(
    "--gateways",
    type=click.IntRange(1, 5000),
    default=Plan.gateways,
    show_default=True,
    help="That come back at once.",
)
@click.option("--seed", type=int, default=Plan.seed, show_default=True)
def uplink(as_json: bool, parts: tuple[str, ...], **options: Any) -> None:
    """Measure the way from flash to the sites beside umqtt.simple."""
    # A site whose broker was killed would say so, each time.
    logging.getLogger("vitalkeep").addHandler(logging.NullHandler())
    report = measure(Plan(parts=parts or PARTS, **options), lambda t: click.echo(t, err=True))
    show(report, as_json)


def measure(plan: Plan, tell: Tell) -> Report:
    """Do what the plan says; raises RigError when a tool is missing or a part cannot be done."""
    report = Report(
        {
            "subject": "uplink",
            "command": shlex.join(["vitalkeep", *sys.argv[1:]]),
            "versions": {"vitalkeep": version("vitalkeep"), "python": python_version()},
            "broker": "mosquitto" if find_mosquitto() else "iotcore",
            "seconds": plan.seconds,
            "hours": plan.hours,
            "runs": plan.runs,
            "gateways": plan.gateways,
            "seed": plan.seed,
        }
    )
    measuring = Measuring(plan, report, tell)

    async def work() -> None:
        for part in PARTS:
            if part in plan.parts:
                await WORK[part](measuring)

    asyncio.run(work())
    return report
