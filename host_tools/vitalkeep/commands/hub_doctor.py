"""`vitalkeep hub doctor`: everything a hub needs, looked at, each finding with what to do."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vitalkeep.commands.hub import hub_options

if TYPE_CHECKING:
    from vitalkeep.hub.doctor.findings import Finding

_MARKS = {"good": "ok  ", "warn": "warn", "bad": "BAD "}


@click.command("doctor")
@hub_options
@click.option("--ntp", metavar="HOST[:PORT]", help="Compare the clock with this time server.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def hub_doctor(context: click.Context, /, ntp: str | None, as_json: bool, **options: Any) -> None:
    """Check what a hub needs: file, vault, modes, database, disk, broker, archive, clock, ports.

    It takes the options of `vitalkeep hub`, after or before its own name, and changes nothing
    but a time stamp in the database.
    Ends with 0 when a hub can run, also when something should be looked after, else with 1.
    """
    from vitalkeep.hub.doctor.findings import BAD, Findings

    given = context.parent.params if context.parent else {}
    chosen = {name: given.get(name) if value is None else value for name, value in options.items()}
    findings = Findings() if as_json else Findings(_tell)
    _examine(findings, ntp, **chosen)
    worst = findings.worst()
    if as_json:
        found = [finding.as_dict() for finding in findings.all]
        click.echo(json.dumps({"verdict": worst, "findings": found}))
    raise SystemExit(1 if worst == BAD else 0)


def _tell(finding: Finding) -> None:
    click.echo(f"{_MARKS[finding.level]}  {finding.check:<12}  {finding.text}")
    if finding.next:
        click.echo(f"{'':20}{finding.next}")


def _examine(
    findings: Any,
    ntp: str | None,
    config_path: Path | None,
    vault_dir: Path | None,
    broker: str | None,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
    database: str | None,
    data_dir: Path | None,
    http: str | None,
    time_at: str | None,
    **_: Any,
) -> None:
    from sqlalchemy.engine import make_url

    from vitalkeep.archive.settings import ArchiveSettings
    from vitalkeep.hub.config import chosen
    from vitalkeep.hub.config.load import Config, load
    from vitalkeep.hub.doctor import away, here
    from vitalkeep.hub.doctor.findings import GOOD, WARN
    from vitalkeep.hub.forecast import RoomSettings

    config = Config()
    if config_path is not None:
        with findings.of("config"):
            config = load(config_path)
        if findings.all:
            return  # what else there is to look at, the file says
        findings.add("config", GOOD, f"{config_path}: nothing is wrong with it")
    data = chosen.data_folder(config, data_dir)
    here.check_vault(findings, chosen.vault_folder(config, vault_dir, data))
    ahead_ms = None
    with findings.of("database"):
        url = chosen.database_url(config, database, data, make=False)
        parsed = make_url(url)
        is_file = parsed.get_backend_name() == "sqlite"
        file = Path(parsed.database or "") if is_file else None
        here.check_data(findings, data, file)
        here.check_disk(
            findings, file.parent if file else data, config[RoomSettings].reserve_mb * 2**20
        )
        if file is not None and not file.exists():
            action = "vitalkeep hub makes it when it starts."
            findings.add("database", WARN, f"{file}: there is none yet", action)
        else:
            ahead_ms = away.check_database(findings, url)
    with findings.of("broker"):
        identity = chosen.find_identity(ca, certificate, key)
        addresses = chosen.broker_address(config, broker, identity)
        if addresses is None:
            findings.add("broker", GOOD, "none is named: the hub starts its own on 127.0.0.1")
        else:
            # Each server of a cluster: a hub that loses one needs the others.
            ends = [asyncio.run(away.check_broker(findings, one)) for one in addresses]
            first = min((end for end in ends if end is not None), default=None)
            now = dt.datetime.now(dt.timezone.utc)
            away.check_certificates(findings, addresses[0], first, now)
    away.check_archive(findings, config[ArchiveSettings])
    here.check_clock(findings, ntp, ahead_ms)
    with findings.of("page"):
        page = chosen.page_address(config, http)
        if page is not None:
            here.check_page(findings, *page)
    with findings.of("time"):
        clock, may_fail = chosen.time_address(config, time_at)
        if clock is not None:
            here.check_time_port(findings, *clock, may_fail)
