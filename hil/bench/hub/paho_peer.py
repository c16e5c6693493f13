"""The peer as a process: paho-mqtt, one durable insert a message, then its acknowledgement.

    python -m hil.bench.hub.paho_peer PORT DATABASE

It does what a careful person would write in an afternoon: it stores the payload as it came, and
answers with its position. It checks no tag, decodes nothing, and signs nothing.
"""

from __future__ import annotations

import sqlite3
import sys
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from hil.bench.hub.plain import pack_answer
from vitalkeep.hub.consume import FILTERS

_IN_FLIGHT = 1000


def main(port: int, path: str) -> None:
    """Serve for ever; says "ready" on a line of its own once it is subscribed."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE runs (topic TEXT, payload BLOB)")

    def on_connect(client: mqtt.Client, *_: Any) -> None:
        client.subscribe([(text, 1) for text in FILTERS if "/log/" in text])

    def on_subscribe(*_: Any) -> None:
        print("ready", flush=True)

    def on_message(client: mqtt.Client, _: Any, message: mqtt.MQTTMessage) -> None:
        database.execute("INSERT INTO runs VALUES (?, ?)", (message.topic, message.payload))
        client.ack(message.mid, message.qos)
        gateway, answer = pack_answer(message.topic, bytes(message.payload))
        client.publish(f"vk/{gateway}/receipt", answer, 1)

    client = mqtt.Client(CallbackAPIVersion.VERSION2, "peer", manual_ack=True)
    client.max_inflight_messages_set(_IN_FLIGHT)
    client.on_connect, client.on_subscribe = on_connect, on_subscribe
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.loop_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
