"""A small site on a real broker, and a bed with one oximeter: what gateway tests talk to."""

import asyncio
import contextlib
import json
import os
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from iotcore import Broker

from bridge.core import command_wire, mqtt, wire
from bridge.core.journal import layout, records
from bridge.core.journal.reader import SectorReader
from bridge.core.journal.seal import next_chain_key
from hil.board import VirtualBoard
from tests.support.gateway import GATEWAY, LOG_ID, SITE
from tests.support.processes import free_port
from tests.support.site import SmallSite
from vitalkeep.keys import derive
from vitalkeep.keys.cipher import Aes256
from vitalkeep.keys.provision import key_region

ROOT = b"R" * 32
UPLINK_KEY = derive.uplink_key(ROOT, GATEWAY)
COMMAND_KEY = derive.command_key(ROOT, GATEWAY)


SECOND_SITE = bytes.fromhex("5ec0000000000002")


class Bed:
    """A provisioned virtual board with an oximeter's line in the test's hands.

    ports    of the brokers, in the order of preference
    classes  one oximeter for each, on UART 1 and up
    host     of the sites
    kind     of board, a folder in boards/
    modem    whether something is on UART 0
    console  whether the USB console is plugged in
    site     more fields of each site in the configuration
    """

    def __init__(
        self,
        root: Path,
        *ports: int,
        classes: str = "A",
        host: str = "127.0.0.1",
        kind: str = "VIRTUAL_ESP32S3",
        modem: bool = False,
        site: dict[str, Any] | None = None,
        console: bool = False,
        **config: Any,
    ) -> None:
        ids = [SITE, SECOND_SITE][: len(ports)]
        uarts = range(0 if modem else 1, 1 + len(classes))
        self.board = VirtualBoard(root, kind, uarts, console=console)
        self.board.write_partition("keys", key_region(ROOT, GATEWAY, LOG_ID, ids, 4))
        self.board.write_partition("journal", b"")
        more = site or {"tls": False}
        config = {
            "bed": "bed-1",
            "sites": [
                {"name": name, "id": id.hex(), "host": host, "port": port, **more}
                for name, id, port in zip(("primary", "standby"), ids, ports, strict=False)
            ],
            "lines": [
                {
                    "uart": uart,
                    "protocol": "masimo_set",
                    "baud": 9600,
                    "devices": [{"name": f"oximeter-{cls}", "class": cls, "unit": 0}],
                }
                for uart, cls in enumerate(classes, 1)
            ],
            **config,
        }
        self.board.write_config(config)

    def say(self, spo2: int, uart: int = 1) -> None:
        """Put one line of an oximeter on the wire."""
        self.put(
            b"03/14/26 09:26:53 SN=0000123456 SPO2=%03d%% BPM=068 PI=02.35%% DESAT=00 "
            b"PIDELTA=+00 ALARM=0000 EXC=000800\r\n" % spo2,
            uart,
        )

    def put(self, data: bytes, uart: int = 1) -> None:
        os.write(self.board.lines[uart].master, data)


