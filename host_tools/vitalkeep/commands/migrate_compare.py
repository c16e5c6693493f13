"""`vitalkeep migrate hub`, `compare` and `check`: both sides, until the switch can be made."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from vitalkeep.commands.archive import (
    database_option,
    open_parts,
    refused_by_store,
    vault_option,
)
from vitalkeep.commands.verify import time_of
from vitalkeep.errors import ToolError
from vitalkeep.shown import shown

if TYPE_CHECKING:
    from vitalkeep.commands.archive import Parts

_SHOWN = 20

mapping_option = click.option(
    "--mapping", "mapping_path", required=True, metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False), help="mapping.toml of the other system.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")


_SAMPLE_OPTIONS = (
    click.option(
        "--sample", is_flag=True, help="Only so many, chosen by chance, as show the error rate."
    ),
    click.option(
        "--error-rate", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.001,
        show_default=True, metavar="RATE", help="That is allowed.",
    ),
    click.option(
        "--confidence", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.95,
        show_default=True, metavar="PART", help="With which a sample shows it.",
    ),
    click.option("--seed", type=int, default=0, help="Chooses the sample."),
    click.option(
        "--report", "report_dir", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
        help="Folder for report.json, a page, their SHA-256 and this hub's signature.",
    ),
)  # fmt: skip


def _sampled(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_SAMPLE_OPTIONS):
        command = option(command)
    return command


def _finish(report: dict[str, Any], parts: Parts, folder: Path | None, as_json: bool) -> NoReturn:
    """Write and show a report, and end with 0 when the switch can be made, else with 1."""
    from vitalkeep.hub.exchange.tls import identity_of
    from vitalkeep.migrate.verdict import PAGE, write_report

    if folder is not None:
        identity = identity_of(parts.config)
        report["sha256"] = write_report(folder, report, identity)
        report["signed"] = identity is not None
    if as_json:
        click.echo(json.dumps(report))
    else:
        for condition in report["conditions"]:
            mark = "holds" if condition["holds"] else "DOES NOT HOLD"
            click.echo(shown(f"{mark}: {condition['name']}: {condition['text']}"))
        for finding in report["findings"][:_SHOWN]:
            click.echo(shown("  " + " ".join(str(part) for part in finding.values() if part)))
        if len(report["findings"]) > _SHOWN:
            click.echo(f"  and {len(report['findings']) - _SHOWN} more: see --json or --report")
        if folder is not None:
            click.echo(f"{folder / PAGE}; report.json has SHA-256 {report['sha256']}")
        click.echo(
            "The switch can be made." if report["switch"] else "The switch cannot be made yet."
        )
    raise SystemExit(0 if report["switch"] else 1)


@click.command()
@mapping_option
@vault_option
@database_option
@click.option("--since", callback=time_of, metavar="TIME", help="UTC; default: its first value.")
@click.option("--until", callback=time_of, metavar="TIME", help="UTC; default: its last value.")
@_sampled
@click.option(
    "--despite-rejects",
    is_flag=True,
    help="What was refused was looked at, and is no reason against the switch.",
)
@json_option
def compare(
    mapping_path: Path,
    config_path: Path | None,
    vault_dir: Path | None,
    database: str | None,
    data_dir: Path | None,
    since: int | None,
    until: int | None,
    sample: bool,
    error_rate: float,
    confidence: float,
    seed: int,
    report_dir: Path | None,
    despite_rejects: bool,
    as_json: bool,
) -> None:
    """Hold what another system recorded against what our gateways sealed of the same beds.

    Both ran at the same time. Each value of the one side is looked for on the other, within the
    mapping's tolerance, and the other way round. Ends with 0 when the switch can be made.
    """
    from vitalkeep.archive.keys import ArchiveKeys
    from vitalkeep.archive.shelf import Shelf
    from vitalkeep.hub.store import StoreError, utc_now_ms
    from vitalkeep.migrate import mapping as mappings
    from vitalkeep.migrate.comparing import Comparing
    from vitalkeep.migrate.listing import utc
    from vitalkeep.migrate.ours import Ours
    from vitalkeep.migrate.verdict import make_report, of_comparison, unfinished_files

    mapping, _, digest = mappings.load(mapping_path)
    with ExitStack() as stack:
        parts = open_parts(stack, config_path, vault_dir, database, data_dir)
        store = parts.store
        try:
            spans = [store.foreign_span(row["id"]) for row in store.foreign_series(mapping.system)]
            known = [span for span in spans if span is not None]
            if not known:
                raise ToolError(
                    f"{mapping.system}: nothing of it is here",
                    "First take its archive in: vitalkeep migrate files.",
                )
            start = min(span[0] for span in known) if since is None else since
            end = max(span[1] for span in known) + 1 if until is None else until
            gateways = parts.vault.gateways()
            shelf = Shelf(store, ArchiveKeys(gateways), parts.bucket())
            job = Comparing(store, Ours(store, shelf, gateways), mapping, start, end)
            count = job.choose(error_rate if sample else None, confidence, seed)
            with click.progressbar(
                length=max(count, 1), label="Comparing", file=sys.stderr
            ) as bar:
                found = job.run(bar.update)
            refused = store.foreign_refused(mapping.system)
            unfinished = unfinished_files(store, mapping)
        except StoreError as error:
            raise refused_by_store(store.address, error) from None
        counted = 0 if despite_rejects else sum(refused.values())
        conditions = of_comparison(found, counted, unfinished, error_rate)
        content = found.as_dict() | {"mapping": digest.hex(), "refused": refused}
        content["despite_rejects"] = despite_rejects
        made = utc(utc_now_ms())
        report = make_report("archive", parts.vault.site_id, made, conditions, content)
        _finish(report, parts, report_dir, as_json)


@click.command()
@click.option(
    "--from",
    "source_at",
    required=True,
    metavar="ADDRESS",
    help="The other hub: its database URL, or https://hub-NAME@HOST:PORT, its exchange.",
)
@vault_option
@database_option
@_sampled
@json_option
def hub(
    source_at: str,
    config_path: Path | None,
    vault_dir: Path | None,
    database: str | None,
    data_dir: Path | None,
    sample: bool,
    error_rate: float,
    confidence: float,
    seed: int,
    report_dir: Path | None,
    as_json: bool,
) -> None:
    """Take what is new from another hub, prove it, and compare both: again and again until both
    have the same and the switch can be made.

    Sealed sectors come with their proof, through this hub's own write path. Ends with 0 when the
    switch can be made.
    """
    from vitalkeep.hub.store import StoreError, utc_now_ms
    from vitalkeep.migrate.hubs import Plan, migrate_hub
    from vitalkeep.migrate.listing import utc
    from vitalkeep.migrate.verdict import make_report

    with ExitStack() as stack:
        parts = open_parts(stack, config_path, vault_dir, database, data_dir, make=True)
        plan = Plan(source_at, error_rate, confidence, seed if sample else None)
        with click.progressbar(length=1, label="Migrating", file=sys.stderr) as bar:

            def tell(done: int, total: int) -> None:
                bar.length = max(total, 1)
                bar.update(done)

            try:
                conditions, content = migrate_hub(
                    parts.vault, parts.store, parts.bucket(), parts.config, plan, tell
                )
            except StoreError as error:
                raise refused_by_store(parts.store.address, error) from None
        made = utc(utc_now_ms())
        report = make_report("hub", parts.vault.site_id, made, conditions, content)
        _finish(report, parts, report_dir, as_json)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--ca",
    "authority",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="ca.pem of the ward.",
)
def check(folder: Path, authority: Path) -> None:
    """Say which hub signed a report and its page, and what they say.

    Ends with 0 when the switch can be made.
    """
    from vitalkeep.migrate.verdict import check_report

    report, signer = check_report(folder, authority)
    switch = "can be made" if report["switch"] else "cannot be made yet"
    click.echo(f"Signed by {signer}, made {report['made']}: the switch {switch}.")
    raise SystemExit(0 if report["switch"] else 1)
