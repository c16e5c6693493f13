"""`vitalkeep gateway`: ask a gateway how it is, start it anew, change its configuration."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from vitalkeep.commands.ca import json_option
from vitalkeep.commands.hub import tls_options
from vitalkeep.errors import ToolError
from vitalkeep.hub.config.chosen import data_home, find_identity

_FILE = click.Path(path_type=Path, dir_okay=False)


def remote(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what it needs to talk to a gateway, which is named by id or bed."""
    command = click.option(
        "--vault",
        "folder",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of the vault; default: vault in the data folder.",
    )(tls_options(json_option(command)))
    command = click.option("--broker", metavar="URL", help="Of a site of the gateway.")(command)
    return click.argument("gateway")(command)


@click.group()
def gateway() -> None:
    """Speak to a gateway over MQTT, as only a holder of the vault can.

    GATEWAY is its id or its bed. No command reaches a device at the bed. A broker URL with a
    password belongs in the environment (VITALKEEP_BROKER), where other users do not see it.
    """


@gateway.command()
@remote
def report(as_json: bool, **where: Any) -> None:
    """Say how a gateway is: versions, links, log, clock, memory, counters."""

    async def job(desk: Any) -> Any:
        return await desk.ask("report")

    found = talk(job, **where)
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, value in sorted(found.items()):
        click.echo(f"{name:18} {json.dumps(value)}")


@gateway.command()
@remote
def restart(as_json: bool, **where: Any) -> None:
    """Have a gateway start anew: its devices are not read for about two seconds."""

    async def job(desk: Any) -> Any:
        return await desk.ask("restart")

    found = talk(job, **where)
    click.echo(json.dumps(found) if as_json else "it starts anew")


@gateway.command()
@remote
@click.argument("file", type=_FILE)
def configure(file: Path, as_json: bool, **where: Any) -> None:
    """Give a gateway another config.json, on trial: it comes back to the old one by itself."""
    from vitalkeep.ward.compile import check_config

    try:
        data = file.read_bytes()
    except OSError as error:
        raise ToolError(f"{file}: {error.strerror}", "vitalkeep ward compile writes it.") from None
    check_config(data, str(file))

    def told(text: str) -> None:
        click.echo(json.dumps({"event": text}) if as_json else text)

    async def job(desk: Any) -> None:
        await desk.configure(data, told)

    talk(job, **where)


def talk(
    job: Callable[[Any], Awaitable[Any]],
    gateway: str,
    broker: str | None,
    folder: Path | None,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
) -> Any:
    """Return what a job does with the desk of a gateway; raises ToolError."""
    from vitalkeep.hub.consume import Address
    from vitalkeep.keys.vault import Vault
    from vitalkeep.remote.desk import Desk

    url = broker or os.environ.get("VITALKEEP_BROKER")
    if not url:
        raise ToolError("no broker is named", "Name that of a site: --broker mqtts://host:port.")
    address = Address.parse(url, find_identity(ca, certificate, key))
    known = Vault.open(folder or data_home() / "vault").gateways()
    found = [one for one in known if gateway in (one.id.hex(), one.bed) and not one.revoked]
    if len(found) != 1:
        why = "no such gateway" if not found else "several gateways have this bed"
        raise ToolError(f"{gateway}: {why}", "See vitalkeep vault list.")

    async def conversation() -> Any:
        async with Desk.at(found[0], address) as desk:
            return await job(desk)

    return asyncio.run(conversation())
