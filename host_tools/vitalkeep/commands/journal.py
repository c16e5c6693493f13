"""`vitalkeep journal`: look at a log outside its board."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from bridge.core.journal import records
from bridge.core.journal.layout import CLASSES
from vitalkeep.journal import chain, export
from vitalkeep.journal.dump import Dump
from vitalkeep.journal.inspect import ClassReport, Inspection
from vitalkeep.keys.vault import Vault

_FINDINGS_SHOWN = 40


@click.group()
def journal() -> None:
    """Look at a log outside its board."""


_FILE = click.Path(path_type=Path, dir_okay=False)


def _number(context: click.Context, option: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else int(value, 0)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no number, as 65536 or 0x10000") from None


@journal.command()
@click.argument("dump", metavar="FLASH.bin", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--vault", "vault_dir", type=click.Path(path_type=Path), help="Folder of the vault.")
@click.option("--offset", callback=_number, metavar="BYTES", help="Where the log begins.")
@click.option("--size", callback=_number, metavar="BYTES", help="Of the log.")
@click.option("--csv", type=_FILE, help="Write the observations, one value a row.")
@click.option("--jsonl", type=_FILE, help="The same as JSON lines.")
@click.option("--parquet", type=_FILE, help="The same as Parquet.")
@click.option("--waves", type=_FILE, help="Write the waveforms; .parquet, else JSON lines.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with every sector.")
def inspect(
    dump: Path,
    vault_dir: Path | None,
    offset: int | None,
    size: int | None,
    csv: Path | None,
    jsonl: Path | None,
    parquet: Path | None,
    waves: Path | None,
    as_json: bool,
) -> None:
    """List, prove and export the logs on a flash dump.

    FLASH.bin is a dump of a whole chip or of the log's partition, as esptool, picotool or a clip
    on the chip make it. Without a vault only the structure can be told. Ends with 0 when all is
    as it should be, with 1 when something is damaged.
    """
    files = {"csv": csv, "jsonl": jsonl, "parquet": parquet}
    if vault_dir is None and (waves or any(files.values())):
        raise click.UsageError("values are sealed: exporting them needs --vault")
    vault = Vault.open(vault_dir) if vault_dir else None
    spool = export.Spool()
    written: dict[str, int] = {}
    with closing(Dump(dump, offset, size)) as opened:
        inspection = Inspection(opened, vault, spool.take if vault else lambda *_: None)
        steps = 2 * inspection.total
        with click.progressbar(length=steps, label="Reading", file=sys.stderr) as bar:
            inspection.run(lambda: bar.update(1))
            bar.update(steps)
    for kind, path in files.items():
        if path is not None:
            rows = spool.rows(records.OBSERVATION, inspection.clocks)
            written[str(path)] = export.WRITERS[kind](path, rows)
    if waves is not None:
        rows = spool.rows(records.WAVE, inspection.clocks)
        if waves.suffix == ".parquet":
            written[str(waves)] = export.write_parquet(waves, rows, records.WAVE)
        else:
            written[str(waves)] = export.write_jsonl(waves, rows)
    if as_json:
        click.echo(json.dumps(_object(inspection, written)))
    else:
        click.echo("\n".join(_lines(inspection, written, vault is not None)))
    raise SystemExit(1 if inspection.is_damaged else 0)


# --- for machines ---


def _object(inspection: Inspection, written: dict[str, int]) -> dict[str, Any]:
    return {
        "damaged": inspection.is_damaged,
        "blocks": dict(inspection.blocks),
        "key_regions": [
            {
                "offset": region.offset,
                "gateway": region.gateway.hex(),
                "log": region.log.hex(),
                "live_slots": region.live,
                "torn_slots": region.torn,
                "spare_seeds": region.spares,
                "from_copy": region.from_copy,
            }
            for region in inspection.key_regions
        ],
        "classes": [_class(report) for report in inspection.classes],
        "findings": [
            {
                "code": finding.code,
                "damage": finding.damage,
                "offset": finding.offset if finding.offset >= 0 else None,
                "text": finding.text,
            }
            for finding in inspection.findings
        ],
        "written": written,
    }


def _class(report: ClassReport) -> dict[str, Any]:
    return {
        "gateway": report.id.gateway.hex(),
        "bed": report.bed or None,
        "log": report.id.log.hex(),
        "class": CLASSES[report.id.cls],
        "observations": report.records[records.OBSERVATION],
        "waves": report.records[records.WAVE],
        "alarms": report.records[records.ALARM],
        "sectors": [
            {
                "number": sector.number,
                "offset": sector.offset,
                "state": proof.state,
                "why": proof.why or None,
                "epoch": sector.header.epoch,
                "boot": sector.header.boot,
                "used": sector.end,
                "commits": len(sector.commits),
                "resumes": sector.resumes,
                "torn": sector.torn,
                "released": sector.header.released,
                "sealed": sector.seal is not None,
            }
            for sector, proof in zip(report.sectors, report.proofs, strict=True)
        ],
    }


# --- for people ---


def _lines(inspection: Inspection, written: dict[str, int], keyed: bool) -> list[str]:
    lines = []
    blocks = ", ".join(f"{count} {kind}" for kind, count in sorted(inspection.blocks.items()))
    lines.append(f"Blocks: {blocks}")
    for region in inspection.key_regions:
        lines.append(
            f"Key region at 0x{region.offset:x} of gateway {region.gateway.hex()}: "
            f"{region.live} keys in use, {region.spares} spare seeds"
        )
    known = None
    for report in inspection.classes:
        if (report.id.gateway, report.id.log) != known:
            known = (report.id.gateway, report.id.log)
            bed = f", bed {report.bed}" if report.bed else ""
            lines += ["", f"Gateway {known[0].hex()}, log {known[1].hex()}{bed}"]
            lines.append("  class  sectors  numbers          commits  boots  observations  seals")
        lines.append(_row(report))
    damage = [finding for finding in inspection.findings if finding.damage]
    notes = [finding for finding in inspection.findings if not finding.damage]
    for title, found in (("Damage", damage), ("Worth knowing", notes)):
        if found:
            lines += ["", f"{title}:"]
            lines += [f"  {finding.text}" for finding in found[:_FINDINGS_SHOWN]]
            if len(found) > _FINDINGS_SHOWN:
                lines.append(f"  and {len(found) - _FINDINGS_SHOWN} more: see --json")
    lines.append("")
    lines += [f"{path}: {count} rows" for path, count in written.items()]
    return [*lines, *_verdict(inspection, keyed)]


def _row(report: ClassReport) -> str:
    numbers = f"{report.sectors[0].number} to {report.sectors[-1].number}"
    commits = sum(len(sector.commits) for sector in report.sectors)
    boots = len({sector.header.boot for sector in report.sectors})
    states: dict[str, int] = {}
    for proof in report.proofs:
        states[proof.state] = states.get(proof.state, 0) + 1
    seals = ", ".join(f"{count} {state}" for state, count in states.items())
    observations = report.records[records.OBSERVATION]
    return (
        f"  {CLASSES[report.id.cls]:5}  {len(report.sectors):7}  {numbers:15}  {commits:7}"
        f"  {boots:5}  {observations:12}  {seals}"
    )


def _verdict(inspection: Inspection, keyed: bool) -> list[str]:
    if not inspection.classes:
        return ["No log here.", "Check the file, --offset and --size."]
    count = sum(len(report.sectors) for report in inspection.classes)
    locked = sum(
        proof.state == chain.NO_KEY for report in inspection.classes for proof in report.proofs
    )
    if inspection.is_damaged:
        first = "Damaged: what is named above cannot be vouched for; all else holds."
        return [first, "Keep this file, and compare with the hub before anything is erased."]
    if locked:
        gateways = sorted({r.id.gateway.hex() for r in inspection.classes if not r.bed})
        what = (
            "Name its folder with --vault." if not keyed else "Ask the site that provisioned it."
        )
        return [
            f"The structure is whole. {locked} of {count} sectors are sealed with keys of "
            f"{', '.join(gateways)}: the vault of that gateway would open them.",
            what,
        ]
    return [f"All is as it should be: {count} sectors."]
