"""`vitalkeep verify`: is all here, and is it what was sealed?"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from cryptography import x509

from bridge.core.journal.layout import CLASSES
from vitalkeep.commands.archive import (
    database_option,
    find_gateway,
    open_parts,
    vault_option,
)
from vitalkeep.errors import ToolError

if TYPE_CHECKING:
    from vitalkeep.hub.config.load import Config

_SHOWN = 20
_CANNOT = 3  # exit code: it could not be looked at


def time_of(context: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """Return an option's time in UTC milliseconds."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        raise click.BadParameter(f"{value!r}: want a time, as 2026-11-25T14:00Z") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=timezone.utc)
    return int(found.timestamp() * 1000)


@click.command()
@vault_option
@database_option
@click.option("--since", callback=time_of, metavar="TIME", help="UTC, as 2026-11-25T14:00Z.")
@click.option("--until", callback=time_of, metavar="TIME", help="UTC.")
@click.option("--bed", "beds", multiple=True, metavar="BED", help="Bed or gateway id; again for"
              " more.")  # fmt: skip
@click.option("--class", "names", multiple=True, type=click.Choice(list(CLASSES)), help="Only it.")
@click.option(
    "--sample", type=click.FloatRange(0, 100, min_open=True), default=100.0, metavar="PERCENT",
    help="Of the sectors; default: each of them.",
)  # fmt: skip
@click.option(
    "--error-rate", type=click.FloatRange(0, 1, min_open=True, max_open=True), metavar="RATE",
    help="In place of --sample: so many sectors, that if all are right there is less wrong.",
)  # fmt: skip
@click.option(
    "--confidence", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.95,
    show_default=True, metavar="PART", help="With which a sample shows an error rate.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, help="Chooses the sample.")
@click.option("--deep", is_flag=True, help="Compare with the archive's copies, too.")
@click.option(
    "--against",
    metavar="URL",
    help="Another site's hub to compare with: its database,"
    " or https://hub-NAME@HOST:PORT, its exchange.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def verify(
    config_path: Path | None,
    vault_dir: Path | None,
    database: str | None,
    data_dir: Path | None,
    since: int | None,
    until: int | None,
    beds: tuple[str, ...],
    names: tuple[str, ...],
    sample: float,
    error_rate: float | None,
    confidence: float,
    seed: int,
    deep: bool,
    against: str | None,
    as_json: bool,
) -> None:
    """Read a hub's store back and prove it: seals, chain, rows, gaps, copies.

    Ends with 0 when nothing is wrong, with 1 when something is, with 3 when it could not be looked
    at. What another site merely does not have yet is told and is not wrong.
    """
    from vitalkeep.archive.findings import Scope
    from vitalkeep.archive.keys import ArchiveKeys
    from vitalkeep.archive.shelf import Shelf
    from vitalkeep.archive.sources import make_other
    from vitalkeep.archive.verify import Verification
    from vitalkeep.hub.store import StoreError
    from vitalkeep.sampling import sample_size

    with ExitStack() as stack:
        try:
            parts = open_parts(stack, config_path, vault_dir, database, data_dir)
            other = None
            if against is not None:
                other = make_other(against, parts.config)
                stack.callback(other.close)
            if error_rate is not None:
                total = max(1, parts.store.count("sectors"))
                sample = min(100.0, 100 * sample_size(error_rate, confidence) / total)
            scope = Scope(
                0 if since is None else since,
                2**62 if until is None else until,
                frozenset(find_gateway(parts.vault, bed) for bed in beds) if beds else None,
                tuple(CLASSES.index(name) for name in names) or (0, 1, 2),
                sample,
                seed,
                deep,
            )
            keys = ArchiveKeys(parts.vault.gateways())
            shelf = Shelf(parts.store, keys, parts.bucket())
            check = Verification(parts.store, keys, shelf, scope, other, _authority(parts.config))
            length = check.total()
            with click.progressbar(length=length, label="Verifying", file=sys.stderr) as bar:
                report = check.run(bar.update)
        except StoreError as error:
            raise ToolError(
                f"the store cannot be read: {error}", "Start the database.", _CANNOT
            ) from None
        except ToolError as error:
            raise ToolError(error.message, error.hint, _CANNOT) from None
    shown = report.as_dict()
    lines = _lines(report)
    if sample < 100:
        bound = report.at_most(confidence)
        shown |= {"error_rate_at_most": bound, "confidence": confidence}
        lines.insert(-1, f"Of all of them, with {confidence:.0%} confidence: at most {bound:.6f}.")
    click.echo(json.dumps(shown) if as_json else "\n".join(lines))
    raise SystemExit(0 if report.good else 1)


def _authority(config: Config) -> x509.Certificate | None:
    """Return the ward's authority, None where hub.toml names none."""
    from vitalkeep.hub.config.basics import BrokerSettings
    from vitalkeep.hub.exchange.settings import ExchangeSettings

    path = config[ExchangeSettings].ca or config[BrokerSettings].ca
    if path is None:
        return None
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ToolError(f"{path}: {error}", "Name the ward's ca.pem in hub.toml.") from None


def _lines(report: Any) -> list[str]:
    states = ", ".join(f"{count} {state}" for state, count in report.states.items())
    lines = [
        f"Sectors: {report.sectors}, of these read and proven again {report.checked}: {states}",
        f"Observations: {report.observations}; numbers that gap records explain: {report.gaps}",
    ]
    if report.archived:
        lines.append(f"Compared with the archive: {report.archived}")
    if report.days:
        lines.append(f"Compared with what sites signed: {report.days} days")
    if report.compared:
        lines.append(f"Compared with the other site: {report.compared}")
    if report.wrong:
        lines += ["", "Not as it should be:"]
        lines += [f"  {code}: {count}" for code, count in sorted(report.wrong.items())]
        lines += [f"    {f.where}: {f.text}" for f in report.findings[:_SHOWN]]
        if len(report.findings) > _SHOWN:
            lines.append(f"    and {len(report.findings) - _SHOWN} more: see --json")
    lines += ["", f"Error rate: {report.error_rate:.6f} a sector."]
    lines.append("All is as it should be." if report.good else "Something is wrong: see above.")
    return lines
