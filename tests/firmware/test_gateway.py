"""The whole firmware on a virtual board, a real broker, and a site in the test's hands."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from iotcore import Broker

from bridge.core import wire
from hil.link import LinkProxy
from tests.support.processes import free_port
from tests.support.site_client import GATEWAY, LOG_ID, SITE, Bed, SiteClient


@contextlib.asynccontextmanager
async def bedside(root: Path) -> AsyncIterator[tuple[Bed, SiteClient, LinkProxy]]:
    broker = Broker(port=free_port())
    broker.start()
    link = LinkProxy("127.0.0.1", broker.port)
    bed = Bed(root, await link.start(), receipt_wait_ms=1500, heartbeat_ms=500)
    site = SiteClient(broker.port)
    try:
        await site.start()
        await bed.board.start()
        await bed.board.wait_for("listening")
        await site.until(lambda: site.statuses)
        yield bed, site, link
    finally:
        await site.close()
        await bed.board.close()
        await link.close()
        broker.stop()


def test_values_arrive_and_nothing_is_left_to_send(tmp_path: Path) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as (bed, site, _):
            for spo2 in (97, 96, 95):
                bed.say(spo2)
                await site.until(lambda spo2=spo2: spo2 in site.values(), 5)
            assert site.values() == [97, 96, 95]
            await site.until(lambda: site.statuses[-1]["backlog"]["A"] == 0)
            assert site.statuses[-1]["utc"] > 1_700_000_000_000

    asyncio.run(story())


def test_garbage_and_half_lines_give_no_value_and_are_counted(tmp_path: Path) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as (bed, site, _):
            bed.say(97)
            bed.put(b"\xff\x00garbage SPO2=042% \r\n03/14/26 09:26:53 SN=00001")
            bed.put(b"\r\n")
            bed.say(96)
            await site.until(lambda: len(site.values()) == 2)
            assert site.values() == [97, 96]
            await site.until(lambda: any(name.startswith("line0_") for name in site.counters()))

    asyncio.run(story())


def test_outage_is_filled_in_and_live_values_come_first(tmp_path: Path) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as (bed, site, link):
            bed.say(97)
            await site.until(lambda: site.values() == [97])
            link.cut()
            bed.board.plug_cable(False)
            for spo2 in range(80, 90):
                bed.say(spo2)
                await asyncio.sleep(0.12)
            assert site.values() == [97]
            link.restore()
            bed.board.plug_cable(True)
            bed.say(91)
            await site.until(lambda: site.values() == [97, *range(80, 90), 91], 8)

    asyncio.run(story())


def test_frozen_link_is_found_and_left(tmp_path: Path) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as (bed, site, link):
            link.cut()  # the cable stays in: nobody tells the board
            bed.say(88)
            await asyncio.sleep(6)
            link.reset()
            link.restore()
            await site.until(lambda: site.values() == [88], 12)
            await site.until(lambda: site.counters().get("session_broken", 0) >= 1)

    asyncio.run(story())


def test_receipts_of_others_change_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as (bed, site, _):
            site.receipting = False
            bed.say(93)
            await site.until(lambda: site.values() == [93])
            good = site.receipt([(0, 0)])
            stale = site.receipt([(0, 0)])
            stale.nonce = b"another!"
            stranger = site.receipt([(0, 0)])
            stranger.log_id = b"another!"
            site.receipting = True
            site.send(good, key=b"x" * 32)
            site.send(stale)
            site.send(stranger)
            site.send_raw(b"nonsense")
            site.receipting = False
            for name in ("receipt_forged", "receipt_stale", "receipt_stranger"):
                await site.until(lambda name=name: site.counters().get(name, 0) >= 1)
            # The gateway still holds its run to be without a receipt, and asks.
            await site.until(lambda: site.statuses[-1]["ask"])
            site.receipting = True
            await site.until(lambda: not site.statuses[-1]["ask"])
            assert site.values() == [93]

    asyncio.run(story())


def test_site_that_withholds_receipts_gets_the_runs_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as (bed, site, _):
            await site.until(lambda: site.statuses[-1]["backlog"]["A"] == 0)
            site.receipting = False
            bed.say(92)
            await site.until(lambda: site.values() == [92])
            site.store.sectors.clear()
            site.store.epoch = b"epoch--2"  # the store is lost and starts anew
            await asyncio.sleep(2)
            site.receipting = True
            await site.until(lambda: site.values() == [92])

    asyncio.run(story())


def test_power_cut_in_mid_write_loses_at_most_the_last_commit(tmp_path: Path) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as (bed, site, _):
            expected = []
            for seed in range(4):
                for spo2 in range(70 + 5 * seed, 74 + 5 * seed):
                    bed.say(spo2)
                    expected.append(spo2)
                    await site.until(lambda: site.values()[-1:] == expected[-1:], 5)
                cut = asyncio.create_task(bed.board.cut_in_mid_write(1, seed))
                await asyncio.sleep(0.1)
                bed.say(60)
                await cut
                boots = len({status["boot"] for status in site.statuses})
                await bed.board.start()
                await bed.board.wait_for("listening")
                await site.until(
                    lambda boots=boots: len({s["boot"] for s in site.statuses}) > boots
                )
                bed.say(99)
                expected.append(99)
                await site.until(lambda: site.values()[-1:] == [99])
                # The value in flight at the cut is there whole, or not at all.
                found = site.values()
                assert [value for value in found if value != 60] == expected
                assert found.count(60) <= seed + 1

    asyncio.run(story())


def test_authentic_nonsense_is_survived(tmp_path: Path) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as (bed, site, _):
            made = wire.Receipt(SITE, site.store.epoch, GATEWAY, LOG_ID, bytes(8))
            made.nonce = bytes.fromhex(site.statuses[-1]["nonce"])
            made.have = True
            made.maps = [(9, 0, 8, b"\xff"), (0, 4000000, 8, b"\xff"), (1, 0, 900, b"\xff" * 113)]
            made.entries = [(7, 1, 1, bytes(8)), (0, 0, 65535, bytes(8)), (2, 99, 70, bytes(8))]
            site.send(made)
            bed.say(94)
            await site.until(lambda: 94 in site.values())
            await site.until(lambda: site.statuses[-1]["backlog"]["A"] == 0)
            assert not any(name.startswith("restart") for name in site.counters())

    asyncio.run(story())


def test_site_that_is_late_is_asked_less_often_and_one_that_is_back_at_once(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as (bed, site, _):
            await site.until(lambda: not site.statuses[-1]["ask"])
            site.receipting = False
            bed.say(93)
            await site.until(lambda: site.statuses[-1]["ask"])
            before = len(site.statuses)
            await site.until(lambda: len(site.statuses) >= before + 20, 30)
            late = site.statuses[before : before + 20]
            assert sum(status["ask"] for status in late) <= 6, "each heartbeat would be 20"
            site.receipting = True
            back = len(site.statuses)
            await site.until(lambda: any(one["ask"] for one in site.statuses[back:]))
            # The one after the first that is answered in time asks, however long the pause was.
            assert [one["ask"] for one in site.statuses[back:]].index(True) <= 2
            await site.until(lambda: site.statuses[-1]["backlog"]["A"] == 0)
            await site.until(lambda: not site.statuses[-1]["ask"])
            assert site.values() == [93]

    asyncio.run(story())


def test_broker_that_vanishes_in_mid_publish_loses_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        port = free_port()
        broker = Broker(port=port)
        broker.start()
        bed = Bed(tmp_path, port, receipt_wait_ms=1500, heartbeat_ms=500)
        site = SiteClient(port)
        try:
            await site.start()
            await bed.board.start()
            await bed.board.wait_for("listening")
            await site.until(lambda: site.statuses)
            expected = []
            for spo2 in range(80, 100):
                if spo2 == 90:
                    broker.stop()
                if spo2 == 95:
                    await site.close()
                    broker = Broker(port=port)
                    broker.start()
                    await site.start()
                bed.say(spo2)
                expected.append(spo2)
                await asyncio.sleep(0.12)
            await site.until(lambda: site.values() == expected)
        finally:
            await site.close()
            await bed.board.close()
            broker.stop()

    asyncio.run(story())
