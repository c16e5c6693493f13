"""`vitalkeep logs`: what a gateway noticed, from its own flash or from a hub's store."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import click

from bridge.core.journal.layout import CLASSES
from vitalkeep.commands.archive import database_option
from vitalkeep.commands.ca import json_option
from vitalkeep.commands.gateway import reach_options
from vitalkeep.errors import ToolError
from vitalkeep.shown import shown

_FOLLOW_S = 2.0


@click.command()
@click.argument("gateway", required=False)
@reach_options
@database_option
@click.option("--port", help="The board's serial port: read its own flash over USB.")
@click.option("--since", help="30m, 2h, 1d ago, or a time as 2026-03-14T09:26:53Z.")
@click.option("--class", "cls", type=click.Choice(list(CLASSES)), help="Of this one alone.")
@click.option("--event", "names", multiple=True, help="Of this name alone; may be repeated.")
@click.option(
    "--sectors", default=2, show_default=True, type=click.IntRange(1, 1000),
    help="Of each class, newest first, that are read from a gateway's flash.",
)  # fmt: skip
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@json_option
def logs(
    gateway: str | None,
    port: str | None,
    since: str | None,
    cls: str | None,
    names: tuple[str, ...],
    sectors: int,
    follow: bool,
    database: str | None,
    data_dir: Path | None,
    as_json: bool,
    **where: Any,
) -> None:
    """Show a gateway's events, with their time and what they mean.

    GATEWAY is its id or its bed. Without --port and --broker they come from the hub's store on
    this machine (--database), which has all of them; with these the gateway gives the newest from
    its own flash. Events are sealed like values: a vault opens them.
    """
    from vitalkeep.diagnose.events import Entry, parse_since

    now_ms = time.time_ns() // 1_000_000
    since_ms = None if since is None else parse_since(since, now_ms)

    def is_wanted(entry: Entry) -> bool:
        if since_ms is not None and entry.utc_ms is not None and entry.utc_ms < since_ms:
            return False
        if cls is not None and CLASSES[entry.place.cls] != cls:
            return False
        return not names or entry.name in names

    async def show() -> None:
        with ExitStack() as plain:
            async with AsyncExitStack() as stack:
                if port is None and where["broker"] is None:
                    source = _store(plain, gateway, where["folder"], database, data_dir)
                else:
                    source = await _flash(stack, gateway, port, sectors, where)
                while True:
                    for entry in await source.fetch():
                        if is_wanted(entry):
                            click.echo(json.dumps(entry.as_dict()) if as_json else _line(entry))
                    if not follow:
                        return
                    await asyncio.sleep(_FOLLOW_S)

    asyncio.run(show())


def _store(
    stack: ExitStack,
    name: str | None,
    folder: Path | None,
    database: str | None,
    data_dir: Path | None,
) -> Any:
    from vitalkeep.commands.archive import open_parts
    from vitalkeep.diagnose.events import FromStore
    from vitalkeep.remote.conversation import find_gateway

    if name is None:
        raise ToolError("no gateway is named", "Name its id or its bed; or --port for USB.")
    parts = open_parts(stack, None, folder, database, data_dir)
    return FromStore(parts.store, find_gateway(name, parts.vault.folder))


async def _flash(
    stack: AsyncExitStack, name: str | None, port: str | None, sectors: int, where: dict[str, Any]
) -> Any:
    from vitalkeep.diagnose.events import FromGateway
    from vitalkeep.remote.conversation import find_gateway, over_mqtt, over_usb

    folder = where["folder"]
    if port is None:
        assert name is not None or where["broker"]
        desk = await stack.enter_async_context(over_mqtt(name, **where))
        return FromGateway(desk, find_gateway(str(name), folder), sectors)
    usb = stack.enter_context(over_usb(name, folder, port))
    assert usb.status is not None
    return FromGateway(usb, find_gateway(usb.status["gateway"], folder), sectors)


def _line(entry: Any) -> str:
    from vitalkeep.diagnose.events import iso

    when = (
        iso(entry.utc_ms) if entry.utc_ms is not None else f"boot + {entry.mono_ms / 1000:.1f} s"
    )
    said = f"{when:24} {CLASSES[entry.place.cls]} {entry.name:14} {shown(entry.text)}"
    return f"{said}\n{'':27}{entry.meaning}"
