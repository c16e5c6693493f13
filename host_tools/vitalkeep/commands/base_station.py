"""`vitalkeep base-station`: relay what gateways send by radio to the hub, and its answers back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
from pathlib import Path
from typing import Any

import click

from bridge.core.airtime import DEFAULTS, make_plan
from bridge.core.errors import ConfigError
from vitalkeep.commands.hub import tls_options
from vitalkeep.errors import ToolError
from vitalkeep.hub.config.chosen import data_home, find_identity

_ID_DIGITS = 16


@click.command("base-station")
@click.option("--broker", metavar="URL", help="mqtts://host:port of the hub's broker.")
@tls_options
@click.option("--region", type=click.Choice(sorted(DEFAULTS)), required=True)
@click.option("--khz", type=int, help="Centre frequency; default: that of the region.")
@click.option("--sf", type=int, help="Spreading factor, 7 to 12.")
@click.option("--bandwidth-khz", type=int, help="125, 250 or 500.")
@click.option("--dbm", type=int, help="Power of the transmitter.")
@click.option("--cs", default="CE1", show_default=True, help="Pin of chip-select.")
@click.option("--reset", default="D25", show_default=True, help="Pin of the radio's reset.")
@click.option("--id", "station", help="16 hex digits of this station; default: random.")
@click.option(
    "--data", "data_dir", type=click.Path(path_type=Path), help="Folder for what was sent."
)
@click.option("--json", "as_json", is_flag=True, help="Say what happens as JSON lines.")
def base_station(
    broker: str | None,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
    region: str,
    khz: int | None,
    sf: int | None,
    bandwidth_khz: int | None,
    dbm: int | None,
    cs: str,
    reset: str,
    station: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Relay gateways' frames between a LoRa radio and a hub's broker; it opens none of them.

    Frequency, spreading factor and bandwidth must be those of the gateways. A broker URL with a
    password belongs in the environment (VITALKEEP_BROKER), where other users do not see it.
    """
    from vitalkeep.hub.address import Address
    from vitalkeep.radio.blinka import open_driver
    from vitalkeep.radio.station import Station

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    settings: dict[str, Any] = {"region": region}
    given = {"khz": khz, "sf": sf, "bandwidth_khz": bandwidth_khz, "dbm": dbm}
    settings |= {name: value for name, value in given.items() if value is not None}
    try:
        plan = make_plan(settings)
    except ConfigError as error:
        raise ToolError(str(error), "See docs/guides/radio.md for what a region allows.") from None
    url = broker or os.environ.get("VITALKEEP_BROKER")
    if not url:
        raise ToolError("no broker is named", "Name that of the hub: --broker mqtt://host:port.")
    address = Address.parse(url, find_identity(ca, certificate, key))
    id = _id(station)
    driver = open_driver(plan, cs, reset)
    data = data_dir or data_home()
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ToolError(f"{data}: {error.strerror}", "Name another folder: --data DIR.") from None

    def told(what: str) -> None:
        click.echo(json.dumps({"event": what}) if as_json else what.replace("_", " "))

    where = {"station": id.hex(), "broker": str(address), "khz": plan.khz, "sf": plan.sf}
    if as_json:
        click.echo(json.dumps(where))
    else:
        click.echo(f"station {id.hex()}, {plan.khz} kHz, SF{plan.sf}, broker {address}")
        click.echo("Ctrl-C stops it.")
    asyncio.run(_serve(Station(driver, plan, address, id, data / "airtime", told)))


def _id(text: str | None) -> bytes:
    if text is None:
        return secrets.token_bytes(_ID_DIGITS // 2)
    try:
        id = bytes.fromhex(text)
    except ValueError:
        id = b""
    if len(text) != _ID_DIGITS or len(id) != _ID_DIGITS // 2:
        want = f"--id {text}: want {_ID_DIGITS} hex digits"
        raise ToolError(want, "Leave it out for a random one.")
    return id


async def _serve(station: Any) -> None:
    task = asyncio.create_task(station.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return
    except (OSError, RuntimeError) as error:
        text = f"the radio failed: {error}"
        raise ToolError(text, "Check its wiring, and start the base station again.") from None
