"""The codec and the session against brokers of three makers: they decide what MQTT is."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.core import mqtt
from tests.support.mosquitto import mosquitto_broker
from tests.support.needs import find_program
from tests.support.processes import answers, free_port, running
from tests.support.sessions import run_script
from vitalkeep.hub.broker import EmbeddedBroker

_names = (f"test-{number}" for number in itertools.count())


_NATS = """\
server_name: vitalkeep
listen: 127.0.0.1:{port}
jetstream {{ store_dir: "{folder}" }}
mqtt {{ host: 127.0.0.1, port: {mqtt} }}
"""


@contextlib.contextmanager
def nats_broker(folder: Path) -> Iterator[int]:
    """Yield the MQTT port of a NATS server while it runs."""
    program = find_program("nats-server")
    assert program is not None, "no nats-server here"
    port = free_port()
    config = folder / "nats.conf"
    config.write_text(_NATS.format(port=free_port(), folder=folder, mqtt=port))
    with running([program, "-c", str(config)], folder / "log", lambda: answers(port)):
        yield port


@pytest.fixture(
    scope="module",
    params=[
        "iotcore",
        pytest.param("mosquitto", marks=pytest.mark.mosquitto),
        pytest.param("nats", marks=pytest.mark.nats),
    ],
)
def port(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a broker that runs for this module's tests."""
    if request.param == "iotcore":
        with EmbeddedBroker() as broker:
            yield broker.port
    elif request.param == "mosquitto":
        with mosquitto_broker() as address:
            yield int(address.rsplit(":", 1)[1])
    else:
        with nats_broker(tmp_path_factory.mktemp("nats")) as port:
            yield port


class Client:
    """A blocking client on the codec; what it was sent and has not been asked for is kept."""

    def __init__(self, port: int, **options: Any) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), 10)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._decoder = mqtt.Decoder(1 << 20)
        self._kept: list[mqtt.Packet] = []
        self.send(mqtt.connect(next(_names), 30, **options))
        connack = self.expect(mqtt.CONNACK)
        assert connack.code == 0
        assert not connack.session_present

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def expect(self, kind: int) -> mqtt.Packet:
        """Return the next packet of a type, with its QoS 1 acknowledged."""
        for packet in self._kept:
            if packet.type == kind:
                self._kept.remove(packet)
                return packet
        while True:
            packet = self._decoder.next_packet()
            if packet is None:
                window = self._decoder.window()
                count = self._sock.recv_into(window)
                assert count, "the broker hung up"
                self._decoder.commit(count)
                continue
            if packet.type == mqtt.PUBLISH and packet.qos:
                self.send(mqtt.puback(packet.packet_id))
            if packet.type == kind:
                return packet
            self._kept.append(packet)

    def subscribe(self, *filters: str, qos: int = 1) -> None:
        self.send(mqtt.subscribe(7, [(text, qos) for text in filters]))
        suback = self.expect(mqtt.SUBACK)
        assert suback.packet_id == 7
        assert suback.codes == bytes((qos,)) * len(filters)

    def leave(self) -> None:
        self.send(mqtt.disconnect())
        self.hang_up()

    def hang_up(self) -> None:
        self._sock.close()


@contextlib.contextmanager
def clients(port: int, count: int = 2) -> Iterator[list[Client]]:
    made = [Client(port) for _ in range(count)]
    try:
        yield made
    finally:
        for client in made:
            client.leave()


def test_packets_of_a_session_are_understood(port: int) -> None:
    with clients(port) as (near, far):
        far.subscribe("a/b", "a/c")
        near.send(mqtt.pingreq())
        near.expect(mqtt.PINGRESP)
        near.send(mqtt.publish("a/b", b"none", 0))
        assert far.expect(mqtt.PUBLISH).payload == b"none"
        near.send(mqtt.publish("a/c", b"once", 1, 65535))
        assert near.expect(mqtt.PUBACK).packet_id == 65535
        heard = far.expect(mqtt.PUBLISH)
        assert (heard.topic, heard.payload, heard.qos, heard.retain) == ("a/c", b"once", 1, False)
        near.send(mqtt.publish("a/c", b"again", 1, 65535, dup=True))
        near.expect(mqtt.PUBACK)
        assert far.expect(mqtt.PUBLISH).payload == b"again"
        far.send(mqtt.unsubscribe(9, ["a/b"]))
        assert far.expect(mqtt.UNSUBACK).packet_id == 9
        near.send(mqtt.publish("a/b", b"unheard", 0) + mqtt.publish("a/c", b"heard", 0))
        assert far.expect(mqtt.PUBLISH).payload == b"heard"


