"""MQTT in, receipts out: one asyncio socket loop on the codec that the firmware also runs.

A batch is whatever has arrived while the one before was being committed. Its packets are
acknowledged, and its receipts sent, when the handler returns and not before; until then the
socket is not read, so memory is bounded by one batch and the stream's buffer.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.core import mqtt
from bridge.core.errors import ProtocolError
from vitalkeep.errors import ToolError
from vitalkeep.hub.address import Address
from vitalkeep.hub.giants import PatientDecoder
from vitalkeep.hub.tls import end_of_peer
from vitalkeep.hub.within import within

log = logging.getLogger(__name__)

# Exact levels: some brokers give no retained messages and no wills to a '#' filter.
COMMON = ("vk/+/health", "vk/+/state", "vk/+/radio")  # what every worker hears of every gateway
FILTERS = ("vk/+/log/A", "vk/+/log/B", "vk/+/log/C", *COMMON)

PACKET_MAX = 262144  # a larger publish is passed over: brokers should refuse it first
BATCH_MAX = 500  # messages in one commit
# From one batch to the next, unless that is full. A thousand gateways say something each
# millisecond: a commit for each few of them would take a core for what a third of one can do.
PACE_S = 0.01
EARLY_MAX = 4 * 1024 * 1024  # bytes of retained messages that may come before the SUBACK
KEEP_ALIVE_S = 15
_PING_S = 5.0
_SILENT_S = 12.0  # a broker that answers no ping for so long is gone
_CONNECT_S = 8.0
_WRITE_S = 10.0
_SUBSCRIBE_S = 30.0  # a cluster agrees on each subscription at QoS 1, one after the other
_READ_BYTES = 65536
_RETRY_FIRST_S = 0.25
_RETRY_MAX_S = 8.0
_IDS = 65535
_FILTERS_MAX = 64  # in one packet: brokers bound these, too

Publish = tuple[str, bytes]


@dataclass(frozen=True)
class Message:
    """One publish as it arrived."""

    topic: str
    payload: bytes


Handler = Callable[[Sequence[Message]], Awaitable[Sequence[Publish]]]


class Consumer:
    """Keeps one session with a broker for ever.

    handler     handle(messages) -> publishes; it returns when the messages are durably stored
    addresses   of one broker, tried in turn: the servers of a cluster
    filters     what is subscribed to
    qos         at which it is delivered. At 1 a broker waits for our PUBACKs before it sends more;
                at 0 it keeps no state for a filter, of which there may be thousands
    connected   True between the broker's SUBACK and the end of the session
    last_error  why the last session ended or could not begin, "" before
    answered    told of each batch: s since it was read, s it took, and how full it was, 0 to 1
    broker_ends  when the certificate that the broker showed last ends, None without TLS
    """

    def __init__(
        self,
        addresses: Address | Sequence[Address],
        handler: Handler,
        client_id: str = "",
        filters: Sequence[str] = FILTERS,
        qos: int = 1,
    ) -> None:
        self._addresses = [addresses] if isinstance(addresses, Address) else list(addresses)
        self.address = self._addresses[0]
        self.connected = False
        self.last_error = ""
        self.sessions = 0
        self.broker_ends: datetime | None = None
        self.answered: Callable[[float, float, float], object] = lambda *_: None
        self._handler = handler
        self._client_id = client_id or "vkhub-" + secrets.token_hex(6)
        self._filters = tuple(filters)
        self._subscribed: tuple[str, ...] = ()
        self._qos = qos
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._early: list[mqtt.Packet] = []
        self._early_bytes = 0
        self._stalled = ""  # why the session was given up
        self._next_id = 0
        self._in_flight: set[int] = set()
        self._heard = 0.0
        self._read_at = time.monotonic()
        self._read_bytes = 0
        self._busy = False
        self._draining_since: float | None = None

    async def run(self) -> None:
        """Connect, serve, connect again; ends only by cancellation."""
        delay = _RETRY_FIRST_S
        while True:
            started = time.monotonic()
            try:
                await self._serve()
            except (OSError, EOFError, ProtocolError, asyncio.TimeoutError, ToolError) as error:
                # Whether it closes in order, or resets, is a matter of what was under way.
                reset = isinstance(error, (ConnectionResetError, BrokenPipeError))
                why = "closed by the broker" if reset else str(error)
                self.last_error = self._stalled or why or f"no answer in {_CONNECT_S:g} s"
                log.warning("broker %s: %s", self.address, self.last_error)
            finally:
                self.connected = False
            if time.monotonic() - started > 4 * _RETRY_MAX_S:
                delay = _RETRY_FIRST_S
            # The next server of a cluster is most likely alive.
            self._addresses.append(self._addresses.pop(0))
            self.address = self._addresses[0]
            # Jitter: after a broker's restart not every hub and gateway comes at once.
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(2 * delay, _RETRY_MAX_S)

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send a publish of our own; returns False, and forgets it, while there is no session."""
        writer = self._writer
        if not self.connected or writer is None or writer.is_closing():
            return False
        writer.write(mqtt.publish(topic, payload, 1, self._identifier()))
        return True

    async def follow(self, filters: Sequence[str]) -> bool:
        """Subscribe to these and to nothing else.

        Returns True when the broker has acknowledged that, False without a session: the next one
        begins with these. Called again, it does what is left to do.
        Raises  OSError when the session ends over it
        """
        self._filters = wanted = tuple(filters)
        writer, now = self._writer, self._subscribed
        if not self.connected or writer is None:
            return False
        gone = sorted(set(now) - set(wanted))
        come = sorted(set(wanted) - set(now))
        waiting = []
        for at in range(0, len(gone), _FILTERS_MAX):
            waiting.append(self._ask(writer, mqtt.unsubscribe, gone[at : at + _FILTERS_MAX]))
        for at in range(0, len(come), _FILTERS_MAX):
            pairs = [(text, self._qos) for text in come[at : at + _FILTERS_MAX]]
            waiting.append(self._ask(writer, mqtt.subscribe, pairs))
        try:
            codes = await within(_SUBSCRIBE_S, asyncio.gather(*waiting))
            if any(code > 1 for part in codes for code in part):
                raise ConnectionRefusedError("the broker refused a subscription")
        except (asyncio.TimeoutError, OSError) as error:
            # Nobody knows what is subscribed by now: the next session begins anew.
            self._stalled = str(error) or f"no SUBACK in {_SUBSCRIBE_S:g} s"
            writer.transport.abort()
            raise ConnectionResetError(self._stalled) from None
        self._subscribed = wanted
        return True

    def _ask(
        self, writer: asyncio.StreamWriter, packet: Callable[[int, Any], bytes], filters: Any
    ) -> asyncio.Future[bytes]:
        """Send a (UN)SUBSCRIBE; the result is the codes in its answer."""
        identifier = self._identifier()
        writer.write(packet(identifier, filters))
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[identifier] = answer
        return answer

    async def _serve(self) -> None:
        address = self.address
        # Made anew each time: a renewed certificate is used from the next session on.
        context = address.identity.context() if address.identity else None
        reader, writer = await within(
            _CONNECT_S,
            asyncio.open_connection(address.host, address.port, limit=_READ_BYTES, ssl=context),
        )
        peer = writer.get_extra_info("ssl_object")
        self.broker_ends = end_of_peer(peer) if peer else None
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._in_flight.clear()
        self._early.clear()
        self._early_bytes = 0
        self._stalled = ""
        self._heard = time.monotonic()
        pings = asyncio.create_task(self._ping(writer))
        self._writer = writer
        try:
            decoder = PatientDecoder(PACKET_MAX)
            await within(_CONNECT_S, self._open(reader, writer, decoder))
            await self._subscribe(reader, writer, decoder)
            self.connected = True
            self.sessions += 1
            log.info("broker %s: subscribed", self.address)
            await self._receive(reader, writer, decoder)
        except asyncio.CancelledError:
            if self.connected:
                writer.write(mqtt.disconnect())
            writer.close()
            raise
        finally:
            pings.cancel()
            asked, self._asked = self._asked, {}
            for answer in asked.values():
                if not answer.done():
                    answer.set_exception(ConnectionResetError("the session has ended"))
            if not writer.is_closing():
                # A peer that reads nothing would keep a polite close, and its buffer, for ever.
                writer.transport.abort()

    async def _open(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decoder: mqtt.Decoder
    ) -> None:
        address = self.address
        writer.write(
            mqtt.connect(
                self._client_id, KEEP_ALIVE_S, user=address.user, password=address.password
            )
        )
        packet = await self._expect(reader, decoder, mqtt.CONNACK)
        if packet.code:
            reasons = mqtt.REFUSALS
            known = reasons[packet.code] if packet.code < len(reasons) else packet.code
            raise ProtocolError(f"refused: {known}")

    async def _subscribe(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decoder: mqtt.Decoder
    ) -> None:
        self._subscribed = filters = self._filters
        for at in range(0, len(filters), _FILTERS_MAX):
            part = filters[at : at + _FILTERS_MAX]
            identifier = self._identifier()
            writer.write(mqtt.subscribe(identifier, [(text, self._qos) for text in part]))
            answer = self._expect(reader, decoder, mqtt.SUBACK)
            packet = await within(_CONNECT_S, answer)
            if packet.packet_id != identifier or len(packet.codes) != len(part):
                raise ProtocolError("the broker acknowledged another subscription")
            self._in_flight.discard(identifier)
            if max(packet.codes) > 1:
                raise ProtocolError("the broker refused the subscription")

    async def _expect(
        self, reader: asyncio.StreamReader, decoder: mqtt.Decoder, kind: int
    ) -> mqtt.Packet:
        while True:
            packet = decoder.next_packet()
            if packet is None:
                window = decoder.window()
                data = await reader.read(min(len(window), _READ_BYTES))
                if not data:
                    raise EOFError("closed by the broker")
                decoder.feed(data)
            elif packet.type == kind:
                self._heard = time.monotonic()
                return packet
            elif packet.type == mqtt.PUBLISH and kind == mqtt.SUBACK:
                # Retained states may overtake the SUBACK (3.8.4).
                self._early.append(packet)
                self._early_bytes += len(packet.topic) + len(packet.payload)
                if self._early_bytes > EARLY_MAX or len(self._early) > _IDS:
                    raise ProtocolError("the broker floods us before its SUBACK")
            elif packet.type != mqtt.PINGRESP or kind != mqtt.SUBACK:
                raise ProtocolError(f"packet type {packet.type}, want {kind}")

    async def _receive(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decoder: mqtt.Decoder
    ) -> None:
        rest = memoryview(b"")
        while True:
            batch, self._early = self._early, []
            while len(batch) < BATCH_MAX:
                packet = decoder.next_packet()
                if packet is not None:
                    # Whole packets: a byte now and then is no sign of life.
                    self._heard = time.monotonic()
                    self._sort(packet, batch)
                elif rest:
                    rest = rest[decoder.feed(rest) :]
                else:
                    break
            if batch:
                began = time.monotonic()
                await self._handle(batch, writer)
                if len(batch) < BATCH_MAX:
                    await asyncio.sleep(max(0.0, began + PACE_S - time.monotonic()))
                continue
            data = await reader.read(_READ_BYTES)
            if not data:
                raise EOFError("closed by the broker")
            self._read_at, self._read_bytes = time.monotonic(), len(data)
            rest = memoryview(data)

    def _sort(self, packet: mqtt.Packet, batch: list[mqtt.Packet]) -> None:
        if packet.type == mqtt.PUBLISH:
            batch.append(packet)
        elif packet.type == mqtt.PUBACK:
            if packet.packet_id not in self._in_flight:
                raise ProtocolError(f"identifier {packet.packet_id} acknowledged, not due")
            self._in_flight.remove(packet.packet_id)
        elif packet.type in (mqtt.SUBACK, mqtt.UNSUBACK) and packet.packet_id in self._asked:
            self._in_flight.discard(packet.packet_id)
            answer = self._asked.pop(packet.packet_id)
            if not answer.done():
                answer.set_result(packet.codes)
        elif packet.type != mqtt.PINGRESP:
            raise ProtocolError(f"packet type {packet.type} in mid session")

    async def _handle(self, batch: list[mqtt.Packet], writer: asyncio.StreamWriter) -> None:
        self._busy = True
        began = time.monotonic()
        try:
            answers = await self._handler([Message(p.topic, p.payload) for p in batch])
        finally:
            self._busy = False
            self._heard = time.monotonic()
        out = bytearray()
        for packet in batch:
            if packet.qos:
                out += mqtt.puback(packet.packet_id)
        for topic, payload in answers:
            out += mqtt.publish(topic, payload, 1, self._identifier())
        writer.write(out)
        now = time.monotonic()
        fill = max(len(batch) / BATCH_MAX, self._read_bytes / _READ_BYTES)
        self.answered(now - self._read_at, now - began, fill)
        # No wait_for here: before Python 3.12 it may swallow a cancellation. `_ping` watches.
        self._draining_since = time.monotonic()
        try:
            await writer.drain()
        finally:
            self._draining_since = None

    def _identifier(self) -> int:
        """Return a packet identifier that is not in flight (MQTT 3.1.1, 2.3.1)."""
        if len(self._in_flight) >= _IDS:
            raise ProtocolError("the broker acknowledges nothing")
        while True:
            self._next_id = self._next_id % _IDS + 1
            if self._next_id not in self._in_flight:
                self._in_flight.add(self._next_id)
                return self._next_id

    async def _ping(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await asyncio.sleep(_PING_S)
            now = time.monotonic()
            since = self._draining_since
            stalled = since is not None and now - since > _WRITE_S
            if stalled or (not self._busy and now - self._heard > _SILENT_S):
                silent = f"silent for {_SILENT_S:g} s"
                self._stalled = f"took nothing for {_WRITE_S:g} s" if stalled else silent
                writer.transport.abort()
                return
            # Also while a commit is retried: the session must outlive a full disk.
            writer.write(mqtt.pingreq())
