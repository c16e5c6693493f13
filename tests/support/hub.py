"""A gateway in memory and a hub's write path without a broker, for tests of the hub."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from bridge.core import wire
from bridge.core.events import VALID, Alarm, Observation
from bridge.core.journal import layout, records
from bridge.core.journal.keyring import KeyRing
from bridge.core.journal.ring import Journal
from bridge.core.sender import Sender
from vitalkeep.hub.batch import Batch, Run
from vitalkeep.hub.consume import Message
from vitalkeep.hub.decode import add_rows
from vitalkeep.hub.ingest import Ingest
from vitalkeep.hub.intake import Intake
from vitalkeep.hub.jobs.decoding import Decoding
from vitalkeep.hub.late import Decoders
from vitalkeep.hub.sectors import Place
from vitalkeep.hub.store import Store
from vitalkeep.hub.ward import Ward
from vitalkeep.keys import derive
from vitalkeep.keys.cipher import Aes256
from vitalkeep.keys.provision import key_region
from vitalkeep.keys.vault import Gateway, Vault

ROOT = bytes(range(32))
GATEWAY_ID = b"\x01gateway"
LOG_ID = b"\x02logid--"
SITE_ID = b"\x03site---"
DEVICES = (("vent", "draeger_medibus", 0), ("oximeter", "masimo_set", 0))
EXTRAS = {0x8000: ("O2 supply", "kPa")}
KEY_BLOCKS = 4


class RamMedium:
    """A block device in memory; the strict NOR model has its own tests."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)

    def readblocks(self, block: int, buf: bytearray, offset: int = 0) -> None:
        start = block * layout.SECTOR_SIZE + offset
        buf[:] = self.data[start : start + len(buf)]

    def writeblocks(self, block: int, buf: bytes, offset: int = 0) -> None:
        start = block * layout.SECTOR_SIZE + offset
        for index, byte in enumerate(bytes(buf)):
            self.data[start + index] &= byte

    def ioctl(self, op: int, block: int) -> int:
        size = layout.SECTOR_SIZE
        if op == 6:
            self.data[block * size : (block + 1) * size] = b"\xff" * size
        return {4: len(self.data) // size, 5: size, 6: 0}[op]


class Clock:
    """A clock that a test moves by hand."""

    def __init__(self, boot: int) -> None:
        self.boot = boot
        self.state = layout.CLOCK_UNKNOWN
        self.now_ms = 0
        self.offset_ms = 0

    def mono_ms(self) -> int:
        return self.now_ms

    def utc_ms(self) -> int:
        return self.now_ms + self.offset_ms if self.offset_ms else 0


class FakeGateway:
    """The real journal and sender over memory.

    Sites and links are the test's: `runs` and `heartbeat` are payloads, `take` takes a receipt.
    """

    def __init__(self, id: bytes = GATEWAY_ID, sectors: int = 24, site: bytes = SITE_ID) -> None:
        self.id = id
        self.log_id = LOG_ID
        self.site = site
        self.root = ROOT
        self.keys = RamMedium(key_region(ROOT, id, LOG_ID, [site], KEY_BLOCKS))
        self.flash = RamMedium(b"\xff" * (sectors * layout.SECTOR_SIZE))
        self.uplink_key = derive.uplink_key(ROOT, id)
        self.receipt_key = derive.receipt_key(ROOT, id, site)
        self.lines = [{"name": name, "state": "live"} for name, _, _ in DEVICES]
        self.boots = 100
        self.whole: list[tuple[int, int]] = []
        self.boot()

    def vault_entry(self, bed: str = "Bed 1") -> Gateway:
        return Gateway(self.id, bed, self.root, (self.log_id,))

    def boot(self) -> None:
        """Power on again: a new boot id, a monotonic clock from zero."""
        self.boots += 1
        self.clock = Clock(self.boots)
        ring = KeyRing(self.keys)
        ring.recover()
        devices = [records.Device(*device) for device in DEVICES]
        parts = (ring, Aes256, os.urandom, self.clock, devices, EXTRAS)
        self.journal = Journal(self.flash, *parts)
        self.journal.recover()
        for cls in range(3):
            self.journal.event(cls, records.BOOT, "reset power-on")
            self.journal.commit(cls)
        self.connect()

    def connect(self) -> None:
        """Begin a session."""
        self.nonce = os.urandom(8)
        self.sender = Sender(self.journal, 65536, lambda cls, n, _: self.whole.append((cls, n)))

    def observe(self, cls: int = 0, device: int = 0, **values: int) -> None:
        """Record {parameter: value} now, as one commit; parameters are p1, p2 ..."""
        made = Observation(16)
        made.begin(0, 1)
        for name, value in (values or {"p1": 97, "p2": 72}).items():
            made.add(int(name[1:], 0), value, 0, VALID)
        self.journal.observation(cls, device, made, self.clock.now_ms)
        self.journal.commit(cls)
        while self.journal.pool.ready < 2 and self.journal.idle():
            pass

    def fill(self, sectors: int, cls: int = 0, step_ms: int = 1000) -> None:
        """Record until the open sector of a class is number `sectors`."""
        value = 0
        while self.journal.newest(cls)[0] < sectors:
            value += 1
            self.clock.now_ms += step_ms
            extra = {f"p{n}": value * n * 7919 % 30011 for n in range(3, 14)}
            self.observe(cls, p1=80 + value % 20, p2=value % 300, **extra)
            self.journal.idle()

    def alarm(self, text: str, active: bool = True, cls: int = 0) -> None:
        made = Alarm()
        made.priority, made.active, made.text = 3, active, text
        self.journal.alarm(cls, 0, made, self.clock.now_ms)

    def set_clock(self, utc_ms: int) -> None:
        """Let a site tell the time: it is now `utc_ms`."""
        self.clock.offset_ms = utc_ms - self.clock.now_ms
        self.clock.state = layout.CLOCK_SITE
        self.journal.clock_set(utc_ms, 5)

    # --- payloads ---

    def sector(self, cls: int, number: int) -> bytes:
        """Return a sector's bytes, cut behind the last one in use when it is open."""
        data = bytearray(layout.SECTOR_SIZE)
        assert self.journal.read(cls, number, 0, data)
        data[layout.RELEASED_AT] = 0xFF
        newest, end = self.journal.newest(cls)
        return bytes(data[:end] if number == newest else data)

    def run(self, cls: int, number: int, offset: int, data: bytes) -> tuple[str, bytes]:
        """Return (topic, payload) of a run."""
        payload = bytearray(wire.run_size(len(data)))
        payload[wire.RUN_HEAD : wire.RUN_HEAD + len(data)] = data
        place = (self.log_id, number, offset, len(data))
        wire.pack_run(payload, self.uplink_key, self.id, cls, *place)
        return wire.topic(self.id, "log/" + layout.CLASSES[cls]), bytes(payload)

    def sector_runs(self, cls: int, number: int, size: int = 512) -> list[tuple[str, bytes]]:
        """Return the runs of a sector as the gateway sends them: no blank before the seal."""
        data = self.sector(cls, number)
        end = len(data)
        tail = []
        if end == layout.SECTOR_SIZE:
            end = layout.parse_seal(data)[0]
            tail = [self.run(cls, number, layout.SEAL_AT, data[layout.SEAL_AT :])]
        runs = []
        for at in range(0, end, size):
            runs.append(self.run(cls, number, at, data[at : min(end, at + size)]))
        return runs + tail

    def next_runs(self) -> Iterator[tuple[str, bytes]]:
        """Yield what the sender sends now."""
        while (found := self.sender.next_run()) is not None:
            cls, number, offset, count = found
            data = bytearray(count)
            self.journal.read(cls, number, offset, data)
            if offset <= layout.RELEASED_AT < offset + count:
                data[layout.RELEASED_AT - offset] = 0xFF
            self.sender.sent(found, self.clock.now_ms)
            yield self.run(cls, number, offset, bytes(data))

    def heartbeat(self, ask: bool = False, **changes: object) -> tuple[str, bytes]:
        heads, backlog = {}, {}
        for cls, name in enumerate(layout.CLASSES):
            heads[name] = (self.journal.pool.oldest(cls), *self.journal.newest(cls))
            backlog[name] = self.sender.backlog_bytes(cls)
        fields = {
            "v": 1,
            "log": self.log_id.hex(),
            "nonce": self.nonce.hex(),
            "boot": self.clock.boot,
            "mono": self.clock.now_ms,
            "utc": self.clock.utc_ms(),
            "clock": self.clock.state,
            "ask": ask,
            "heads": heads,
            "pool": (self.journal.pool.count, self.journal.pool.ready + self.journal.pool.unknown),
            "backlog": backlog,
            "counters": {"line0_noise": 3},
            "lines": self.lines,
            "micropython": "3.4.0; MicroPython v1.29",
            "firmware": "0.1.0",
            "hours_left": 26.5,
        }
        payload = wire.pack_status(self.uplink_key, self.id, fields | changes)
        return wire.topic(self.id, "health"), bytes(payload)

    def take(self, payload: bytes) -> wire.Receipt:
        """Take a receipt as the firmware does; returns it parsed."""
        receipt = wire.parse_receipt(payload, self.receipt_key, self.id)
        if receipt.nonce == self.nonce and receipt.site == self.site:
            self.sender.receipt(receipt, self.clock.now_ms)
        return receipt


def place(gateway, number, cls=0):
    return Place(gateway.id, gateway.log_id, cls, number)


class Table:
    """A store in memory: what a batch says is true once it was applied.

    What a hub decodes after the commit is in the batch here.
    """

    def __init__(self, gateway):
        self.ingest = Ingest([gateway.vault_entry()], Aes256)
        self.decoders = Decoders()
        self.data = {}
        self.rows = {}

    def take(self, *messages):
        """Apply one batch of messages and return it."""
        runs = [
            found for m in messages if isinstance(found := self.ingest.payloads.parse(*m), Run)
        ]
        for place in self.ingest.missing([run.place for run in runs]):
            self.ingest.load(place, None)
        batch = Batch(1000)
        for run in runs:
            self.ingest.take(run, batch)
        self.ingest.finish(batch)
        for index, change in enumerate(batch.changes):
            known = self.data.setdefault(change.place, b"")
            assert len(known) == change.old
            self.data[change.place] = change.whole or known + change.piece
            if task := self.ingest.task(change.place):
                batch.changes[index] = self._decode(task, change, batch)
        add_rows(self.rows, batch.rows)
        return batch

    def _decode(self, task, change, batch):
        found = self.decoders.decode(task, batch.now_ms)
        self.ingest.decoded(found.place, found.decoded)
        add_rows(batch.rows, found.rows)
        batch.blocks += found.blocks
        return replace(change, decoded=found.decoded, spans=found.spans)


class WritePath:
    """Intake on a store, driven without a broker."""

    def __init__(self, vault: Vault, store: Store) -> None:
        self.ward = Ward(vault.gateways())
        self.intake = Intake(vault, store, self.ward)
        self.decoding = Decoding(store, self.intake, lambda _: ThreadPoolExecutor(1))
        self.intake.on_commit.append(self.decoding.committed)

    def send(self, *messages: tuple[str, bytes]) -> list[bytes]:
        """Return the receipts for a batch of (topic, payload)."""
        return [payload for _, payload in asyncio.run(self.send_async(*messages))]

    async def send_async(self, *messages: tuple[str, bytes]) -> list[tuple[str, bytes]]:
        answers = await self.intake.handle([Message(*message) for message in messages])
        await self.decoding.catch_up()
        return answers


def converse(path: WritePath, gateway: FakeGateway, rounds: int = 50) -> None:
    """Let gateway and site talk until nothing is left to send."""
    for payload in path.send(gateway.heartbeat(ask=True)):
        assert gateway.take(payload).have
    for _ in range(rounds):
        runs = list(gateway.next_runs())
        if not runs:
            return
        for payload in path.send(*runs):
            gateway.take(payload)
    raise AssertionError("still sending")
