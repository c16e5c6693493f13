"""`vitalkeep hub`: take the gateways' logs, store them, receipt them, show the ward."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from bridge.core.config import TIME_PORT
from vitalkeep.errors import ToolError

_DATA = "vitalkeep"
_FILE = click.Path(path_type=Path, dir_okay=False)
_TIME_HOST = "127.0.0.1"
_GC_THRESHOLD = 100_000  # objects more than were freed, before the collector looks


def data_home() -> Path:
    """Return the folder for this user's data (XDG base directories)."""
    home = os.environ.get("XDG_DATA_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local" / "share") / _DATA


def parse_listen(option: str, text: str) -> tuple[str, int]:
    """Return (host, port) of an option's "host:port"; raises ToolError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ToolError(f"{option} {text}: want host:port", "For example 127.0.0.1:8321.")
    return host.strip("[]") or "127.0.0.1", int(port)


def tls_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that talks to a broker --ca, --certificate and --key."""
    for option, text in (
        ("--key", "For mqtts: key.pem, its key."),
        ("--certificate", "For mqtts: certificate.pem, its own."),
        ("--ca", "For mqtts: ca.pem, the ward's authority."),
    ):
        command = click.option(option, type=_FILE, help=text)(command)
    return command


def find_identity(ca: Path | None, certificate: Path | None, key: Path | None) -> Any:
    """Return the Identity in three files, None for none of them; raises ToolError."""
    from vitalkeep.hub.tls import Identity

    if ca is None and certificate is None and key is None:
        return None
    if ca is None or certificate is None or key is None:
        raise ToolError(
            "--ca, --certificate and --key belong together", "Give all three, or none of them."
        )
    identity = Identity(ca, certificate, key)
    identity.context()  # what is wrong with the files is said at once
    return identity


@click.command()
@click.option("--vault", "vault_dir", type=click.Path(path_type=Path), help="Folder of the vault.")
@click.option("--new-vault", is_flag=True, help="Make the vault if it is not there.")
@click.option("--broker", metavar="URL", help="mqtts://host:port; default: an embedded one.")
@tls_options
@click.option("--broker-port", default=1883, show_default=True, help="Of the embedded broker.")
@click.option(
    "--database", envvar="VITALKEEP_DATABASE", metavar="URL", help="Default: SQLite in --data."
)
@click.option("--data", "data_dir", type=click.Path(path_type=Path), help="Folder for the data.")
@click.option("--http", default="127.0.0.1:8321", show_default=True, metavar="HOST:PORT")
@click.option(
    "--time",
    "time_at",
    metavar="HOST:PORT",
    help=f"UDP address at which gateways ask for the time, or none. "
    f"Default: {_TIME_HOST}:{TIME_PORT} if it is free.",
)
@click.option("--no-page", is_flag=True, help="Serve no page and no API.")
@click.option("--json", "as_json", is_flag=True, help="Say where it listens as one JSON line.")
@click.option("--ready-file", type=click.Path(path_type=Path), help="Write that line here, too.")
@click.option("--verbose", is_flag=True, help="Log what happens, not only what is wrong.")
def hub(
    vault_dir: Path | None,
    new_vault: bool,
    broker: str | None,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
    broker_port: int,
    database: str | None,
    data_dir: Path | None,
    http: str,
    time_at: str | None,
    no_page: bool,
    as_json: bool,
    ready_file: Path | None,
    verbose: bool,
) -> None:
    """Run a hub: broker (if none is named), store, receipts and the live page.

    A database URL or broker URL with a password belongs in the environment
    (VITALKEEP_DATABASE, VITALKEEP_BROKER), where other users do not see it.
    """
    # Imported here: `vitalkeep --help` needs neither a database nor a web server.
    from vitalkeep.hub.app import Hub, Settings
    from vitalkeep.hub.broker import EmbeddedBroker
    from vitalkeep.hub.consume import Address
    from vitalkeep.hub.store import Store, StoreError

    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    # Rows come and go by the thousand and make no cycles: these are looked for less often.
    gc.set_threshold(_GC_THRESHOLD)
    # What the hub writes is about patients: for its own user alone.
    os.umask(0o077)
    address = None if no_page else parse_listen("--http", http)
    clock: tuple[str, int] | None = (_TIME_HOST, TIME_PORT)
    if time_at is not None:
        clock = None if time_at == "none" else parse_listen("--time", time_at)
    data = data_dir or data_home()
    vault = _open_vault(vault_dir or data / "vault", new_vault)
    broker = broker or os.environ.get("VITALKEEP_BROKER")
    identity = find_identity(ca, certificate, key)
    named = Address.parse(broker or "", identity) if broker or identity else None

    def ready(where: dict[str, Any]) -> None:
        line = json.dumps(where | {"site": vault.site_id.hex(), "pid": os.getpid()})
        if ready_file:
            # Whoever waits for the file must never read half of it.
            fresh = ready_file.with_name(ready_file.name + ".new")
            fresh.write_text(line + "\n")
            fresh.replace(ready_file)
        if as_json:
            click.echo(line)
        else:
            click.echo(f"page    {where['http'] or 'none'}")
            click.echo(f"broker  {where['broker']}")
            click.echo(f"time    {where['time'] or 'none'}")
            click.echo(f"site    {vault.site_name}, id {vault.site_id.hex()}")
            click.echo("Ctrl-C stops it.")

    with ExitStack() as stack:
        if ready_file:
            stack.callback(ready_file.unlink, missing_ok=True)
        store = Store(database or _sqlite_url(data))
        stack.callback(store.close)
        try:
            store.open()
        except StoreError as error:
            raise ToolError(
                f"the store {store.address} does not open: {error}",
                "Start the database, free some space, or name another: --database URL.",
            ) from None
        if named is None:
            named = Address.parse(stack.enter_context(EmbeddedBroker(broker_port)).url)
        settings = Settings(named, address, clock, time_at is None)
        asyncio.run(Hub(vault, store, settings, ready).run())


def _open_vault(folder: Path, new: bool) -> Any:
    from vitalkeep.keys.vault import Vault

    if new and not (folder / "vault.json").exists():
        return Vault.create(folder)
    return Vault.open(folder)


def _sqlite_url(data: Path) -> str:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ToolError(f"{data}: {error.strerror}", "Name another folder: --data DIR.") from None
    return f"sqlite:///{data / 'hub.db'}"
