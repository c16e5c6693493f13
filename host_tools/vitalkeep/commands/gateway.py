"""`vitalkeep gateway`: ask a gateway how it is, start it anew, change its configuration."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from vitalkeep.commands.ca import json_option
from vitalkeep.commands.hub import tls_options
from vitalkeep.errors import ToolError

_FILE = click.Path(path_type=Path, dir_okay=False)


def reach_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what it needs to reach a gateway through a broker."""
    command = click.option(
        "--vault",
        "folder",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of the vault; default: vault in the data folder.",
    )(tls_options(command))
    return click.option("--broker", metavar="URL", help="Of a site of the gateway.")(command)


def remote(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what it needs to talk to a gateway, which is named by id or bed."""
    return click.argument("gateway")(reach_options(json_option(command)))


def _either(command: Callable[..., None]) -> Callable[..., None]:
    """The same, or over a cable: then the gateway need not be named."""
    command = click.option("--port", help="The board's serial port, for USB.")(command)
    return click.argument("gateway", required=False)(reach_options(json_option(command)))


@click.group()
def gateway() -> None:
    """Speak to a gateway over MQTT or USB, as only a holder of the vault can.

    GATEWAY is its id or its bed. No command reaches a device at the bed. A broker URL with a
    password belongs in the environment (VITALKEEP_BROKER), where other users do not see it.
    """


@gateway.command()
@_either
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


@gateway.command("open-console")
@_either
@click.option("--minutes", default=10, show_default=True, type=click.IntRange(1, 120))
def open_console(minutes: int, as_json: bool, **where: Any) -> None:
    """Open MicroPython's prompt on a gateway's USB console for a while; its log tells."""

    async def job(desk: Any) -> Any:
        return await desk.ask("open-console", minutes=minutes)

    found = talk(job, **where)
    click.echo(json.dumps(found) if as_json else f"open for {minutes} min; Ctrl-C stops it there")


@gateway.command("close-console")
@_either
def close_console(as_json: bool, **where: Any) -> None:
    """Close the prompt again."""

    async def job(desk: Any) -> Any:
        return await desk.ask("close-console")

    found = talk(job, **where)
    click.echo(json.dumps(found) if as_json else "closed")


@gateway.command()
@_either
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
    gateway: str | None,
    folder: Path | None,
    port: str | None = None,
    **broker: Any,
) -> Any:
    """Return what a job does with whoever speaks to a gateway; raises ToolError."""
    from vitalkeep.remote.conversation import over_mqtt, over_usb

    async def conversation() -> Any:
        if port is not None:
            with over_usb(gateway, folder, port) as usb:
                return await job(usb)
        async with over_mqtt(gateway, folder, **broker) as desk:
            return await job(desk)

    return asyncio.run(conversation())
