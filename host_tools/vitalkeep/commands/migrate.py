"""`vitalkeep migrate`: in from another system, and both held against each other."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path

import click

from vitalkeep.commands.archive import (
    Parts,
    database_option,
    open_parts,
    refused_by_store,
    vault_option,
    with_parts,
)
from vitalkeep.commands.migrate_compare import check, compare, hub, json_option, mapping_option
from vitalkeep.commands.verify import time_of
from vitalkeep.errors import ToolError
from vitalkeep.shown import shown

_FOREVER = 2**62


@click.group()
def migrate() -> None:
    """In from another system: its archives beside what gateways sealed, never as if sealed."""


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
    if rejects_path is None:
        rejects_path = mapping_path.with_suffix(".rejects.jsonl")
    found = find_files(sources, (mapping_path, rejects_path))
    with ExitStack() as stack:
        parts = open_parts(stack, config_path, vault_dir, database, data_dir, make=True)
        size = sum(path.stat().st_size for _, path in found)
        with click.progressbar(length=max(size, 1), label="Reading", file=sys.stderr) as bar:
            job = Import(parts.store, mapping, text, digest, utc_now_ms, full, bar.update)
            try:
                with parts.store.turn(mapping.system):
                    for name, path in found:
                        job.run(name, path)
                    kept = write_rejects(parts.store, mapping.system, rejects_path)
            except StoreError as error:
                raise refused_by_store(parts.store.address, error) from None
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
@with_parts
@json_option
def status(parts: Parts, as_json: bool) -> None:
    """Tell what came from which system, how far its files are read, and what was refused."""
    from vitalkeep.migrate.listing import summary

    content = summary(parts.store)
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
            named = f"{row['bed']} {row['device']} {row['label']} [{row['unit']}]"
            click.echo(shown(f"  {named}: {row['first']} to {row['last']}"))
        for row in found["files"]:
            if not row["done"]:
                click.echo(shown(f"  not finished: {row['name']} at line {row['line']}"))


@migrate.command()
@click.option("--bed", required=True, metavar="BED", help="As this site calls it.")
@click.option("--parameter", metavar="LABEL", help="Only it, by its label or MDC reference id.")
@click.option("--system", metavar="NAME", help="Only of this system.")
@click.option("--since", callback=time_of, metavar="TIME", help="UTC, as 2026-11-25T14:00Z.")
@click.option("--until", callback=time_of, metavar="TIME", help="UTC.")
@click.option("--buckets", type=click.IntRange(1, 100_000), metavar="COUNT", help="A trend: least"
              " and greatest value of each part of the span.")  # fmt: skip
@with_parts
def values(
    parts: Parts,
    bed: str,
    parameter: str | None,
    system: str | None,
    since: int | None,
    until: int | None,
    buckets: int | None,
) -> None:
    """Write a bed's values of other systems as CSV, each with the file and line it came from."""
    from vitalkeep.migrate.listing import write_trends, write_values

    store = parts.store
    series = [
        row
        for row in store.foreign_series(system, bed)
        if parameter in (None, row["label"], row["mdc"])
    ]
    if not series:
        beds = ", ".join(sorted({row["bed"] for row in store.foreign_series(system)}))
        raise ToolError(
            f"{bed}: no such values of another system", f"There are beds: {beds or 'none'}."
        )
    span = (since or 0, _FOREVER if until is None else until)
    if buckets is None:
        write_values(store, series, span, sys.stdout)
    else:
        write_trends(store, series, span, buckets, sys.stdout)


@migrate.command()
@click.argument("system")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_parts
def forget(parts: Parts, system: str, yes: bool) -> None:
    """Delete all that came from a system, to import it anew; what gateways sealed stays."""
    known = {row["system"] for row in parts.store.foreign_files()}
    if system not in known:
        raise ToolError(
            f"{system}: nothing came from it", f"There is: {', '.join(known) or 'nothing'}."
        )
    if not yes:
        click.confirm(f"Delete all values of {system}?", abort=True)
    with parts.store.turn(system):
        gone = parts.store.foreign_forget(system)
    click.echo(f"{gone} values of {system} are deleted")


for _command in (hub, compare, check):
    migrate.add_command(_command)
