"""`vitalkeep migrate`: in from another system, and both held against each other."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from vitalkeep.commands.archive import database_option, open_parts, vault_option
from vitalkeep.commands.verify import time_of
from vitalkeep.errors import ToolError

if TYPE_CHECKING:
    from vitalkeep.commands.archive import Parts
    from vitalkeep.hub.store import StoreError

_FOREVER = 2**62
_SHOWN = 20

mapping_option = click.option(
    "--mapping", "mapping_path", required=True, metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False), help="mapping.toml of the other system.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")


@click.group()
def migrate() -> None:
    """In from another system: its archives beside what gateways sealed, never as if sealed."""


def _refused_by_store(address: str, error: StoreError) -> ToolError:
    return ToolError(
        f"the store {address} refused: {error}",
        "Make room or start the database, then run the same command: it goes on.",
    )


@migrate.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@mapping_option
@vault_option
@database_option
@click.option("--full", is_flag=True, help="Read everything again, last lines without an end too.")
@click.option(
    "--rejects", "rejects_path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Where what is refused is kept; default: beside the mapping, NAME.rejects.jsonl.",
)  # fmt: skip
@json_option
def files(
    sources: tuple[Path, ...],
    mapping_path: Path,
    config_path: Path | None,
    vault_dir: Path | None,
    database: str | None,
    data_dir: Path | None,
    full: bool,
    rejects_path: Path | None,
    as_json: bool,
) -> None:
    """Take what is new in CSV or HL7 files, or in folders of them.

    Every value is imported, a duplicate of one that is here, or refused with a reason and kept in
    the rejects file. A run that was stopped goes on where it was; one that is run again takes what
    was added since. Ends with 0 when nothing was refused, with 1 when something was.
    """
    from vitalkeep.hub.store import StoreError, utc_now_ms
    from vitalkeep.migrate import mapping as mappings
    from vitalkeep.migrate.importing import Import, find_files, write_rejects

    mapping, text, digest = mappings.load(mapping_path)
    found = find_files(sources)
    if rejects_path is None:
        rejects_path = mapping_path.with_suffix(".rejects.jsonl")
    with ExitStack() as stack:
        parts = open_parts(stack, config_path, vault_dir, database, data_dir, make=True)
        size = sum(path.stat().st_size for _, path in found)
        with click.progressbar(length=max(size, 1), label="Reading", file=sys.stderr) as bar:
            job = Import(parts.store, mapping, text, digest, utc_now_ms, full, bar.update)
            try:
                for name, path in found:
                    job.run(name, path)
                kept = write_rejects(parts.store, mapping.system, rejects_path)
            except StoreError as error:
                raise _refused_by_store(parts.store.address, error) from None
            except OSError as error:
                raise ToolError(
                    f"{rejects_path}: {error.strerror or error}", "Name another: --rejects FILE."
                ) from None
    result = job.result
    rejects = str(rejects_path) if kept else None
    if as_json:
        content = {"system": mapping.system, "rejects": rejects, "rejects_kept": kept}
        click.echo(json.dumps(content | result.as_dict()))
    else:
        click.echo(f"Files: {result.files}, of these nothing new in {result.unchanged}")
        click.echo(
            f"Rows: {result.rows}. Values: {result.imported} imported, {result.duplicates} here"
            f" already, {result.refused} refused, {result.empty} empty, {result.skipped} skipped."
        )
        for reason, count in result.reasons.most_common():
            click.echo(f"  refused for {reason}: {count}")
        if result.waiting:
            click.echo(
                f"{result.waiting} files end within a line: the next run takes it, or --full"
            )
        if kept:
            click.echo(f"What was refused so far is in {rejects}: {kept} values")
    raise SystemExit(1 if result.refused else 0)


@migrate.command()
@vault_option
@database_option
@json_option
def status(
    config_path: Path | None,
    vault_dir: Path | None,
    database: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Tell what came from which system, how far its files are read, and what was refused."""
    from vitalkeep.hub.store import StoreError
    from vitalkeep.migrate.listing import summary

    with ExitStack() as stack:
        parts = open_parts(stack, config_path, vault_dir, database, data_dir)
        try:
            content = summary(parts.store)
        except StoreError as error:
            raise _refused_by_store(parts.store.address, error) from None
    if as_json:
        click.echo(json.dumps(content))
        return
    if not content:
        click.echo("Nothing came from another system.")
    for system, found in content.items():
        click.echo(
            f"{system}: {found['values']} values in {len(found['series'])} series of"
            f" {len(found['files'])} files, {sum(found['refused'].values())} refused"
        )
        for row in found["series"]:
            click.echo(
                f"  {row['bed']} {row['device']} {row['label']} [{row['unit']}]:"
                f" {row['first']} to {row['last']}"
            )
        for row in found["files"]:
            if not row["done"]:
                click.echo(f"  not finished: {row['name']} at line {row['line']}")


