"""What comes by radio, from the relayed frame to the page, on a real store."""

from typing import Any

import pytest

from bridge.core import radio_wire as wire
from bridge.core.events import NO_VALUE, VALID
from bridge.core.journal import records
from tests.support.hub import DEVICES, FakeGateway, WritePath
from vitalkeep.hub.cards import card
from vitalkeep.keys import derive
from vitalkeep.keys.cipher import Aes256

TOPIC = "vk/" + b"station1".hex() + "/radio"
NAMES = [name for name, _, _ in DEVICES]


class Air:
    """A gateway's side of the radio: frames in their order."""

    def __init__(self, gateway: FakeGateway) -> None:
        self.gateway = gateway
        self.key = wire.radio_key(gateway.uplink_key, gateway.log_id)
        self.counter = 0
        self.begin()

    def begin(self) -> None:
        self.gateway.journal.event(0, records.RADIO, "on")
        self.gateway.journal.commit(0)
        self.place = self.gateway.journal.newest(0)

    def frame(self, spo2: int = 84, alarm: bool | None = None, names: Any = NAMES) -> bytes:
        body = wire.Body(wire.names_check(names), 229)
        if alarm is not None:
            body.add_alarm(1, 3, 0, 5, 3, alarm, "SPO2 LOW")
        body.add_value(1, 2, 1, spo2, 0, VALID)
        body.add_value(1, 9, 0x8000, 0, 0, NO_VALUE)
        data = wire.seal_frame(
            Aes256, self.key, self.gateway.id, self.place, 1, self.counter, body.finish(0, 4)
        )
        self.counter += 1
        return bytes(data)


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def air(gateway: FakeGateway, path: WritePath) -> Air:
    path.send(gateway.heartbeat())
    return Air(gateway)


def send(path: WritePath, data: bytes) -> list[bytes]:
    return path.send((TOPIC, wire.pack_heard(-97, 6.5, data)))


def shown(ward, gateway: FakeGateway) -> list[dict[str, Any]]:
    return [d for d in card(ward.bed(gateway.id))["devices"] if d["state"] == "radio"]


def test_a_frame_is_stored_shown_and_answered(path, store, gateway, air) -> None:
    data = air.frame(alarm=True)
    (answer,) = send(path, data)
    key = derive.receipt_key(gateway.root, gateway.id, gateway.site)
    wire.check_answer(answer, [key], gateway.id, wire.parse_frame(data))
    (device,) = shown(path.ward, gateway)
    assert device["name"] == "oximeter, by radio"
    assert device["protocol"] == "-97 dBm"
    assert [value[:4] for value in device["values"]] == [
        ["SpO2", "84", VALID, "%"],
        ["#32768", None, NO_VALUE, ""],
    ]
    spo2_at, other_at = (value[4] for value in device["values"])
    assert spo2_at - other_at == 7000
    assert device["alarms"] == [["high", "SPO2 LOW"]]
    texts = [row["text"] for row in store.recent("story", 0, 50)]
    assert any(text.startswith("Heard by radio, -97 dBm") for text in texts)
    assert any("oximeter: Alarm by radio: SPO2 LOW" in text for text in texts)


def test_the_newest_value_counts_and_an_alarm_ends(path, gateway, air) -> None:
    send(path, air.frame(84, alarm=True))
    send(path, air.frame(93, alarm=False))
    (device,) = shown(path.ward, gateway)
    assert device["values"][0][1] == "93"
    assert device["alarms"] == []


def test_what_was_heard_before_is_refused_also_by_a_hub_that_starts_anew(
    path, store, vault, gateway, air
) -> None:
    first, second = air.frame(84), air.frame(83)
    assert send(path, first)
    assert send(path, second)
    assert not send(path, second)
    assert not send(path, first)
    counters = path.intake.ingest.counters
    assert (counters["radio_duplicate"], counters["radio_replayed"]) == (1, 1)
    anew = WritePath(vault, store)
    current = anew.intake.ingest.payloads.radio.remember(store.heads(), store.radio())
    assert [row["counter"] for row in current] == [1]
    assert not send(anew, first)
    assert send(anew, air.frame(82))
    # What it knew before is still there, with names that it has from the store.
    anew.ward.by_radio(store.radio()[0])
    assert shown(anew.ward, gateway)[0]["name"] == "oximeter, by radio"
    anew.intake.close()


def test_a_gateway_that_spoke_by_ip_since_makes_it_old(path, vault, store, gateway, air) -> None:
    recorded = air.frame(84)
    path.send(gateway.heartbeat())
    assert not send(path, recorded)
    assert path.intake.ingest.counters["radio_late"] == 1
    air.begin()  # after the heartbeat: a new period
    assert send(path, air.frame(85))
    assert shown(path.ward, gateway)
    path.send(gateway.heartbeat())
    assert not shown(path.ward, gateway)


def test_forged_strange_and_malformed_frames_have_their_counts(path, gateway, air) -> None:
    data = bytearray(air.frame())
    data[-1] ^= 1
    assert not send(path, bytes(data))
    data[1] ^= 1
    assert not send(path, bytes(data))
    assert not send(path, b"\x11short")
    assert not path.send((TOPIC, b"\x07"))
    nonsense = wire.seal_frame(Aes256, air.key, gateway.id, air.place, 1, 9, b"\0\0\0\0\xff")
    assert not send(path, bytes(nonsense))
    counters = path.intake.ingest.counters
    assert counters["radio_forged"] == 1
    assert counters["radio_stranger"] == 1
    assert counters["radio_malformed"] == 3
    assert not shown(path.ward, gateway)


def test_names_are_used_only_when_they_are_the_gateways(path, gateway, air) -> None:
    send(path, air.frame(names=["somebody", "else"]))
    assert shown(path.ward, gateway)[0]["name"] == "device 2, by radio"


def test_a_log_that_the_gateway_no_longer_writes_says_nothing(path, vault, gateway, air) -> None:
    vault.add_gateway(gateway.id, "Bed 1", None, b"a newlog")
    path.intake.set_vault(vault)
    assert not send(path, air.frame())
    assert path.intake.ingest.counters["radio_forged"] == 1
