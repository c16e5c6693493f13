"""`vitalkeep restore`: a hub's store from nothing but the vault and one source."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from vitalkeep.commands.archive import database_option, open_parts, vault_option

_SHOWN = 20


@click.command()
@click.option(
    "--from", "source_at", required=True, metavar="ADDRESS",
    help="An archive (s3://bucket/prefix, file:///folder), flash:FOLDER of flash images, the"
    " database URL of another hub, or https://hub-NAME@HOST:PORT, a live hub's exchange.",
)  # fmt: skip
@vault_option
@database_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
def restore(
    source_at: str,
    config_path: Path | None,
    vault_dir: Path | None,
    database: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Fill a hub's database from an archive, flash images or another hub, live or not.

    Every sector goes through the write path of a hub: header, seal and chain are checked with the
    keys of the vault. What is there already is skipped, so the same command goes on where one that
    was stopped left off, and several sources can follow each other. Then all is read back and
    proven. Ends with 0 when all that the source promised is here and proven, with 1 when something
    is missing or damaged.
    """
    from vitalkeep.archive.findings import Scope
    from vitalkeep.archive.keys import ArchiveKeys
    from vitalkeep.archive.restore import Restore
    from vitalkeep.archive.shelf import Shelf
    from vitalkeep.archive.sources import make_source
    from vitalkeep.archive.verify import Verification
    from vitalkeep.errors import ToolError
    from vitalkeep.hub.store import StoreError, utc_now_ms

    with ExitStack() as stack:
        parts = open_parts(stack, config_path, vault_dir, database, data_dir, make=True)
        vault, store = parts.vault, parts.store
        source = make_source(source_at, vault, parts.config)
        stack.callback(source.close)
        with click.progressbar(length=1, label="Restoring", file=sys.stderr) as bar:

            def tell(count: int) -> None:
                bar.length = max(source.total, 1)
                bar.update(count)

            try:
                result = Restore(store, vault.gateways(), utc_now_ms()).run(source, tell)
            except StoreError as error:
                raise ToolError(
                    f"the store {store.address} refused: {error}",
                    "Make room or start the database, then run the same command: it goes on.",
                ) from None
        keys = ArchiveKeys(vault.gateways())
        check = Verification(store, keys, Shelf(store, keys, parts.bucket()), Scope())
        with click.progressbar(length=check.total(), label="Proving  ", file=sys.stderr) as bar:
            proof = check.run(bar.update)
    done = result.complete and proof.good
    if as_json:
        content = {"good": done, "source": source.name, "restored": result.as_dict()}
        click.echo(json.dumps(content | {"proof": proof.as_dict()}))
    else:
        click.echo("\n".join(_lines(result, proof, done)))
    raise SystemExit(0 if done else 1)


def _lines(result: Any, proof: Any, done: bool) -> list[str]:
    taken = ", ".join(f"{count} of class {name}" for name, count in sorted(result.taken.items()))
    lines = [f"Restored: {taken or 'nothing new'}; {result.skipped} sectors were here already."]
    states = ", ".join(f"{count} {state}" for state, count in proof.states.items())
    lines.append(
        f"Read back: {proof.checked} sectors, {proof.observations} observations: {states}"
    )
    troubles = [f"{name.replace('_', ' ')}: {n}" for name, n in result.refused.items()]
    troubles += [problem.text for problem in result.problems]
    troubles += [f"missing: {text}" for text in result.missing]
    troubles += [f"{finding.code}: {finding.where}: {finding.text}" for finding in proof.findings]
    if troubles:
        lines += ["", "Not as it should be:", *(f"  {text}" for text in troubles[:_SHOWN])]
        if len(troubles) > _SHOWN:
            lines.append(f"  and {len(troubles) - _SHOWN} more: see --json")
    lines.append("")
    if done:
        lines.append("All that the source has is here, and proven.")
    else:
        lines.append("What could be had is here. For the rest, restore from another source, too.")
    return lines
