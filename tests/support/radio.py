"""An air with a base station in it, and a bed whose gateway has a radio."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import adafruit_rfm
from adafruit_rfm.rfm9x import RFM9x

from bridge.core.airtime import make_plan
from hil.air import Air
from hil.radio_plug import RadioPlug
from tests.support.site_client import Bed
from vitalkeep.hub.address import Address
from vitalkeep.radio.station import Station

DRIVER = Path(adafruit_rfm.__file__).parent
RADIO = {"region": "EU868", "sf": 7}
STATION_ID = b"station1"


def radio_bed(root: Path, port: int, air: Air, **config: Any) -> Bed:
    """Return a bed whose gateway speaks by radio a second after its last site is gone."""
    bed = Bed(root, port, radio=RADIO, radio_grace_ms=1000, **config)
    bed.board.air_port = air.port
    bed.board.install(DRIVER)
    return bed


def plug_driver(air: Air, name: str, settings: dict[str, Any] = RADIO) -> tuple[RadioPlug, RFM9x]:
    """Return a transceiver in the air and the real driver that works it."""
    plan = make_plan(settings)
    plug = RadioPlug(air.port, name)
    driver = RFM9x(plug.bus, plug.select, plug.reset, plan.khz / 1000)
    plan.tune(driver)
    driver.timeout_poll = 0.005
    return plug, driver


@contextlib.asynccontextmanager
async def base_station(air: Air, folder: Path, port: int):
    """Run a base station between the air and a broker."""
    plug, driver = plug_driver(air, "base")
    address = Address.parse(f"mqtt://127.0.0.1:{port}")
    station = Station(driver, make_plan(RADIO), address, STATION_ID, folder / "airtime")
    task = asyncio.create_task(station.run())
    try:
        yield station
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        plug.close()
