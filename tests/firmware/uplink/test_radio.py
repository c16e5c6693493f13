"""From a gateway without a network to the hub, by radio: the real firmware and the real driver."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from iotcore import Broker

from bridge.core.airtime import make_plan
from bridge.core.radio_wire import pack_heard, parse_frame
from hil.air import Air
from hil.link import LinkProxy
from hil.tasks import end_tasks
from tests.support.processes import free_port
from tests.support.radio import RADIO, STATION_ID, base_station, plug_driver, radio_bed
from tests.support.site_client import GATEWAY, LOG_ID, ROOT, SITE, Bed
from vitalkeep.hub.address import Address
from vitalkeep.hub.cards import card
from vitalkeep.hub.consume import Consumer
from vitalkeep.hub.intake import Intake
from vitalkeep.hub.jobs.decoding import Decoding
from vitalkeep.hub.store import Store
from vitalkeep.hub.ward import Ward
from vitalkeep.keys.vault import Vault
from vitalkeep.radio.station import Station

PLAN = make_plan(RADIO)


@dataclass
class Scene:
    """A bed whose cable is in the test's hands, the air, a base station, and a hub."""

    bed: Bed
    link: LinkProxy
    air: Air
    station: Station
    intake: Intake
    ward: Ward

    def shown(self) -> list[dict]:
        """Return the devices that the page shows by radio."""
        bed = card(self.ward.bed(GATEWAY))
        return [device for device in bed["devices"] if device["state"] == "radio"]

    def values(self) -> dict[str, str]:
        return {entry[0]: entry[1] for device in self.shown() for entry in device["values"]}

    def alarms(self) -> list[list[str]]:
        return [alarm for device in self.shown() for alarm in device["alarms"]]

    def story(self) -> list[str]:
        return [line["text"] for line in self.ward.story]

    def events(self, name: str, store: Store) -> list[str]:
        return [row["text"] for row in store.recent("events", 0, 200) if row["name"] == name]

    def cut(self) -> None:
        self.link.cut()
        self.bed.board.plug_cable(False)

    def restore(self) -> None:
        self.link.reset()
        self.link.restore()
        self.bed.board.plug_cable(True)

    async def until(self, is_true: Callable[[], object], seconds: float = 40) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        while not is_true():
            if asyncio.get_running_loop().time() > deadline:
                counters = dict(self.intake.ingest.counters), dict(self.station.counters)
                raise AssertionError((counters, self.shown(), self.story()[-5:]))
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def scene(root: Path, **air_options: float) -> AsyncIterator[tuple[Scene, Store]]:
    broker = Broker(port=free_port())
    broker.start()
    vault = Vault.create(root / "vault")
    vault.site_id = SITE
    vault.add_gateway(GATEWAY, "bed-1", ROOT, LOG_ID)
    store = Store(f"sqlite:///{root / 'hub.db'}")
    store.open()
    ward = Ward(vault.gateways())
    intake = Intake(vault, store, ward)
    address = Address.parse(f"mqtt://127.0.0.1:{broker.port}")
    consumer = Consumer(address, intake.handle)
    thread = ThreadPoolExecutor(1)
    decoding = Decoding(store, intake, lambda _: thread)
    hub = [asyncio.create_task(job.run()) for job in (consumer, decoding)]
    link = LinkProxy("127.0.0.1", broker.port)
    air = Air(**air_options)
    await air.start()
    bed = radio_bed(root / "bed", await link.start(), air, heartbeat_ms=500)
    try:
        async with base_station(air, root, broker.port) as station:
            made = Scene(bed, link, air, station, intake, ward)
            await bed.board.start()
            await bed.board.wait_for("listening")
            await made.until(lambda: ward.facts(GATEWAY)[0] and station.consumer.connected)
            yield made, store
    finally:
        await bed.board.close()
        await link.close()
        await end_tasks(hub)
        intake.close()
        store.close()
        air.close()
        broker.stop()


def say_alarm(bed: Bed, spo2: int) -> None:
    """Put a line of the oximeter on the wire whose alarm bits say that SpO2 is low."""
    bed.put(
        b"03/14/26 09:26:53 SN=0000123456 SPO2=%03d%% BPM=068 PI=02.35%% DESAT=00 "
        b"PIDELTA=+00 ALARM=0002 EXC=000800\r\n" % spo2
    )


async def collide(made: Scene) -> None:
    """Keep the air busy, as a neighbour does, until a frame of the gateway is lost to it."""
    plug, neighbour = plug_driver(made.air, "neighbour")
    while not any(sent.sender == "bed" and sent.collided_for for sent in made.air.sent):
        await neighbour.asyncio_send(bytes(252))
    plug.close()


