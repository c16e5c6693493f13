"""The journal to one site and its receipts back; nobody else gives up flash.

The sender says what goes next; this file moves it. When a session breaks, nothing is lost: the
next one begins with the site's word on what it has.
"""

import asyncio
import json
import os
from binascii import hexlify

from micropython import const

from bridge.core import mqtt, wire
from bridge.core.errors import FormatError, ProtocolError, TagError
from bridge.core.journal.layout import BLANK, CLASSES, RELEASED_AT
from bridge.core.sender import Sender
from bridge.uplink.session import Session

_LINK_POLL_MS = const(100)
_RETRY_MS = const(250)
_RETRY_JITTER_MS = const(500)
_HEAD_MAX = const(64)  # of an MQTT PUBLISH to one of our topics


class Site:
    """One site's address and keys.

    name  of the configuration; host, port of its broker; id: 8 bytes; key: for its receipts
    """

    def __init__(self, name, host, port, id, key):
        self.name = name
        self.host = host
        self.port = port
        self.id = id
        self.key = key


class Forwarder:
    """Keeps one site supplied.

    gateway  has identity, journal, clock, counters, link, and is told what happens:
             report(sender, nonce, ask, now_ms) returns the fields of a heartbeat,
             notice_site(site, up) hears when the site starts and stops to receipt,
             stored(cls, number) hears of each sector the site has stored whole
    """

    def __init__(self, site, config, gateway):
        self.site = site
        self.up = False
        self._config = config
        self._gateway = gateway
        self._identity = gateway.identity
        self._journal = gateway.journal
        self._clock = gateway.clock
        self._counters = gateway.counters
        self._link = gateway.link
        self._topics = []
        for cls in CLASSES:
            self._topics.append(wire.topic(self._identity.gateway, "log/" + cls).encode())
        self._packet = bytearray(_HEAD_MAX + wire.run_size(wire.RUN_BYTES_MAX))
        self._view = memoryview(self._packet)
        self._news = asyncio.Event()
        self._nonce = b""
        self._status_ms = -1  # `mono` of the last heartbeat, which a receipt may echo
        self._broken = None
        self.sender = Sender(self._journal, config.window_bytes, gateway.stored)

    def wake(self):
        """Say that something was committed."""
        self._news.set()

    async def run(self, beat):
        """Hold a session whenever the link is up; for ever."""
        while True:
            beat()
            if not self._link.is_up():
                await asyncio.sleep_ms(_LINK_POLL_MS)
                continue
            session = Session(self._config.peer_silent_ms)
            try:
                await self._serve(session, beat)
            except (OSError, ProtocolError, asyncio.TimeoutError) as error:
                self._counters.add("session_broken")
                self._counters.note("site %s: %r" % (self.site.name, error))
            finally:
                self._set_up(False)
                await session.close()
            jitter = os.urandom(1)[0] * _RETRY_JITTER_MS // 255
            await asyncio.sleep_ms(_RETRY_MS + jitter)

    async def _serve(self, session, beat):
        gateway = self._identity.gateway
        self._nonce = os.urandom(8)
        self.sender.restart()
        state = wire.topic(gateway, "state")
        await session.open(
            {
                "host": self.site.host,
                "port": self.site.port,
                "client_id": "vk-" + hexlify(gateway).decode(),
                "will_topic": state,
                "will_payload": json.dumps({"state": "offline"}),
                "subscriptions": [(wire.topic(gateway, "receipt"), 1)],
            },
            beat,
        )
        birth = json.dumps({"state": "online", "boot": self._clock.boot}).encode()
        await session.write(mqtt.publish(state, birth, 1, session.next_id(), True))
        self._broken = None
        tasks = [
            asyncio.create_task(self._watch(self._receive(session))),
            asyncio.create_task(self._watch(self._send(session))),
        ]
        try:
            while self._broken is None:
                beat()
                if not self._link.is_up():
                    raise OSError("link %s went down" % self._link.name)
                await asyncio.sleep_ms(_LINK_POLL_MS)
            raise self._broken
        finally:
            for task in tasks:
                task.cancel()

    async def _watch(self, job):
        try:
            await job
        except (OSError, ProtocolError, asyncio.TimeoutError) as error:
            self._broken = error

    # --- to the site ---

    async def _send(self, session):
        due_ms = self._clock.mono_ms()
        config, sender = self._config, self.sender
        while True:
            now_ms = self._clock.mono_ms()
            if now_ms >= due_ms:
                due_ms = now_ms + config.heartbeat_ms
                await self._send_status(session, now_ms)
            run = sender.next_run()
            if run is not None:
                await self._send_run(session, run)
                continue
            self._news.clear()
            try:
                await asyncio.wait_for_ms(self._news.wait(), max(1, due_ms - now_ms))
            except asyncio.TimeoutError:
                pass  # a heartbeat is due

    async def _send_status(self, session, now_ms):
        # A site that is reachable and does not receipt counts as down; it is asked again what it
        # has, and sending starts over from its answer.
        overdue = self.sender.overdue_ms(now_ms) > self._config.receipt_wait_ms
        if overdue:
            self._set_up(False)
        ask = overdue or not self.sender.ready
        self._status_ms = now_ms
        fields = self._gateway.report(self.sender, self._nonce, ask, now_ms)
        payload = wire.pack_status(self._identity.uplink_key, self._identity.gateway, fields)
        topic = wire.topic(self._identity.gateway, "health")
        await session.write(mqtt.publish(topic, payload, 1, session.next_id()))

    async def _send_run(self, session, run):
        cls, number, offset, count = run
        identity, size = self._identity, wire.run_size(count)
        head = mqtt.publish_head(self._packet, self._topics[cls], size, session.next_id())
        payload = self._view[head : head + size]
        data = payload[wire.RUN_HEAD : wire.RUN_HEAD + count]
        if not self._journal.read(cls, number, offset, data):
            return  # overwritten this moment; the gap is in the log
        if offset <= RELEASED_AT < offset + count:
            data[RELEASED_AT - offset] = BLANK
        wire.pack_run(
            payload,
            identity.uplink_key,
            identity.gateway,
            cls,
            identity.log_id,
            number,
            offset,
            count,
        )
        self.sender.sent(run, self._clock.mono_ms())
        await session.write(self._view[: head + size])

    # --- from the site ---

    async def _receive(self, session):
        while True:
            packet = await session.receive()
            if packet.type == mqtt.PUBLISH:
                self._take(packet.payload)
                if packet.qos:
                    await session.write(mqtt.puback(packet.packet_id))

    def _take(self, payload):
        identity = self._identity
        try:
            receipt = wire.parse_receipt(payload, self.site.key, identity.gateway)
        except TagError:
            self._counters.add("receipt_forged")
            return
        except FormatError:
            self._counters.add("receipt_malformed")
            return
        if receipt.site != self.site.id or receipt.log_id != identity.log_id:
            self._counters.add("receipt_stranger")
            return
        if receipt.nonce != self._nonce:
            # Of an earlier session, or replayed: what it says may no longer hold.
            self._counters.add("receipt_stale")
            return
        if receipt.echo_ms == self._status_ms:
            self._take_time(receipt)
        self.sender.receipt(receipt)
        if receipt.have or receipt.entries:
            self._set_up(True)
        self._news.set()

    def _take_time(self, receipt):
        now_ms = self._clock.mono_ms()
        trip_ms = now_ms - receipt.echo_ms
        # The site wrote its time somewhere on the way: in the middle, give or take half the trip.
        utc_ms = receipt.utc_ms + trip_ms // 2
        if self._clock.site_time(utc_ms, now_ms):
            self._journal.clock_set(self._clock.utc_ms(), trip_ms // 2 + 1)

    def _set_up(self, up):
        if up != self.up:
            self.up = up
            self._gateway.notice_site(self.site, up)