sample_options = (
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
        help="Folder for report.json, a page, its SHA-256 and this hub's signature.",
    ),
)  # fmt: skip


def _sampled(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(sample_options):
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
            click.echo(f"{mark}: {condition['name']}: {condition['text']}")
        for finding in report["findings"][:_SHOWN]:
            click.echo("  " + " ".join(str(part) for part in finding.values() if part))
        if len(report["findings"]) > _SHOWN:
            click.echo(f"  and {len(report['findings']) - _SHOWN} more: see --json or --report")
        if folder is not None:
            click.echo(f"{folder / PAGE}; report.json has SHA-256 {report['sha256']}")
        click.echo(
            "The switch can be made." if report["switch"] else "The switch cannot be made yet."
        )
    raise SystemExit(0 if report["switch"] else 1)


@migrate.command()
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
            unfinished = unfinished_files(store, mapping.system)
        except StoreError as error:
            raise _refused_by_store(store.address, error) from None
        counted = 0 if despite_rejects else sum(refused.values())
        conditions = of_comparison(found, counted, unfinished, error_rate)
        content = found.as_dict() | {"mapping": digest.hex(), "refused": refused}
        content["despite_rejects"] = despite_rejects
        made = utc(utc_now_ms())
        report = make_report("archive", parts.vault.site_id, made, conditions, content)
        _finish(report, parts, report_dir, as_json)


@migrate.command()
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
                raise _refused_by_store(parts.store.address, error) from None
        made = utc(utc_now_ms())
        report = make_report("hub", parts.vault.site_id, made, conditions, content)
        _finish(report, parts, report_dir, as_json)


@migrate.command()
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
    """Say which hub signed a report, and what it says; ends with 0 when the switch can be made."""
    from vitalkeep.migrate.verdict import check_report

    report, signer = check_report(folder, authority)
    switch = "can be made" if report["switch"] else "cannot be made yet"
    click.echo(f"Signed by {signer}, made {report['made']}: the switch {switch}.")
    raise SystemExit(0 if report["switch"] else 1)


@migrate.command()
@click.option("--bed", required=True, metavar="BED", help="As this site calls it.")
@click.option("--parameter", metavar="LABEL", help="Only it, by its label or MDC reference id.")
@click.option("--system", metavar="NAME", help="Only of this system.")
@click.option("--since", callback=time_of, metavar="TIME", help="UTC, as 2026-11-25T14:00Z.")
@click.option("--until", callback=time_of, metavar="TIME", help="UTC.")
@click.option("--buckets", type=click.IntRange(1, 100_000), metavar="COUNT", help="A trend: least"
              " and greatest value of each part of the span.")  # fmt: skip
@vault_option
@database_option
def values(
    bed: str,
    parameter: str | None,
    system: str | None,
    since: int | None,
    until: int | None,
    buckets: int | None,
    config_path: Path | None,
    vault_dir: Path | None,
    database: str | None,
    data_dir: Path | None,
) -> None:
    """Write a bed's values of other systems as CSV, each with the file and line it came from."""
    from vitalkeep.hub.store import StoreError
    from vitalkeep.migrate.listing import write_trends, write_values

    with ExitStack() as stack:
        parts = open_parts(stack, config_path, vault_dir, database, data_dir)
        store = parts.store
        try:
            series = [
                row
                for row in store.foreign_series(system, bed)
                if parameter in (None, row["label"], row["mdc"])
            ]
            if not series:
                beds = ", ".join(sorted({row["bed"] for row in store.foreign_series(system)}))
                raise ToolError(
                    f"{bed}: no such values of another system",
                    f"There are beds: {beds or 'none'}.",
                )
            span = (since or 0, _FOREVER if until is None else until)
            if buckets is None:
                write_values(store, series, span, sys.stdout)
            else:
                write_trends(store, series, span, buckets, sys.stdout)
        except StoreError as error:
            raise _refused_by_store(store.address, error) from None


@migrate.command()
@click.argument("system")
@click.option("--yes", is_flag=True, help="Do not ask.")
@vault_option
@database_option
def forget(
    system: str,
    yes: bool,
    config_path: Path | None,
    vault_dir: Path | None,
    database: str | None,
    data_dir: Path | None,
) -> None:
    """Delete all that came from a system, to import it anew; what gateways sealed stays."""
    from vitalkeep.hub.store import StoreError

    with ExitStack() as stack:
        parts = open_parts(stack, config_path, vault_dir, database, data_dir)
        try:
            known = {row["system"] for row in parts.store.foreign_files()}
            if system not in known:
                raise ToolError(
                    f"{system}: nothing came from it",
                    f"There is: {', '.join(known) or 'nothing'}.",
                )
            if not yes:
                click.confirm(f"Delete all values of {system}?", abort=True)
            gone = parts.store.foreign_forget(system)
        except StoreError as error:
            raise _refused_by_store(parts.store.address, error) from None
    click.echo(f"{gone} values of {system} are deleted")