class SiteClient:
    """Stores what a gateway sends and answers it.

    store       what it has
    receipting  whether receipts go out at all
    tells_time  whether receipts tell the time
    statuses    the heartbeats so far; the last came at `heard_ms` UTC
    replies     the parts of replies to commands so far
    probes      what an independent client published so far
    context     for a broker that speaks TLS
    """

    def __init__(
        self, port: int, site: bytes = SITE, context: ssl.SSLContext | None = None
    ) -> None:
        self.port = port
        self.context = context
        self.key = derive.receipt_key(ROOT, GATEWAY, site)
        self.store = SmallSite(b"epoch--1", UPLINK_KEY, self.key, site)
        self.receipting = True
        self.tells_time = True
        self.statuses: list[dict[str, Any]] = []
        self.replies: list[command_wire.ReplyPart] = []
        self.probes = 0
        self.heard_ms = 0
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.context
        )
        leaves = ("log/A", "log/B", "log/C", "health", "state", "reply")
        filters = [f"vk/+/{leaf}" for leaf in leaves]
        self._writer.write(mqtt.connect("test-site", 60))
        self._writer.write(mqtt.subscribe(1, [(text, 1) for text in filters]))
        self._task = asyncio.create_task(self._read(reader))

    async def close(self) -> None:
        if self._task is not None and self._writer is not None:
            self._task.cancel()
            # Its broker may be gone: some tests kill it.
            with contextlib.suppress(asyncio.CancelledError, OSError):
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
        if leaf == "health":
            status = wire.parse_status(packet.payload, UPLINK_KEY, GATEWAY)
            self.heard_ms = round(time.time() * 1000)
            self.statuses.append(status)
            self._answer(status)
        elif leaf == "reply" and packet.payload == b"probe":
            self.probes += 1
        elif leaf == "reply":
            self.replies.append(command_wire.parse_reply(packet.payload, COMMAND_KEY, GATEWAY))
        elif leaf.startswith("log/"):
            place = self.store.take(packet.payload, layout.CLASSES.index(leaf[4:]))
            self.send(self.receipt([place]))

    def _answer(self, status: dict[str, Any]) -> None:
        made = self.receipt([])
        if status["ask"]:
            heads = status["heads"]
            spans = {cls: heads[name][:2] for cls, name in enumerate(layout.CLASSES)}
            made = self.store.have(made.nonce, spans)
        if self.tells_time:
            made.utc_ms, made.echo_ms = round(time.time() * 1000), status["mono"]
        self.send(made)

    def receipt(self, places: list[tuple[int, int]]) -> wire.Receipt:
        nonce = bytes.fromhex(self.statuses[-1]["nonce"]) if self.statuses else bytes(8)
        return self.store.receipt(nonce, places)

    def send(self, receipt: wire.Receipt, key: bytes | None = None) -> None:
        if self.receipting:
            self.send_raw(wire.pack_receipt(receipt, key or self.key))

    def send_raw(self, payload: bytes) -> None:
        assert self._writer is not None
        self._writer.write(mqtt.publish(wire.topic(GATEWAY, "receipt"), payload, 1, 7))

    async def command(self, number: int, **fields: Any) -> dict[str, Any]:
        """Send a command and return what the gateway answers."""
        nonce = bytes.fromhex(self.statuses[-1]["nonce"])
        command = command_wire.Command(nonce, number, fields)
        self.send_command(command_wire.pack_command(command, COMMAND_KEY, GATEWAY))

        def parts() -> list[command_wire.ReplyPart]:
            return [part for part in self.replies if part.number == number]

        await self.until(lambda: parts() and len(parts()) == parts()[0].parts)
        answer: dict[str, Any] = json.loads(b"".join(part.data for part in parts()))
        return answer

    def send_command(self, payload: bytes) -> None:
        assert self._writer is not None
        self._writer.write(mqtt.publish(wire.topic(GATEWAY, "command"), payload, 1, 9))

    # --- what a test asks ---

    def values(self, cls: int = 0) -> list[int]:
        """Return the SpO2 of every observation stored of a class, in the log's order."""
        return [
            record.values[0].value
            for record in self.records(cls)
            if record.kind == records.OBSERVATION
        ]

    def events(self, event: int) -> list[str]:
        """Return the texts of the gateway's own events of one kind, in the log's order."""
        return [
            record.text
            for record in self.records(0)
            if record.kind == records.EVENT and record.event == event
        ]

    def records(self, cls: int) -> list[Any]:
        found: list[Any] = []
        key = derive.chain_key(ROOT, GATEWAY, LOG_ID, cls)
        sectors = self.store.sectors
        numbers = [number for known, number in sectors if known == cls]
        for number in range(max(numbers, default=-1) + 1):
            prefix = sectors.get((cls, number), bytearray())
            found += SectorReader(Aes256, key).feed(bytes(prefix))
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


@contextlib.asynccontextmanager
async def receipted(root: Path, **config: Any) -> AsyncIterator[tuple[Bed, SiteClient]]:
    """Yield a bed whose gateway runs and is receipted, and its site."""
    broker = Broker(port=free_port())
    broker.start()
    timing = {"receipt_wait_ms": 1500, "heartbeat_ms": 500}
    bed = Bed(root, broker.port, **timing, **config)
    site = SiteClient(broker.port)
    try:
        await site.start()
        await bed.board.start()
        await site.until(lambda: site.statuses and not site.statuses[-1]["ask"])
        yield bed, site
    finally:
        await site.close()
        await bed.board.close()
        broker.stop()
