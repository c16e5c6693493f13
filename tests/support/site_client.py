"""A small site on a real broker, and a bed with one oximeter: what gateway tests talk to."""

import asyncio
import contextlib
import hashlib
import os
import socket
import time
from pathlib import Path
from typing import Any

from bridge.core import mqtt, wire
from bridge.core.journal import layout, records
from bridge.core.journal.reader import SectorReader
from bridge.core.journal.seal import next_chain_key
from hil.board import VirtualBoard
from vitalkeep.keys import derive
from vitalkeep.keys.cipher import Aes256
from vitalkeep.keys.provision import key_region

ROOT = b"R" * 32
GATEWAY = b"gateway1"
LOG_ID = b"logid--1"
SITE = b"site---1"
UPLINK_KEY = derive.uplink_key(ROOT, GATEWAY)
RECEIPT_KEY = derive.receipt_key(ROOT, GATEWAY, SITE)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Bed:
    """A provisioned virtual board with an oximeter's line in the test's hands."""

    def __init__(self, root: Path, port: int, **config: Any) -> None:
        self.board = VirtualBoard(root, uarts=(1,))
        self.board.write_partition("keys", key_region(ROOT, GATEWAY, LOG_ID, [SITE], 4))
        self.board.write_partition("journal", b"")
        device = {"name": "oximeter", "class": "A", "unit": 0}
        line = {"uart": 1, "protocol": "masimo_set", "baud": 9600, "devices": [device]}
        site = {"name": "primary", "id": SITE.hex(), "host": "127.0.0.1", "port": port}
        config = {"bed": "bed-1", "sites": [site], "lines": [line], **config}
        self.board.write_config(config)

    def say(self, spo2: int) -> None:
        """Put one line of the oximeter on the wire."""
        self.put(
            b"03/14/26 09:26:53 SN=0000123456 SPO2=%03d%% BPM=068 PI=02.35%% DESAT=00 "
            b"PIDELTA=+00 ALARM=0000 EXC=000800\r\n" % spo2
        )

    def put(self, data: bytes) -> None:
        os.write(self.board.lines[1].master, data)


class SiteClient:
    """Stores what a gateway sends and answers it.

    receipting  whether receipts go out at all
    epoch       of its store; clear `sectors` and change it to lose everything
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.receipting = True
        self.epoch = b"epoch--1"
        self.sectors: dict[tuple[int, int], bytearray] = {}
        self.statuses: list[dict[str, Any]] = []
        self.runs: list[wire.Run] = []
        self.states: list[bytes] = []
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        filters = [f"vk/+/{leaf}" for leaf in ("log/A", "log/B", "log/C", "health", "state")]
        self._writer.write(mqtt.connect("test-site", 60))
        self._writer.write(mqtt.subscribe(1, [(text, 1) for text in filters]))
        self._task = asyncio.create_task(self._read(reader))

    async def close(self) -> None:
        if self._task is not None and self._writer is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        decoder = mqtt.Decoder(8192)
        while data := await reader.read(4096):
            while data:
                data = data[decoder.feed(data) :]
                while (packet := decoder.next_packet()) is not None:
                    if packet.type == mqtt.PUBLISH:
                        self._take(packet)

    def _take(self, packet: Any) -> None:
        assert self._writer is not None
        if packet.qos:
            self._writer.write(mqtt.puback(packet.packet_id))
        _, leaf = wire.parse_topic(packet.topic)
        if leaf == "state":
            self.states.append(packet.payload)
        elif leaf == "health":
            status = wire.parse_status(packet.payload, UPLINK_KEY, GATEWAY)
            self.statuses.append(status)
            self._answer(status)
        else:
            cls = layout.CLASSES.index(leaf[4:])
            run = wire.parse_run(packet.payload, UPLINK_KEY, GATEWAY, cls)
            self.runs.append(run)
            prefix = self.sectors.setdefault((cls, run.sector), bytearray())
            if run.offset == layout.SEAL_AT and len(prefix) < run.offset:
                prefix.extend(b"\xff" * (run.offset - len(prefix)))
            if run.offset <= len(prefix):
                prefix.extend(run.data[len(prefix) - run.offset :])
            self.send(self.receipt([(cls, run.sector)]))

    def _answer(self, status: dict[str, Any]) -> None:
        made = self.receipt([])
        made.utc_ms, made.echo_ms = round(time.time() * 1000), status["mono"]
        made.have = status["ask"]
        if made.have:
            for cls, name in enumerate(layout.CLASSES):
                first, newest, _ = status["heads"][name]
                bits = bytearray((newest - first + 8) // 8)
                for number in range(first, newest + 1):
                    size = len(self.sectors.get((cls, number), b""))
                    if size == layout.SECTOR_SIZE:
                        bits[number - first >> 3] |= 1 << (number - first & 7)
                    elif size:
                        made.entries.append(self.entry(cls, number))
                made.maps.append((cls, first, newest - first + 1, bytes(bits)))
        self.send(made)

    def entry(self, cls: int, number: int) -> tuple[int, int, int, bytes]:
        prefix = self.sectors[(cls, number)]
        return cls, number, len(prefix), hashlib.sha256(prefix).digest()[:8]

    def receipt(self, places: list[tuple[int, int]]) -> wire.Receipt:
        nonce = bytes.fromhex(self.statuses[-1]["nonce"]) if self.statuses else bytes(8)
        made = wire.Receipt(SITE, self.epoch, GATEWAY, LOG_ID, nonce)
        made.entries = [self.entry(*place) for place in places]
        return made

    def send(self, receipt: wire.Receipt, key: bytes = RECEIPT_KEY) -> None:
        if self.receipting:
            self.send_raw(wire.pack_receipt(receipt, key))

    def send_raw(self, payload: bytes) -> None:
        assert self._writer is not None
        self._writer.write(mqtt.publish(wire.topic(GATEWAY, "receipt"), payload, 1, 7))

    # --- what a test asks ---

    def values(self) -> list[int]:
        """Return the SpO2 of every observation stored, in the log's order."""
        found = []
        key = derive.chain_key(ROOT, GATEWAY, LOG_ID, 0)
        numbers = [number for cls, number in self.sectors if cls == 0]
        for number in range(max(numbers, default=-1) + 1):
            prefix = self.sectors.get((0, number), bytearray())
            for record in SectorReader(Aes256, key).feed(bytes(prefix)):
                if record.kind == records.OBSERVATION:
                    found.append(record.values[0].value)
            key = next_chain_key(key)
        return found

    def counters(self) -> dict[str, int]:
        return self.statuses[-1]["counters"] if self.statuses else {}

    async def until(self, condition: Any, timeout_s: float = 20) -> None:
        """Wait until `condition()` holds; fails the test when it does not in time."""
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, "condition did not come true in time"
            await asyncio.sleep(0.02)
