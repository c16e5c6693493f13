"""`vitalkeep hub`: take the gateways' logs, store them, receipt them, show the ward."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bridge.core.config import TIME_PORT
from vitalkeep.cli import LazyGroup
from vitalkeep.commands.archive import open_store
from vitalkeep.hub.config.basics import TIME_HOST
from vitalkeep.hub.config.chosen import (
    broker_address,
    data_folder,
    database_url,
    find_identity,
    page_address,
    time_address,
    vault_folder,
    worker_name,
)

_FILE = click.Path(path_type=Path, dir_okay=False)
# Everything stands still while the collector looks: at 10,000 new objects for some 5 ms, at all of
# a ward of 1,000 beds for 300, which is kept for once in hours.
_GC_THRESHOLDS = (10_000, 20, 100)


def tls_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that talks to a broker --ca, --certificate and --key."""
    for option, text in (
        ("--key", "For mqtts: key.pem, its key."),
        ("--certificate", "For mqtts: certificate.pem, its own."),
        ("--ca", "For mqtts: ca.pem, the ward's authority."),
    ):
        command = click.option(option, type=_FILE, help=text)(command)
    return command


def hub_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what says where a hub's things are."""
    folder = click.Path(path_type=Path)
    time_help = (
        f"UDP address at which gateways ask for the time, or none. "
        f"Default: {TIME_HOST}:{TIME_PORT} if it is free."
    )
    for option in (
        click.option("--time", "time_at", metavar="HOST:PORT", help=time_help),
        click.option("--http", metavar="HOST:PORT", help="Of the page; default 127.0.0.1:8321."),
        click.option("--data", "data_dir", type=folder, help="Folder for the data."),
        click.option(
            "--database",
            envvar="VITALKEEP_DATABASE",
            metavar="URL",
            help="Default: SQLite in --data.",
        ),
        tls_options,
        click.option(
            "--broker",
            metavar="URL[,URL...]",
            help="mqtts://host:port, several for a cluster's servers; default: an embedded one.",
        ),
        click.option("--vault", "vault_dir", type=folder, help="Folder of the vault."),
        click.option(
            "--config", "config_path", type=_FILE, help="hub.toml: see `vitalkeep hub config`."
        ),
    ):
        command = option(command)
    return command


@click.group(cls=LazyGroup, entries="vitalkeep.hub.commands", invoke_without_command=True)
@hub_options
@click.option("--new-vault", is_flag=True, help="Make the vault if it is not there.")
@click.option("--broker-port", type=int, help="Of the embedded broker; default 1883.")
@click.option(
    "--worker",
    metavar="NAME",
    help="Of this hub among others on one PostgreSQL database. Default: machine and --data.",
)
@click.option("--no-page", is_flag=True, help="Serve no page and no API.")
@click.option("--json", "as_json", is_flag=True, help="Say where it listens as one JSON line.")
@click.option("--ready-file", type=click.Path(path_type=Path), help="Write that line here, too.")
@click.option("--log-json", is_flag=True, help="Log JSON, an object a line.")
@click.option("--verbose", is_flag=True, help="Log what happens, not only what is wrong.")
@click.pass_context
def hub(
    context: click.Context,
    config_path: Path | None,
    vault_dir: Path | None,
    new_vault: bool,
    broker: str | None,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
    broker_port: int | None,
    database: str | None,
    data_dir: Path | None,
    http: str | None,
    time_at: str | None,
    worker: str | None,
    no_page: bool,
    as_json: bool,
    ready_file: Path | None,
    log_json: bool,
    verbose: bool,
) -> None:
    """Run a hub: broker (if none is named), store, receipts and the live page.

    Options win over the file of --config. A database URL or broker URL with a password belongs in
    the environment (VITALKEEP_DATABASE, VITALKEEP_BROKER), where other users do not see it.
    """
    if context.invoked_subcommand is not None:
        return
    # Imported here: `vitalkeep --help` needs neither a database nor a web server.
    from vitalkeep.hub.address import Address
    from vitalkeep.hub.app import Hub, Settings
    from vitalkeep.hub.broker import EmbeddedBroker
    from vitalkeep.hub.config.basics import BrokerSettings
    from vitalkeep.hub.config.load import Config, load
    from vitalkeep.hub.logs import LogSettings, set_up
    from vitalkeep.hub.store import Store

    gc.set_threshold(*_GC_THRESHOLDS)
    # What the hub writes is about patients: for its own user alone.
    os.umask(0o077)
    config = load(config_path) if config_path else Config()
    settings = config[LogSettings]
    set_up(replace(settings, format="json") if log_json else settings, verbose)
    address = None if no_page else page_address(config, http)
    clock, clock_may_fail = time_address(config, time_at)
    data = data_folder(config, data_dir)
    vault = _open_vault(vault_folder(config, vault_dir, data), new_vault)
    named = broker_address(config, broker, find_identity(ca, certificate, key))

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
        store = Store(database_url(config, database, data))
        open_store(stack, store)
        if named is None:
            port = config[BrokerSettings].port if broker_port is None else broker_port
            named = [Address.parse(stack.enter_context(EmbeddedBroker(port)).url)]
        name = worker_name(config, worker, data)
        wiring = Settings(named, address, clock, clock_may_fail, config, name)
        asyncio.run(Hub(vault, store, wiring, ready).run())


def _open_vault(folder: Path, new: bool) -> Any:
    from vitalkeep.keys.vault import Vault

    if new and not (folder / "vault.json").exists():
        return Vault.create(folder)
    return Vault.open(folder)
