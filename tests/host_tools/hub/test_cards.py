"""What is said of beds: the whole ward as it is now, and what changed, the same to everyone."""

import asyncio
import json
import random
from contextlib import suppress

import pytest

from bridge.core.journal.layout import CLASSES
from tests.support.hub import FakeGateway, Table
from vitalkeep.hub.cards import Cards, card
from vitalkeep.hub.ward import Ward
from vitalkeep.keys.vault import Gateway

NOW = 1_800_000_000_000
BEDS = 450  # several slices


class Beds:
    """A ward of many beds, whose gateways say what a test wants."""

    def __init__(self, count=BEDS):
        gateway = FakeGateway()
        gateway.observe()
        table = Table(gateway)
        table.take(*gateway.sector_runs(0, 0))
        (self._row,) = table.rows["observations"]
        self._beat = table.ingest.payloads.parse(*gateway.heartbeat())
        self.ids = [number.to_bytes(8, "big") for number in range(count)]
        self.ward = Ward(
            Gateway(id, f"Bed {number}", gateway.root, (gateway.log_id,))
            for number, id in enumerate(self.ids)
        )
        self.cards = Cards(self.ward)
        self._said = 0

    def observe(self, gateway, text, device="vent"):
        self._said += 1
        row = self._row | {"gateway": gateway, "device": device, "sector": self._said}
        row |= {"mono_ms": 1000 * self._said, "readings": {"SpO2": [text, 0, "%"]}}
        self.ward.stored({"observations": [row]}, NOW)

    def hear(self, gateway):
        beat = vars(self._beat) | {"gateway": gateway, "mono_ms": 1000 * self._said}
        self.ward.hear(type(self._beat)(**beat), NOW)

    def anything(self, rng):
        """Let something happen at some bed."""
        gateway = rng.choice(self.ids)
        match rng.randrange(4):
            case 0:
                self.observe(gateway, str(rng.randrange(80, 100)))
            case 1:
                self.hear(gateway)
            case 2:
                self.ward.set_account(gateway, {"A": {"stored_s": rng.randrange(3600)}})
            case 3:
                name = f"Bed {rng.randrange(10**6)}"
                self.ward.set_gateways([Gateway(gateway, name, b"", ())])

    def now(self):
        """Return what there is to say of each bed, by its id."""
        return {id.hex(): json.loads(json.dumps(card(self.ward.bed(id)))) for id in self.ids}


def parse(texts):
    return {bed["id"]: bed for bed in map(json.loads, texts)}


class Browser:
    """What somebody knows who got the whole ward once, and then the news."""

    def __init__(self, whole):
        self.beds = parse(whole)

    def hear(self, news):
        for bed in json.loads(news)["beds"]:
            self.beds[bed["id"]].update(bed)


def test_every_bed_is_told_by_name_and_as_it_is_when_the_answer_is_there():
    async def story():
        beds = Beds()
        asking = asyncio.create_task(beds.cards.all())
        turns = 0
        while not asking.done():
            beds.observe(beds.ids[turns % BEDS], str(turns))
            beds.hear(beds.ids[0])
            turns += 1
            told = beds.now()  # the answer may come in the next turn
            await asyncio.sleep(0)
        assert turns > 3  # others had their turn meanwhile
        found = await asking
        assert parse(found) == told
        names = [json.loads(text)["bed"] for text in found]
        assert names == sorted(f"Bed {number}" for number in range(BEDS))

    asyncio.run(story())


def test_a_ward_in_which_all_changes_all_the_time_is_told_nevertheless():
    async def story():
        beds = Beds()

        async def storm():
            while True:
                for gateway in beds.ids:
                    beds.observe(gateway, "97")
                await asyncio.sleep(0)

        raging = asyncio.create_task(storm())
        assert len(await asyncio.wait_for(beds.cards.all(), 60)) == BEDS
        raging.cancel()
        with suppress(asyncio.CancelledError):
            await raging

    asyncio.run(story())


