"""`vitalkeep hub-kills`: kill a hub under load again and again, and compare what it has."""

import asyncio
import json
import sys

import click

from hil.load.kills import Verdict, campaign
from hil.load.stage import POSTGRESQL, SQLITE, Setting


@click.command("hub-kills")
@click.option("--kills", type=click.IntRange(1), default=20, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of moments.")
@click.option("--gateways", type=click.IntRange(1, 5000), default=60, show_default=True)
@click.option(
    "--store", type=click.Choice((SQLITE, POSTGRESQL)), default=SQLITE, show_default=True
)
@click.option("--tls", is_flag=True, help="Certificates on both sides of the broker.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
def hub_kills(kills: int, seed: int, gateways: int, store: str, tls: bool, as_json: bool) -> None:
    """Kill a hub (SIGKILL) under load and start it again: no receipted byte may be missing.

    Ends with 1 when one is, or when one was changed.
    """
    setting = Setting(gateways=gateways, store=store, tls=tls)
    with click.progressbar(
        length=kills, label="Killing", show_pos=True, file=sys.stderr
    ) as progress:
        verdict = asyncio.run(
            campaign(setting, kills, seed, lambda done: progress.update(done - progress.pos))
        )
    found = verdict.as_dict() | {"setting": str(setting), "seed": seed}
    click.echo(json.dumps(found) if as_json else _text(verdict))
    raise SystemExit(0 if verdict.good else 1)


def _text(verdict: Verdict) -> str:
    found, counts = verdict.findings, verdict.counts
    lines = [
        f"{verdict.kills} kills, {verdict.starting} of them while the hub started,"
        f" in {verdict.seconds:.0f} s; {counts.get('receipts', 0)} receipts",
        f"{found.sectors} sectors with {found.bytes} bytes compared:"
        f" {len(found.missing)} missing, {len(found.changed)} changed",
        f"{verdict.observations} observations at the end, {verdict.want} were sent;"
        f" {verdict.quarantined} in quarantine",
    ]
    return "\n".join([*lines, *found.missing, *found.changed])