def test_retained_word_and_will_are_as_the_firmware_uses_them(port: int) -> None:
    with clients(port, 1) as (watcher,):
        gateway = Client(port, will_topic="vk/x/state", will_payload=b"gone", will_retain=True)
        gateway.send(mqtt.publish("vk/x/state", b"here", 1, 1, retain=True))
        gateway.expect(mqtt.PUBACK)
        watcher.subscribe("vk/x/state")
        heard = watcher.expect(mqtt.PUBLISH)
        assert (heard.payload, heard.retain) == (b"here", True)
        gateway.hang_up()
        assert watcher.expect(mqtt.PUBLISH).payload == b"gone"
        gateway = Client(port, will_topic="vk/x/state", will_payload=b"gone", will_retain=True)
        words = mqtt.publish("vk/x/state", b"away", 1, 1, retain=True)
        gateway.send(words + mqtt.disconnect())
        gateway.hang_up()
        assert watcher.expect(mqtt.PUBLISH).payload == b"away"
        # No will behind the last words.
        watcher.send(mqtt.publish("vk/x/state", b"end", 1, 2))
        assert watcher.expect(mqtt.PUBLISH).payload == b"end"


def test_identifiers_wrap_on_the_wire(port: int) -> None:
    """Over the end of the 65535; all of them are taken in turn in the codec's own test."""
    with clients(port, 1) as (near,):
        waiting = mqtt.Unacknowledged()
        for _ in range(65000):
            waiting.acknowledge(waiting.take())
        seen = []
        for _ in range(1000):
            while waiting.full():
                waiting.acknowledge(near.expect(mqtt.PUBACK).packet_id)
            seen.append(waiting.take())
            near.send(mqtt.publish("wrap", b"-", 1, seen[-1]))
        while waiting.count:
            waiting.acknowledge(near.expect(mqtt.PUBACK).packet_id)
        assert seen == [*range(65001, 65536), *range(1, 466)]


levels = st.text("abcXYZ019_-äß水", min_size=1, max_size=12)
topics = st.lists(levels, min_size=1, max_size=6).map("/".join)
payloads = st.one_of(
    st.binary(max_size=300),
    st.integers(0, 16000).map(lambda size: bytes(index & 255 for index in range(size))),
)


def test_whatever_is_published_comes_out_the_same(port: int) -> None:
    with clients(port) as (near, far):

        @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
        @given(topics, payloads, st.integers(0, 1), st.integers(1, 65535), st.booleans())
        def same(topic: str, payload: bytes, qos: int, packet_id: int, head: bool) -> None:
            topic = "any/" + topic
            if qos and head:
                buffer = bytearray(len(topic.encode()) + 16 + len(payload))
                at = mqtt.publish_head(buffer, topic.encode(), len(payload), packet_id)
                near.send(bytes(buffer[:at]) + payload)
            else:
                near.send(mqtt.publish(topic, payload, qos, packet_id))
            if qos:
                assert near.expect(mqtt.PUBACK).packet_id == packet_id
            heard = far.expect(mqtt.PUBLISH)
            # rumqttd delivers at the subscription's QoS what was published at 0.
            assert (heard.topic, heard.payload) == (topic, payload)
            assert heard.qos >= qos

        far.subscribe("any/#")
        same()


HAND_OVER = """
rounds = [8]

def goes_on():
    rounds[0] -= 1
    return rounds[0] > 0

asyncio.run(attempt(lambda session: publish(session, 60, 1, "log/A"), goes_on))
"""


def test_session_of_the_firmware_publishes_and_leaves(port: int, tmp_path: Path) -> None:
    with clients(port, 1) as (site,):
        site.subscribe("log/A", "state")
        said = asyncio.run(run_script(HAND_OVER, tmp_path, port, "-"))
        assert said == ["open", "left"]
        count = 0
        while (heard := site.expect(mqtt.PUBLISH)).topic == "log/A":
            assert heard.payload == bytes(1000)
            count += 1
        assert count == 60
        assert (heard.topic, heard.payload) == ("state", b"away")
