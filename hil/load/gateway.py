"""One gateway of a load: its session with a broker, bytes in and bytes out.

The codec, the topics and payloads, what is sent when and what a receipt is worth are the
firmware's own. Times are milliseconds of a steady clock, with a fraction.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any

from bridge.core import mqtt, wire
from bridge.core.config import FIELDS
from bridge.core.errors import FormatError, ProtocolError, TagError
from bridge.core.journal import layout
from bridge.core.pace import Pace
from bridge.core.sender import Flight, Sender, named
from hil.load import shape
from hil.load.replay import Replay

_DEFAULTS = {name: default for name, default, *_ in FIELDS}
_PACKET_MAX = 1024  # a receipt is the largest that comes
_HEAD_MAX = 64
_KEEP_ALIVE_S = 60
_BIRTH = json.dumps({"state": "online", "boot": shape.BOOT}).encode()
_WILL = json.dumps({"state": "offline"})


class Tally:
    """What a load has seen, all gateways together.

    counts      by name: runs, values, receipts, heartbeats, connects and all that went wrong
    waits_ms    from publish to receipt, of live runs
    ages_ms     of these, from the commit of their oldest value to the receipt
    old_ms      from publish to receipt, of the backlog
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.waits_ms: list[float] = []
        self.ages_ms: list[float] = []
        self.old_ms: list[float] = []


class _Sender(Sender):
    """The firmware's sender, and what becomes of each run."""

    def __init__(self, gateway: Gateway, window_bytes: int) -> None:
        super().__init__(gateway.log, window_bytes, lambda *_: None)
        self._gateway = gateway

    def _landed(self, flight: Flight, now_ms: float) -> None:
        super()._landed(flight, now_ms)
        self._gateway.landed(flight, now_ms)

    def _start_over(self, receipt: wire.Receipt) -> None:
        # What the site has by its answer has landed, though nobody waits for it any more.
        for flight in self.flights:
            if receipt.epoch == self.epoch and _names(receipt, flight):
                self._gateway.landed(flight, self._gateway.heard_ms)
        super()._start_over(receipt)


def _names(receipt: wire.Receipt, flight: Flight) -> bool:
    """Say whether a site says that it has a run."""
    place = (flight.cls, flight.number)
    parts = (length for *of, length, _ in receipt.entries if tuple(of) == place)
    return any(flight.end <= length for length in parts) or named(receipt.maps, *place)


