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
from bridge.core.pace import Pace
from bridge.core.sender import Sender
from bridge.uplink.faults import fault_of
from bridge.uplink.session import CONNECT, Session

_POLL_MS = const(100)
_HEAD_MAX = const(64)  # of an MQTT PUBLISH to one of our topics


class Site:
    """One site's address and keys.

    number       its place in the ward's order of preference
    name         of the configuration; host, port of its broker
    id           8 bytes; key: for its receipts
    server_name  what its certificate is for, None without TLS
    """

    def __init__(self, number, name, host, port, id, key, server_name):
        self.number = number
        self.name = name
        self.host = host
        self.port = port
        self.id = id
        self.key = key
        self.server_name = server_name


class Forwarder:
    """Keeps one site supplied.

    gateway  has identity, journal, clock, counters, link, policy, credentials, timekeeper, and
             is told what happens:
             report.fields(sender, nonce, ask, now_ms) returns those of a heartbeat,
             notice_site(site, up) hears when the site starts and stops to receipt,
             notice_renewal(site) that its store is a new one,
             notice_answer() that a site said what it has,
             notice_certificate() that a successor took over,
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
        self._heard_ms = 0  # when the site last receipted anything, or the session began
        self._up_ms = 0
        self._broken = None
        self._pace = Pace()
        self._attempts = 0
        self._certificate = None
        self.sender = Sender(self._journal, config.window_bytes, gateway.stored)

    def wake(self):
        """Say that something was committed, or that the site gets other classes now."""
        self._news.set()

    async def run(self, beat):
        """Hold a session whenever the link is up and the policy wants one; for ever."""
        while True:
            beat()
            if not self._link.is_up():
                self._pace.restart()
                await asyncio.sleep_ms(_POLL_MS)
            elif not self._is_wanted():
                await asyncio.sleep_ms(_POLL_MS)
            else:
                await asyncio.sleep_ms(await self._attempt(beat))

    def _is_wanted(self):
        return self._gateway.policy.is_wanted(self.site.number, self._clock.mono_ms())

    async def _attempt(self, beat):
        """Hold one session to its end; returns how long to wait before the next."""
        session = Session(self._config.peer_silent_ms)
        try:
            await self._serve(session, beat)
        except (OSError, ProtocolError, asyncio.TimeoutError, ValueError) as error:
            fault = fault_of(error, session.stage)
            self._counters.add("session_broken")
            self._counters.add("session_" + fault)
            self._counters.note("site %s: %s: %s" % (self.site.name, fault, error))
        finally:
            lasted_ms = self._clock.mono_ms() - self._up_ms if self.up else 0
            self._set_up(False)
            await session.close()
        return self._pace.pause_ms(lasted_ms, session.stage != CONNECT, os.urandom(1)[0])

    def _options(self, state):
        gateway = self._identity.gateway
        options = {
            "host": self.site.host,
            "port": self.site.port,
            "tls": None,
            "server_name": self.site.server_name,
            "client_id": hexlify(gateway).decode(),
            "will_topic": state,
            "will_payload": json.dumps({"state": "offline"}),
            "subscriptions": [(wire.topic(gateway, "receipt"), 1)],
        }
        if self.site.server_name is not None:
            # A successor and what it replaces take turns until one of them brings receipts.
            names = self._gateway.credentials.names()
            self._certificate = names[self._attempts % len(names)]
            self._attempts += 1
            options["tls"] = self._gateway.credentials.context(self._certificate)
        return options

    async def _serve(self, session, beat):
        self._nonce = os.urandom(8)
        self.sender.restart()
        state = wire.topic(self._identity.gateway, "state")
        await session.open(self._options(state), beat)
        birth = json.dumps({"state": "online", "boot": self._clock.boot}).encode()
        await session.write(mqtt.publish(state, birth, 1, await session.next_id(), True))
        self._heard_ms = self._clock.mono_ms()
        self._broken = None
        tasks = [
            asyncio.create_task(self._watch(self._receive(session))),
            asyncio.create_task(self._watch(self._send(session))),
        ]
        try:
            while self._broken is None and self._is_wanted():
                beat()
                if not self._link.is_up():
                    raise OSError("link %s went down" % self._link.name)
                if self.up and self._is_overdue(self._clock.mono_ms()):
                    self._set_up(False)
                await asyncio.sleep_ms(_POLL_MS)
        finally:
            for task in tasks:
                task.cancel()
        if self._broken is not None:
            raise self._broken
        away = json.dumps({"state": "away"}).encode()
        await session.write(mqtt.publish(state, away, 1, await session.next_id(), True))
        await session.leave()

    def _is_overdue(self, now_ms):
        """Say whether a site that may be reachable has ceased to receipt."""
        config = self._config
        # With nothing to send it still answers each heartbeat.
        quiet_ms = config.heartbeat_ms + config.receipt_wait_ms // 2
        waits_ms = self.sender.overdue_ms(now_ms)
        return waits_ms > config.receipt_wait_ms or now_ms - self._heard_ms > quiet_ms

    async def _watch(self, job):
        try:
            await job
        except (OSError, ProtocolError, asyncio.TimeoutError, ValueError) as error:
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
        ask = not self.up or not self.sender.ready
        self._status_ms = now_ms
        fields = self._gateway.report.fields(self.sender, self._nonce, ask, now_ms)
        payload = wire.pack_status(self._identity.uplink_key, self._identity.gateway, fields)
        topic = wire.topic(self._identity.gateway, "health")
        await session.write(mqtt.publish(topic, payload, 1, await session.next_id()))

    async def _send_run(self, session, run):
        cls, number, offset, count = run
        identity, size = self._identity, wire.run_size(count)
        packet_id = await session.next_id()
        head = mqtt.publish_head(self._packet, self._topics[cls], size, packet_id)
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
        self._heard_ms = self._clock.mono_ms()
        if receipt.echo_ms == self._status_ms:
            trip_ms = self._heard_ms - receipt.echo_ms
            self._gateway.timekeeper.site_said(
                self.site.number, self.site.name, receipt.utc_ms, trip_ms
            )
        renewals = self.sender.renewals
        self.sender.receipt(receipt)
        if self.sender.renewals != renewals:
            self._gateway.notice_renewal(self.site)
        if receipt.have:
            self._gateway.notice_answer()
        if receipt.have or receipt.entries:
            self._set_up(True)
        self._news.set()

    def _set_up(self, up):
        if up != self.up:
            self.up = up
            self._up_ms = self._clock.mono_ms()
            self._gateway.notice_site(self.site, up)
            if up and self._certificate and self._gateway.credentials.proved(self._certificate):
                self._gateway.notice_certificate()