def test_alarm_and_last_values_arrive_with_loss_and_collisions(tmp_path: Path) -> None:
    async def story() -> None:
        async with scene(tmp_path, seed=3) as (made, store):
            made.bed.say(97)
            await made.until(lambda: card(made.ward.bed(GATEWAY))["devices"][0]["values"])
            assert not made.air.sent and not made.shown()
            made.cut()
            say_alarm(made.bed, 84)
            await collide(made)
            made.air.loss = 0.2
            await made.until(lambda: made.values().get("SpO2") == "84")
            assert ["high", "SPO2 LOW"] in made.alarms()
            assert made.shown()[0]["name"] == "oximeter-A, by radio"
            assert any("Alarm by radio: SPO2 LOW" in text for text in made.story())
            counters = made.intake.ingest.counters
            made.bed.say(93)  # and the alarm is over
            await made.until(lambda: made.values().get("SpO2") == "93")
            await made.until(lambda: not made.alarms())
            gateway = [sent for sent in made.air.sent if sent.sender == "bed"]
            assert "base" in gateway[0].collided_for  # it was sent again
            assert len(gateway) > counters["radio_frames"] >= 2
            for sender in ("bed", "base"):
                assert made.air.airtime_us(sender) <= PLAN.airtime_ms * 1000
            # Each frame has a number of its own: no counter block was used twice.
            orders = [parse_frame(sent.payload).order for sent in gateway]
            assert len(set(orders)) == len(orders)
            made.restore()
            await made.until(lambda: not made.shown())
            await made.until(lambda: any(t.startswith("off") for t in made.events("radio", store)))
            assert any(text.startswith("on: EU868") for text in made.events("radio", store))
            choices = made.events("radio-choice", store)
            assert any("chose 1 alarms, left 0; 5 values, left 0: 1 2 3" in t for t in choices)
            told = made.ward.facts(GATEWAY)[0].counters
            assert told["radio_answered"] >= 1
            sent = len(made.air.sent)
            made.bed.say(96)
            await asyncio.sleep(2)
            assert len(made.air.sent) == sent  # a site is back, and the air is left alone

    asyncio.run(story())


def test_recorded_frames_are_refused_and_so_are_forged_ones(tmp_path: Path) -> None:
    async def story() -> None:
        async with scene(tmp_path) as (made, _):
            made.cut()
            made.bed.say(88)
            await made.until(lambda: made.values().get("SpO2") == "88")
            made.bed.say(87)
            await made.until(lambda: made.values().get("SpO2") == "87", 60)
            frames = [bytes(s.payload) for s in made.air.sent if s.sender == "bed"]
            topic = f"vk/{STATION_ID.hex()}/radio"
            forged = bytearray(frames[-1])
            forged[20] ^= 1
            stranger = bytearray(frames[-1])
            stranger[1] ^= 1
            for payload in (frames[0], frames[-1], forged, stranger, b"", b"\x11" * 30):
                assert made.station.consumer.publish(topic, pack_heard(-80, 5, bytes(payload)))
            counters = made.intake.ingest.counters
            names = ("replayed", "duplicate", "forged", "stranger", "malformed")
            await made.until(lambda: all(counters[f"radio_{name}"] for name in names))
            assert made.values()["SpO2"] == "87"
            made.restore()
            await made.until(lambda: not made.shown())
            made.station.consumer.publish(topic, pack_heard(-80, 5, frames[-1]))
            await asyncio.sleep(0.3)
            assert not made.shown()

    asyncio.run(story())


def test_when_the_hour_is_used_up_nothing_is_sent_and_the_log_says_so(tmp_path: Path) -> None:

    async def story() -> None:
        async with scene(tmp_path) as (made, store):
            made.cut()
            await made.bed.board.power_off()
            (made.bed.board.files / "airtime").write_text(str(PLAN.airtime_ms * 1000))
            await made.bed.board.start()
            await made.bed.board.wait_for("listening")
            made.bed.say(77)
            say_alarm(made.bed, 76)
            await asyncio.sleep(4)
            assert not [sent for sent in made.air.sent if sent.sender == "bed"]
            made.restore()
            await made.until(
                lambda: any(t.startswith("refused") for t in made.events("radio", store))
            )

    asyncio.run(story())


def test_a_missing_chip_is_said_at_boot_and_does_not_stop_the_gateway(tmp_path: Path) -> None:
    async def story() -> None:
        async with scene(tmp_path) as (made, store):
            await made.bed.board.power_off()
            made.bed.board.has_chip = False
            await made.bed.board.start()
            await made.bed.board.wait_for("listening")
            await made.until(
                lambda: any(t.startswith("broken") for t in made.events("radio", store))
            )
            made.cut()
            say_alarm(made.bed, 70)
            await asyncio.sleep(3)
            made.restore()
            await made.until(
                lambda: made.ward.facts(GATEWAY)[0].counters.get("radio_broken", 0) == 2
            )
            assert not any(n.startswith("restart") for n in made.ward.facts(GATEWAY)[0].counters)
            assert not [sent for sent in made.air.sent if sent.sender == "bed"]

    asyncio.run(story())
