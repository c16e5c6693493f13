"""The real driver on CPython at both ends of the modelled air."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from adafruit_rfm.rfm9x import RFM9x

from hil.air import Air
from hil.radio_plug import RadioPlug
from tests.support.radio import plug_driver


def in_air(story: Callable[[Air], Awaitable[None]], **options: float) -> None:
    async def run() -> None:
        air = Air(**options)
        await air.start()
        try:
            await story(air)
        finally:
            air.close()

    asyncio.run(run())


async def _receive(driver, timeout=3.0):
    return await driver.asyncio_receive(timeout=timeout)


def test_a_frame_arrives_whole_with_its_strength() -> None:
    async def story(air: Air) -> None:
        _, sender = plug_driver(air, "sender")
        _, listener = plug_driver(air, "listener")
        air.path_db["sender"] = 110
        hearing = asyncio.create_task(_receive(listener))
        await asyncio.sleep(0.05)
        payload = bytes(range(252))
        assert await sender.asyncio_send(payload)
        assert bytes(await hearing) == payload
        assert listener.last_rssi == air.sent[0].dbm - 110
        assert listener.last_snr == 10

    in_air(story)


def test_what_is_below_the_noise_or_lost_is_not_heard() -> None:
    async def story(air: Air) -> None:
        _, sender = plug_driver(air, "sender")
        _, listener = plug_driver(air, "listener")
        air.path_db["sender"] = 140
        hearing = asyncio.create_task(_receive(listener, 0.4))
        await asyncio.sleep(0.05)
        assert await sender.asyncio_send(b"too weak")
        assert await hearing is None
        assert air.sent[0].lost_for == ["listener"]

    in_air(story)


@pytest.mark.parametrize(("apart_db", "survives"), [(0, False), (20, True)])
def test_frames_collide_unless_one_is_much_stronger(apart_db: int, survives: bool) -> None:
    async def story(air: Air) -> None:
        _, one = plug_driver(air, "one")
        _, two = plug_driver(air, "two")
        _, listener = plug_driver(air, "listener")
        air.path_db |= {"one": 80, "two": 80 + apart_db}
        hearing = asyncio.create_task(_receive(listener))
        await asyncio.sleep(0.05)
        await asyncio.gather(one.asyncio_send(b"1" * 100), two.asyncio_send(b"2" * 100))
        data = await hearing
        assert (data is not None and bytes(data) == b"1" * 100) is survives
        assert listener.crc_error_count == (not survives)

    in_air(story)


def test_another_spreading_factor_neither_is_heard_nor_disturbs() -> None:
    async def story(air: Air) -> None:
        _, one = plug_driver(air, "one")
        _, other = plug_driver(air, "other", {"region": "EU868", "sf": 8})
        _, listener = plug_driver(air, "listener")
        hearing = asyncio.create_task(_receive(listener))
        await asyncio.sleep(0.05)
        await asyncio.gather(other.asyncio_send(b"2" * 50), one.asyncio_send(b"1" * 50))
        assert bytes(await hearing) == b"1" * 50

    in_air(story)


def test_a_missing_chip_is_named() -> None:
    async def story(air: Air) -> None:
        plug = RadioPlug(air.port, "held in reset")
        plug.chip.reset(0)  # and nobody lets go of it
        with pytest.raises(RuntimeError, match="Failed to find rfm9x"):
            RFM9x(plug.bus, plug.select, plug.select, 868.3)

    in_air(story)