def test_news_has_what_changed_and_nothing_else():
    async def story():
        beds = Beds(3)
        first, second, _ = beds.ids
        for gateway in beds.ids:
            beds.hear(gateway)
        (news,) = [json.loads(text) async for text in beds.cards.news()]
        assert {bed["id"]: bed for bed in news["beds"]} == beds.now()
        assert [text async for text in beds.cards.news()] == []
        beds.ward.set_account(first, {"A": {"stored_s": 3600.0}})
        beds.observe(second, "93")
        (news,) = [json.loads(text) async for text in beds.cards.news()]
        found = {bed.pop("id"): bed for bed in news["beds"]}
        assert found[first.hex()] == {"account": {"A": {"stored_s": 3600.0}}}
        assert list(found[second.hex()]) == ["devices"]
        # What is as it was told is no news.
        beds.ward.set_account(first, {"A": {"stored_s": 3600.0}})
        assert [text async for text in beds.cards.news()] == []

    asyncio.run(story())


@pytest.mark.parametrize("seed", range(4))
def test_who_came_early_and_who_came_late_know_the_same(seed):
    async def story():
        rng = random.Random(seed)
        beds = Beds()
        browsers = []

        async def happen():
            while True:
                for _ in range(rng.randrange(60)):
                    beds.anything(rng)
                await asyncio.sleep(0)

        async def come():
            for _ in range(6):
                whole = await beds.cards.all()
                browsers.append(Browser(whole))
                for _ in range(rng.randrange(9)):
                    await asyncio.sleep(0)

        async def tell():
            if not browsers:
                beds.cards.forget()
            async for news in beds.cards.news():
                for browser in browsers:
                    browser.hear(news)

        happening, coming = asyncio.create_task(happen()), asyncio.create_task(come())
        while not coming.done():
            await tell()
            await asyncio.sleep(0)
        happening.cancel()
        with suppress(asyncio.CancelledError):
            await happening
        await tell()
        assert len(browsers) == 6
        for browser in browsers:
            assert browser.beds == beds.now()

    asyncio.run(story())


def test_whoever_comes_when_nobody_looked_gets_all_of_a_bed_that_changes():
    async def story():
        beds = Beds(1)
        (gateway,) = beds.ids
        beds.hear(gateway)
        assert [text async for text in beds.cards.news()]
        beds.cards.forget()
        beds.observe(gateway, "95")
        (news,) = [json.loads(text) async for text in beds.cards.news()]
        assert news["beds"] == list(beds.now().values())

    asyncio.run(story())


def test_a_time_that_becomes_known_is_told():
    gateway = FakeGateway()
    gateway.clock.now_ms = 50_000
    gateway.set_clock(NOW)
    gateway.observe()
    rows = Table(gateway).take(*gateway.sector_runs(0, 0)).rows
    ward = Ward([gateway.vault_entry()])
    cards = Cards(ward)

    def at():
        (bed,) = map(json.loads, asyncio.run(cards.all()))
        return bed["devices"][0]["at"]

    ward.stored({"observations": rows["observations"]}, NOW)
    assert at() is None
    ward.stored({"clocks": rows["clocks"]}, NOW)
    assert at() == NOW


def test_trends_are_the_last_numbers_and_when_the_newest_was():
    beds = Beds(2)
    first, second = beds.ids
    beds.hear(first)
    for number in range(200):
        beds.observe(first, str(number))
    beds.observe(first, None)
    found = beds.cards.trends([first, b"stranger"])
    assert list(found) == [first.hex()]
    trend = found[first.hex()]["vent"]["SpO2"]
    assert trend["past"] == [float(number) for number in range(110, 200)]
    (device,) = [d for d in beds.now()[first.hex()]["devices"] if d["name"] == "vent"]
    assert device["cls"] == CLASSES[0]
    assert trend["at"] == device["values"][0][4]
    assert beds.cards.trends([second]) == {second.hex(): {}}