class Gateway:
    """One gateway. `out` is what is to be written to its socket.

    speed  seconds of its log in a second, None for as fast as receipts come
    marks  {(class, sector): bytes}: the most that any receipt said is stored, ever
    heard_ms  when the site last said anything
    """

    def __init__(
        self,
        who: shape.Identity,
        log: Replay,
        site: bytes,
        tally: Tally,
        heartbeat_ms: int = _DEFAULTS["heartbeat_ms"],
        receipt_wait_ms: int = _DEFAULTS["receipt_wait_ms"],
    ) -> None:
        self.who = who
        self.log = log
        self.out = bytearray()
        self.marks: dict[tuple[int, int], int] = {}
        self.speed: float | None = 0.0
        self.pace = Pace()
        self.connected = False
        self.up = False
        self._site = site
        self._tally = tally
        self._heartbeat_ms = heartbeat_ms
        self._receipt_wait_ms = receipt_wait_ms
        self._uplink_key = who.uplink_key
        self._receipt_key = who.receipt_key(site)
        self._client_id = wire.client_id(self._uplink_key, who.id)
        self._state = wire.topic(who.id, "state")
        self._health = wire.topic(who.id, "health")
        self._topics = [wire.topic(who.id, "log/" + cls).encode() for cls in layout.CLASSES]
        self._packet = bytearray(_HEAD_MAX + wire.run_size(wire.RUN_BYTES_MAX))
        self._view = memoryview(self._packet)
        self._lines = [
            {"name": line.device.name, "state": "live"} for line in shape.lines(who.number)
        ]
        self.sender = _Sender(self, _DEFAULTS["window_bytes"])
        self._anchor = (0.0, 0.0)  # a moment, and how long the log was then
        self._goal: list[tuple[int, int]] = []
        self._beat_ms = 0.0
        self.heard_ms = 0.0
        self._status_ms = -1  # `mono` of the last heartbeat, which a receipt may echo
        self._begin()

    def _begin(self) -> None:
        self._decoder = mqtt.Decoder(_PACKET_MAX)
        self._ids = mqtt.Unacknowledged()
        self._nonce = os.urandom(8)
        self.connected = False
        self.up = False
        self.sender.restart()

    # --- the session ---

    def greet(self) -> None:
        """Begin a session: the connection is made."""
        self._begin()
        self.out.clear()
        self.out += mqtt.connect(self._client_id, _KEEP_ALIVE_S, self._state, _WILL)

    def take(self, data: bytes, now_ms: float) -> None:
        """Take what the broker sent; raises ProtocolError."""
        decoder, view = self._decoder, memoryview(data)
        while view:
            view = view[decoder.feed(view) :]
            while (packet := decoder.next_packet()) is not None:
                self._understand(packet, now_ms)
        self.send(now_ms)

    def _understand(self, packet: mqtt.Packet, now_ms: float) -> None:
        if packet.type == mqtt.PUBACK:
            self._ids.acknowledge(packet.packet_id)
        elif packet.type == mqtt.PUBLISH:
            if packet.qos:
                self.out += mqtt.puback(packet.packet_id)
            self.receipt(packet.payload, now_ms)
        elif packet.type == mqtt.CONNACK:
            if packet.code:
                raise ProtocolError(f"refused: {mqtt.REFUSALS[packet.code]}")
            filters = [(wire.topic(self.who.id, "receipt"), 1)]
            self.out += mqtt.subscribe(self._ids.take(), filters)
        elif packet.type == mqtt.SUBACK:
            if packet.codes != b"\x01":
                raise ProtocolError("the broker refused the subscription")
            self._ids.acknowledge(packet.packet_id)
            self.connected = True
            self._tally.counts["sessions"] += 1
            self.heard_ms = self._beat_ms = now_ms
            self.out += mqtt.publish(self._state, _BIRTH, 1, self._ids.take(), True)
            self.heartbeat(now_ms)

    def ended(self, began_ms: float, now_ms: float, dear: bool) -> None:
        """Take note that the connection is gone: `pace` says when to try again."""
        lasted_ms = now_ms - began_ms if self.up else 0
        self.pace.ended(int(began_ms), int(now_ms), int(lasted_ms), dear, os.urandom(1)[0])
        self._begin()

    # --- time ---

    def run_at(self, speed: float | None, now_ms: float, skip_ms: float = 0) -> None:
        """Let the log grow at `speed` from now on, `skip_ms` further on at once."""
        self.log.advance(self._log_ms(now_ms) + skip_ms)
        self._anchor = (now_ms, self.log.now_ms)
        self._goal = [self.log.newest(cls) for cls in range(len(layout.CLASSES))]
        self.speed = speed

    def _log_ms(self, now_ms: float) -> float:
        since_ms, log_ms = self._anchor
        return self.log.now_ms if self.speed is None else log_ms + (now_ms - since_ms) * self.speed

    def next_ms(self) -> float:
        """Return when `turn` is due."""
        due_ms = self._beat_ms if self.connected else float("inf")
        if self.speed and (commit_ms := self.log.next_ms) is not None:
            since_ms, log_ms = self._anchor
            due_ms = min(due_ms, since_ms + (commit_ms - log_ms) / self.speed)
        return due_ms

    def turn(self, now_ms: float) -> None:
        """Do what is due: commits, a heartbeat."""
        self._grow(self._log_ms(now_ms))
        if self.connected:
            if now_ms >= self._beat_ms:
                self.heartbeat(now_ms)
            self.send(now_ms)

    def nudge(self, now_ms: float) -> None:
        """Go on at once when the log grows as fast as receipts come, and none is on its way."""
        if self.connected and self.speed is None and not self.sender.in_flight:
            self._grow(self.log.next_ms or 0)
            self.send(now_ms)

    @property
    def behind(self) -> bool:
        """Whether anything is owed of what the log had when its speed was last set."""
        sender = self.sender
        if not sender.ready:
            return True
        for cls, (newest, end) in enumerate(self._goal):
            closed = all(sender.has(cls, number) for number in range(newest))
            opened = sender.has(cls, newest) or self.marks.get((cls, newest), 0) >= end
            if not (closed and opened):
                return True
        return False

    @property
    def owed(self) -> int:
        """How many bytes of the log the site has not receipted in this session, at a guess."""
        classes = range(len(layout.CLASSES))
        return self.sender.in_flight + sum(self.sender.backlog_bytes(cls) for cls in classes)

    def heartbeat(self, now_ms: float) -> None:
        """Say how the log is, and ask what the site has when it does not receipt."""
        sender, log = self.sender, self.log
        quiet_ms = self._heartbeat_ms + self._receipt_wait_ms // 2
        late = sender.overdue_ms(now_ms) > self._receipt_wait_ms
        if late or now_ms - self.heard_ms > quiet_ms:
            self.up = False
        self._beat_ms = now_ms + self._heartbeat_ms
        if self._ids.full():
            return  # the broker acknowledges nothing just now
        ask = sender.asks(self.up, now_ms, self._heartbeat_ms, os.urandom)
        self._status_ms = int(log.now_ms)
        heads, backlog = {}, {}
        for cls, name in enumerate(layout.CLASSES):
            heads[name] = (0, *log.newest(cls))
            backlog[name] = sender.backlog_bytes(cls)
        fields: dict[str, Any] = {
            "v": wire.WIRE_VERSION,
            "log": self.who.log.hex(),
            "nonce": self._nonce.hex(),
            "boot": shape.BOOT,
            "mono": self._status_ms,
            "utc": 0,
            "clock": 0,
            "ask": ask,
            "heads": heads,
            "pool": (256, 128),
            "backlog": backlog,
            "hours_left": 100,
            "counters": {},
            "lines": self._lines,
            "classes": layout.CLASSES,
            "firmware": "load",
            "micropython": "none",
        }
        payload = wire.pack_status(self._uplink_key, self.who.id, fields)
        self.out += mqtt.publish(self._health, payload, 1, self._ids.take())
        self._tally.counts["heartbeats"] += 1

    # --- runs and receipts ---

    def send(self, now_ms: float) -> None:
        """Publish what the sender has to send and the window lets through."""
        sender = self.sender
        while not self._ids.full() and (run := sender.next_run()) is not None:
            cls, number, offset, count = run
            size = wire.run_size(count)
            head = mqtt.publish_head(self._packet, self._topics[cls], size, self._ids.take())
            payload = self._view[head : head + size]
            data = payload[wire.RUN_HEAD : wire.RUN_HEAD + count]
            self.log.read(cls, number, offset, data)
            place = (cls, self.who.log, number, offset, count)
            wire.pack_run(payload, self._uplink_key, self.who.id, *place)
            sender.sent(run, now_ms)
            self._tally.counts["runs"] += 1
            self.out += self._view[: head + size]

    def receipt(self, payload: bytes, now_ms: float) -> None:
        """Take a receipt as the firmware does."""
        counts, sender = self._tally.counts, self.sender
        try:
            found = wire.parse_receipt(payload, self._receipt_key, self.who.id)
        except (TagError, FormatError):
            counts["receipts_forged"] += 1
            return
        if found.site != self._site or found.log_id != self.who.log:
            counts["receipts_of_strangers"] += 1
            return
        if found.nonce != self._nonce:
            counts["receipts_stale"] += 1
            return
        self.stored(found, now_ms)
        counts["receipts"] += 1
        counts["receipt_mismatches"] += sender.mismatches
        sender.mismatches = 0

    def stored(self, found: wire.Receipt, now_ms: float) -> None:
        """Take what a site says it has, once that is authenticated."""
        sender, mismatches = self.sender, self.sender.mismatches
        self.heard_ms = now_ms
        if found.echo_ms == self._status_ms:
            sender.hurry()
        sender.receipt(found, now_ms)
        if found.have or found.entries:
            self.up = True
        if sender.mismatches == mismatches:
            marks = self.marks
            for cls, number, length, _ in found.entries:
                marks[(cls, number)] = max(length, marks.get((cls, number), 0))
            for cls, first, count, bits in found.maps:
                stored = (n for n in range(count) if bits[n >> 3] >> (n & 7) & 1)
                for number in (*range(first), *(first + n for n in stored)):
                    marks[(cls, number)] = layout.SECTOR_SIZE
        self.nudge(now_ms)

    def _grow(self, log_ms: float) -> None:
        if self.log.advance(log_ms) and self.log.next_ms is None:
            self._tally.counts["logs_at_their_end"] += 1

    def landed(self, flight: Flight, now_ms: float) -> None:
        """Take note of a run whose receipt has come."""
        tally, log = self._tally, self.log
        cls, number, offset = flight.cls, flight.number, flight.end - flight.size
        values = log.values(cls, number, offset, flight.end)
        tally.counts["values"] += values
        tally.counts["landed"] += 1
        waited_ms = now_ms - flight.sent_ms
        if flight.old:
            tally.old_ms.append(waited_ms)
            return
        tally.waits_ms.append(waited_ms)
        if values and self.speed:
            since_ms, log_ms = self._anchor
            made_ms = since_ms + (log.due_ms(cls, number, offset) - log_ms) / self.speed
            tally.ages_ms.append(now_ms - made_ms)
