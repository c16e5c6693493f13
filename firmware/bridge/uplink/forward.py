"""The journal to one site and its receipts back; nobody else gives up flash.

The sender says what goes next; this file moves it. When a session breaks, nothing is lost: the
next one begins with the site's word on what it has.
"""

import asyncio
import json
import os

from micropython import const

from bridge.core import mqtt, wire
from bridge.core.errors import ConfigError, FormatError, ProtocolError, RefusedError, TagError
from bridge.core.journal.layout import BLANK, CLASSES, RELEASED_AT
from bridge.core.pace import Pace
from bridge.core.sender import Sender
from bridge.uplink.faults import FAULTS_OF_STRANGERS, fault_of
from bridge.uplink.session import CONNECT, Session
from bridge.uplink.shown import Shown

_POLL_MS = const(100)
_MOVE_PAUSE_MS = const(5000)  # between two attempts to move a session that works
_BARREN_MS = const(60000)  # a session that brings no receipts for so long is given up
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

    gateway  has identity, journal, clock, counters, links, policy, credentials, tls_room,
             timekeeper, and is told what happens:
             report.fields(sender, nonce, ask, now_ms) returns those of a heartbeat,
             notice_site(site, up) hears when the site starts and stops to receipt,
             notice_renewal(site) that its store is a new one,
             notice_answer() that a site said what it has,
             notice_certificate(text) that a successor took over or failed,
             stored(cls, number, copies) hears of each sector the site has stored whole, and of
             how many sites that one knows to have it,
             settle() is awaited before a step that computes for long
             open_desk(nonce, sender) returns who takes the commands of a session
    """

    def __init__(self, site, config, gateway):
        self.site = site
        self.up = False
        self.held = False  # no session meanwhile: somebody else speaks to the site's broker
        self.idle = True  # no session is held or begun
        self.trip_ms = None  # of the last heartbeat whose receipt echoed it
        self.fault = ""  # how the last session ended
        self._config = config
        self._gateway = gateway
        self._identity = gateway.identity
        self._journal = gateway.journal
        self._clock = gateway.clock
        self._counters = gateway.counters
        self._links = gateway.links
        self._next = None  # a session that is connected over a better link and waits
        self._link = None  # number of the link that was last tried
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
        self._pace = Pace()
        self._desk = None  # for commands, from the first that comes in a session
        self._shown = None
        if site.server_name is not None:
            wait_ms = 2 * config.receipt_wait_ms + config.heartbeat_ms
            self._shown = Shown(gateway, wait_ms)
        self.sender = Sender(self._journal, config.window_bytes, gateway.stored)

    def wake(self):
        """Say that something was committed, or that the site gets other classes now."""
        self._news.set()

    async def run(self, beat):
        """Hold a session whenever the link is up and the policy wants one; for ever."""
        while True:
            beat()
            self.idle = True
            early_ms = self._pace.early_ms(self._clock.mono_ms())
            if not self._links.is_up():
                self._pace.restart()
                await asyncio.sleep_ms(_POLL_MS)
            elif (early_ms and self._next is None) or not self.is_wanted():
                await asyncio.sleep_ms(min(early_ms, _POLL_MS) or _POLL_MS)
            else:
                self.idle = False
                await self._attempt(beat)

    def is_wanted(self):
        """Say whether the site is to have a session now."""
        return not self.held and self._gateway.policy.is_wanted(
            self.site.number, self._clock.mono_ms()
        )

    async def _attempt(self, beat):
        """Hold one session to its end."""
        session, self._next = self._next, None
        began_ms = self._clock.mono_ms()
        try:
            if session is None:
                session = Session(self._config.peer_silent_ms)
                await self._dial(session, beat)
            await self._serve(session, beat)
        except (OSError, ProtocolError, asyncio.TimeoutError, ValueError, ConfigError) as error:
            fault = self.fault = fault_of(error, session.stage)
            if fault in FAULTS_OF_STRANGERS:
                self._links.doubt(session.link)
            self._counters.add("session_broken")
            self._counters.add("session_" + fault)
            self._counters.note("site %s: %s: %s" % (self.site.name, fault, error))
            if self._shown:
                self._shown.broke(session.stage, fault, self.up)
        finally:
            now_ms = self._clock.mono_ms()
            lasted_ms = now_ms - self._up_ms if self.up else 0
            dear = session.stage != CONNECT
            self._pace.ended(began_ms, now_ms, lasted_ms, dear, os.urandom(1)[0])
            if self._next is None:
                self._set_up(False)
            await session.close()
            if self._shown:
                self._shown.end()

    async def _dial(self, session, beat):
        links = self._links
        link, interface = links.current, links.interface
        if link != self._link:
            self._link = link
            self._pace.restart()
        session.link = link
        address = await links.address_of(self.site.host, interface)
        beat()
        await session.dial(link, address, self.site.port, interface)
        beat()

    async def _follow_link(self, session, beat):
        """Connect over a link that has become the better one, while the old still carries."""
        while True:
            await asyncio.sleep_ms(_POLL_MS)
            links = self._links
            if links.current is None or links.current == session.link:
                continue
            successor = Session(self._config.peer_silent_ms)
            try:
                await self._dial(successor, beat)
                self._next = successor
            except (OSError, asyncio.TimeoutError) as error:
                self._counters.add("move_failed")
                self._counters.note("site %s: move: %s" % (self.site.name, error))
            finally:
                if self._next is None:
                    await successor.close()
            await asyncio.sleep_ms(_MOVE_PAUSE_MS)

    def _options(self, state):
        gateway = self._identity.gateway
        return {
            "tls": self._shown.context() if self._shown else None,
            "server_name": self.site.server_name,
            "client_id": wire.client_id(self._identity.uplink_key, gateway),
            "will_topic": state,
            "will_payload": json.dumps({"state": "offline"}),
            # At QoS 0: what is lost is asked for again, and a broker keeps no state for it.
            "subscriptions": [
                (wire.topic(gateway, "receipt"), 0),
                (wire.topic(gateway, "command"), 0),
            ],
        }

    async def _serve(self, session, beat):
        self._nonce = os.urandom(8)
        self._desk = None
        self.sender.restart()
        state = wire.topic(self._identity.gateway, "state")
        await session.open(self._options(state), beat, self._gateway.settle)
        self._heard_ms = self._clock.mono_ms()

        def goes_on():
            beat()
            now_ms = self._clock.mono_ms()
            if not self._links.is_up(session.link):
                raise OSError("link went down")
            if self.up and self._is_overdue(now_ms):
                self._set_up(False)
            if now_ms - self._heard_ms > _BARREN_MS:
                # The broker may have lost what we subscribed to.
                raise RefusedError("no receipts")
            stays = self._shown is None or self._shown.stays(self.up)
            return stays and self._next is None and self.is_wanted()

        def last_words():
            # After a move the next session goes on where this one ends: the site was never left.
            return (state, json.dumps({"state": "away"}).encode()) if self._next is None else None

        jobs = (self._receive(session), self._send(session, state))
        jobs += (self._follow_link(session, beat),)
        await session.hold(jobs, goes_on, last_words)

    def _is_overdue(self, now_ms):
        """Say whether a site that may be reachable has ceased to receipt."""
        config = self._config
        # With nothing to send it still answers each heartbeat.
        quiet_ms = config.heartbeat_ms + config.receipt_wait_ms // 2
        waits_ms = self.sender.overdue_ms(now_ms)
        return waits_ms > config.receipt_wait_ms or now_ms - self._heard_ms > quiet_ms

    # --- to the site ---

    async def _send(self, session, state):
        birth = json.dumps({"state": "online", "boot": self._clock.boot}).encode()
        await session.write(mqtt.publish(state, birth, 1, await session.next_id(), True))
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
        sender = self.sender
        ask = sender.asks(self.up, now_ms, self._config.heartbeat_ms, os.urandom)
        self._status_ms = now_ms
        fields = self._gateway.report.fields(sender, self._nonce, ask, now_ms)
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
            # Overwritten while we waited; the gap is in the log.
            session.give_back(packet_id)
            await asyncio.sleep_ms(0)
            return
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
                if packet.topic.endswith("/command"):
                    await self._obey(packet.payload, session)
                else:
                    self._take(packet.payload)
                if packet.qos:
                    await session.write(mqtt.puback(packet.packet_id))

    async def _obey(self, payload, session):
        if self._desk is None:
            self._desk = self._gateway.open_desk(self._nonce, self.sender)
        await self._desk.take(payload, session)

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
            self.sender.hurry()
            trip_ms = self.trip_ms = self._heard_ms - receipt.echo_ms
            self._gateway.timekeeper.site_said(
                self.site.number, self.site.name, receipt.utc_ms, trip_ms
            )
        renewals = self.sender.renewals
        self.sender.receipt(receipt, self._heard_ms)
        if self.sender.renewals != renewals:
            self._gateway.notice_renewal(self.site)
        if receipt.have or receipt.maps:
            self._gateway.notice_answer()
        if receipt.have or receipt.entries:
            self._set_up(True)
        self._news.set()

    def _set_up(self, up):
        if up != self.up:
            self.up = up
            self._up_ms = self._clock.mono_ms()
            self._gateway.notice_site(self.site, up)
            if up and self._shown:
                self._shown.receipted()
