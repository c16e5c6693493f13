"""Two sites: class A at both at once, B and C at one, and the way there and back by itself."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from iotcore import Broker

from bridge.core.journal import records
from hil.link import LinkProxy
from tests.support.processes import free_port
from tests.support.site_client import SECOND_SITE, SITE, Bed, SiteClient

A_UART = 1
B_UART = 2
FAILBACK_MS = 3000


@dataclass
class Story:
    bed: Bed
    first: SiteClient
    second: SiteClient
    first_link: LinkProxy
    brokers: list[Broker]


@contextlib.asynccontextmanager
async def two_sites(root: Path) -> AsyncIterator[Story]:
    brokers = [Broker(port=free_port()) for _ in range(2)]
    links = [LinkProxy("127.0.0.1", broker.port) for broker in brokers]
    ports = []
    for broker, link in zip(brokers, links, strict=True):
        broker.start()
        ports.append(await link.start())
    bed = Bed(root, *ports, classes="AB", commit_b_ms=100, failback_ms=FAILBACK_MS)
    sites = [
        SiteClient(broker.port, site)
        for broker, site in zip(brokers, (SITE, SECOND_SITE), strict=True)
    ]
    try:
        for site in sites:
            await site.start()
        await bed.board.start()
        await bed.board.wait_for("listening")
        for site in sites:
            await site.until(lambda site=site: site.statuses and not site.statuses[-1]["ask"])
        yield Story(bed, *sites, links[0], brokers)
    finally:
        for site in sites:
            await site.close()
        await bed.board.close()
        for link in links:
            await link.close()
        for broker in brokers:
            broker.stop()


def test_class_a_is_at_both_and_class_b_at_the_first(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_sites(tmp_path) as s:
            s.bed.say(97, A_UART)
            s.bed.say(88, B_UART)
            for site in (s.first, s.second):
                await site.until(lambda site=site: site.values(0) == [97])
            await s.first.until(lambda: s.first.values(1) == [88])
            await asyncio.sleep(1)
            assert s.second.values(1) == []
            assert s.first.statuses[-1]["classes"] == "ABC"
            assert s.second.statuses[-1]["classes"] == "A"
            assert s.second.statuses[-1]["backlog"]["B"] == 0

    asyncio.run(story())


async def _cable(s: Story) -> None:
    s.first_link.cut()


async def _withheld(s: Story) -> None:
    s.first.receipting = False


async def _killed(s: Story) -> None:
    s.brokers[0].stop()


@pytest.mark.parametrize("death", [_cable, _withheld, _killed])
def test_second_site_takes_over_and_class_a_has_no_gap(
    death: Callable[[Story], Awaitable[None]], tmp_path: Path
) -> None:
    async def story() -> None:
        async with two_sites(tmp_path) as s:
            s.bed.say(88, B_UART)
            await s.first.until(lambda: s.first.values(1) == [88])
            await death(s)
            died = time.monotonic()
            expected = list(range(60, 90))
            took_s = 0.0
            for spo2 in expected:
                s.bed.say(spo2, A_UART)
                s.bed.say(spo2, B_UART)
                await asyncio.sleep(0.25)
                # Class A was never away from the second site.
                assert s.second.values(0)[-1:] >= [spo2 - 2]
                if not took_s and s.second.values(1):
                    took_s = time.monotonic() - died
            await s.second.until(lambda: s.second.values(0) == expected)
            await s.second.until(lambda: s.second.values(1)[-30:] == expected)
            assert 0 < took_s < 6
            assert s.second.events(records.SITE_DOWN) == ["primary"]
            assert s.second.events(records.SITE_CHOSEN) == ["standby"]

    asyncio.run(story())


def test_first_site_gets_all_it_missed_and_has_class_b_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_sites(tmp_path) as s:
            s.first_link.cut()
            for spo2 in range(70, 90):
                s.bed.say(spo2, A_UART)
                s.bed.say(spo2, B_UART)
                await asyncio.sleep(0.4)
            await s.second.until(lambda: s.second.values(1) == list(range(70, 90)))
            s.first_link.reset()
            s.first_link.restore()
            await s.first.until(lambda: s.first.values(0) == list(range(70, 90)))
            assert s.first.values(1) == []
            await s.first.until(lambda: s.first.values(1) == list(range(70, 90)))
            s.bed.say(95, B_UART)
            await s.first.until(lambda: s.first.values(1)[-1] == 95)
            assert s.second.values(1)[-1] == 89
            assert s.second.events(records.SITE_CHOSEN) == ["standby", "primary"]

    asyncio.run(story())
