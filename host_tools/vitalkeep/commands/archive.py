"""`vitalkeep archive`: what is in the archive, and its work done by hand."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vitalkeep.errors import ToolError

if TYPE_CHECKING:
    from vitalkeep.archive.bucket import Bucket
    from vitalkeep.hub.config.load import Config
    from vitalkeep.hub.store import Store, StoreError
    from vitalkeep.keys.vault import Vault

_FOLDER = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, dir_okay=False)


def vault_option(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --config and --vault."""
    for option, name, kind, text in (
        ("--vault", "vault_dir", _FOLDER, "Folder of the vault."),
        ("--config", "config_path", _FILE, "hub.toml of the hub."),
    ):
        command = click.option(option, name, type=kind, help=text)(command)
    return command


def database_option(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --database and --data."""
    text = "Folder for the data."
    command = click.option("--data", "data_dir", type=_FOLDER, help=text)(command)
    text = "Default: SQLite in --data."
    return click.option(
        "--database", envvar="VITALKEEP_DATABASE", metavar="URL", help=text
    )(command)  # fmt: skip


@dataclass
class Parts:
    """What a command on a hub's store works with."""

    vault: Vault
    store: Store
    config: Config

    def bucket(self) -> Bucket | None:
        """Return the archive of hub.toml, None when it names none."""
        from vitalkeep.archive.bucket import Bucket
        from vitalkeep.archive.settings import ArchiveSettings

        found = self.config[ArchiveSettings]
        if found.address is None:
            return None
        return Bucket(found.address, found.options(), found.lock_days)


def open_parts(
    stack: ExitStack,
    config_path: Path | None,
    vault_dir: Path | None,
    database: str | None,
    data_dir: Path | None,
    make: bool = False,
) -> Parts:
    """Return vault and open store of the options, or of hub.toml; raises ToolError.

    make  the store may be made, if it is not there
    """
    from vitalkeep.archive.sources import existing_store
    from vitalkeep.hub.config.chosen import data_folder, database_url, vault_folder
    from vitalkeep.hub.config.load import Config, load
    from vitalkeep.hub.store import Store
    from vitalkeep.keys.vault import Vault

    config = load(config_path) if config_path else Config()
    data = data_folder(config, data_dir)
    vault = Vault.open(vault_folder(config, vault_dir, data))
    url = database_url(config, database, data)
    store = Store(url) if make else existing_store(url)
    open_store(stack, store)
    return Parts(vault, store, config)


def open_store(stack: ExitStack, store: Store) -> None:
    """Open a store until the stack ends; raises ToolError."""
    from vitalkeep.hub.store import StoreError

    stack.callback(store.close)
    try:
        store.open()
    except StoreError as error:
        raise ToolError(
            f"the store {store.address} does not open: {error}",
            "Start the database, free some space, or name another: --database URL.",
        ) from None


def with_parts(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a hub's store, and as its `parts` what they name."""

    @vault_option
    @database_option
    @functools.wraps(command)
    def opened(
        config_path: Path | None,
        vault_dir: Path | None,
        database: str | None,
        data_dir: Path | None,
        **rest: Any,
    ) -> None:
        from vitalkeep.hub.store import StoreError

        with ExitStack() as stack:
            parts = open_parts(stack, config_path, vault_dir, database, data_dir)
            try:
                command(parts=parts, **rest)
            except StoreError as error:
                raise refused_by_store(parts.store.address, error) from None

    return opened


def refused_by_store(address: str, error: StoreError) -> ToolError:
    """Return what people are told of a store that does not do it."""
    return ToolError(
        f"the store {address} refused: {error}",
        "Make room or start the database, then run the same command: it goes on.",
    )


@click.group()
def archive() -> None:
    """The archive in object storage: its backups, and its work by hand."""


@archive.command()
@with_parts
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(parts: Parts, as_json: bool) -> None:
    """Tell the last good backups, how many succeed, and what is warm and cold."""
    from vitalkeep.archive.backup import summary
    from vitalkeep.hub.store import utc_now_ms

    found: dict[str, Any] = summary(parts.store, utc_now_ms())
    tiers = parts.store.tier_sizes()
    if as_json:
        click.echo(json.dumps({"backups": found, "tiers": tiers}))
        return
    for name, row in found.items():
        full, last = (_when(row[f"last_{kind}_ms"]) for kind in ("full", "incremental"))
        rate = "" if row["success_percent"] is None else f", {row['success_percent']} % succeed"
        click.echo(f"class {name}: last full {full}, last incremental {last}{rate}")
        if row["last_failure"]:
            failure = row["last_failure"]
            click.echo(f"  last failure {_when(failure['at_ms'])}: {failure['why']}")
    click.echo(f"{tiers['warm_sectors']} sectors warm, {tiers['cold_sectors']} cold")


def _when(at_ms: int | None) -> str:
    from datetime import datetime, timezone

    if at_ms is None:
        return "never"
    found = datetime.fromtimestamp(at_ms / 1000, timezone.utc)
    return found.isoformat(timespec="seconds").replace("+00:00", "Z")


@archive.command()
@with_parts
@click.option("--full", is_flag=True, help="Of all, not only of what is new.")
@click.option("--class", "names", multiple=True, type=click.Choice(list("ABC")), help="Only this.")
def backup(parts: Parts, full: bool, names: tuple[str, ...]) -> None:
    """Make a backup now, and test it by restoring it; ends with 1 when one failed."""
    from bridge.core.journal.layout import CLASSES
    from vitalkeep.archive.backup import Backups
    from vitalkeep.archive.keys import ArchiveKeys
    from vitalkeep.archive.manifest import FULL, INCREMENTAL
    from vitalkeep.hub.store import utc_now_ms

    bucket = parts.bucket()
    if bucket is None:
        raise ToolError("hub.toml names no archive", "Set address in its section [archive].")
    failed = False
    keys = ArchiveKeys(parts.vault.gateways())
    made = Backups(parts.store, bucket, keys, parts.vault.site_id, utc_now_ms)
    for name in names or tuple(CLASSES):
        row = made.run(CLASSES.index(name), FULL if full else INCREMENTAL)
        failed |= not row["ok"]
        size = f"{row['sectors']} sectors, {row['size']} bytes, restored and compared"
        click.echo(f"class {name}: {size if row['ok'] else 'FAILED: ' + row['why']}")
    if bucket.unlocked:
        text = f"{bucket.unlocked} objects have no retention lock: {bucket.lock_refusal}"
        click.echo(text, err=True)
    raise SystemExit(1 if failed else 0)


@archive.command()
@vault_option
@click.option("--bed", required=True, metavar="BED", help="Bed or gateway id.")
@click.option(
    "--to", "folder", required=True, type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the Parquet files.",
)  # fmt: skip
def rows(config_path: Path | None, vault_dir: Path | None, bed: str, folder: Path) -> None:
    """Fetch and decrypt a bed's Parquet files, which stand beside the cold sectors."""
    from vitalkeep.archive import rows as of_rows
    from vitalkeep.archive.bucket import Bucket, BucketError
    from vitalkeep.archive.keys import ArchiveKeys
    from vitalkeep.archive.pack import PackError
    from vitalkeep.archive.settings import ArchiveSettings
    from vitalkeep.hub.config.chosen import data_folder, vault_folder
    from vitalkeep.hub.config.load import Config, load
    from vitalkeep.keys.vault import Vault

    config = load(config_path) if config_path else Config()
    settings = config[ArchiveSettings]
    if settings.address is None:
        raise ToolError("hub.toml names no archive", "Set address in its section [archive].")
    vault = Vault.open(vault_folder(config, vault_dir, data_folder(config, None)))
    gateway = find_gateway(vault, bed)
    bucket = Bucket(settings.address, settings.options())
    keys = ArchiveKeys(vault.gateways())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    count = 0
    try:
        for name in bucket.names("cold"):
            if not name.endswith(".rows"):
                continue
            pack = name.removesuffix(".rows") + ".pack"
            found = of_rows.read(pack, bucket.get(name), gateway, keys)
            if found is not None:
                path = folder / (Path(pack).stem + ".parquet")
                path.write_bytes(found)
                count += 1
    except BucketError as error:
        raise error.tool_error() from None
    except PackError as error:
        raise ToolError(str(error), "The values can be had from the sealed sectors.") from None
    click.echo(f"{folder}: {count} files")


def find_gateway(vault: Vault, bed: str) -> bytes:
    """Return the gateway at a bed, or with an id; raises ToolError."""
    for gateway in vault.gateways():
        if bed in (gateway.bed, gateway.id.hex()):
            return gateway.id
    names = ", ".join(sorted(gateway.bed for gateway in vault.gateways()))
    raise ToolError(f"{bed}: no such bed or gateway", f"The vault has: {names or 'none'}.")
