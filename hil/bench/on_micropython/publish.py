"""QoS 1 publishes a second to a real broker: the gateway's own session, or umqtt.simple.

The order has `client` ("session" or "umqtt"), `port`, `seconds`, `size` of the payloads, and
`path` to import umqtt from. The time ends with the last acknowledgement.
"""

import asyncio
import json
import sys
import time

from bridge.core import mqtt
from bridge.uplink.session import Session
from hil.bench.on_micropython.job import answer

_TOPIC = b"vk/0123456789abcdef/log/A"
_HEAD_MAX = 64
_SILENT_MS = 60000  # a busy machine is no broken session


async def _settle():
    pass  # no line waits for its turn here


class _Ours:
    """What forward.py does with a session: one buffer, one write a packet, a window of them."""

    def __init__(self, order):
        self._order = order
        self._session = Session(_SILENT_MS)
        self._found = None

    async def run(self):
        """Return (publishes, microseconds)."""
        session = self._session
        await session.dial(None, "127.0.0.1", self._order["port"], None)
        options = {
            "tls": None,
            "server_name": None,
            "client_id": "bench",
            "will_topic": "vk/0123456789abcdef/state",
            "will_payload": "offline",
            "subscriptions": [("vk/0123456789abcdef/receipt", 1)],
        }
        await session.open(options, lambda: None, _settle)
        jobs = (session.receive(), self._publish())
        await session.hold(jobs, lambda: self._found is None, lambda: None)
        await session.close()
        return self._found

    async def _publish(self):
        session, size = self._session, self._order["size"]
        packet = bytearray(_HEAD_MAX + size)
        view = memoryview(packet)
        count = 0
        start = time.ticks_us()
        duration_us = round(self._order["seconds"] * 1000000)
        while time.ticks_diff(time.ticks_us(), start) < duration_us:
            packet_id = await session.next_id()
            head = mqtt.publish_head(packet, _TOPIC, size, packet_id)
            await session.write(view[: head + size])
            count += 1
        # Once the window has room for a whole one again, nothing is on its way.
        for _ in range(mqtt.WINDOW):
            await session.next_id()
        self._found = count, time.ticks_diff(time.ticks_us(), start)


def _theirs(order):
    sys.path.append(order["path"])
    from umqtt.simple import MQTTClient

    client = MQTTClient("bench", "127.0.0.1", order["port"])
    client.connect()
    payload = bytes(order["size"])
    count = 0
    start = time.ticks_us()
    duration_us = round(order["seconds"] * 1000000)
    while time.ticks_diff(time.ticks_us(), start) < duration_us:
        client.publish(_TOPIC, payload, qos=1)
        count += 1
    us = time.ticks_diff(time.ticks_us(), start)
    client.disconnect()
    return count, us


def main():
    with open(sys.argv[1]) as file:
        order = json.load(file)
    if order["client"] == "umqtt":
        count, us = _theirs(order)
    else:
        count, us = asyncio.run(_Ours(order).run())
    answer({"count": count, "us": us})


main()
