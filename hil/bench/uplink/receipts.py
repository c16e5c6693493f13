"""A listener at a site's broker: which sectors the gateway has been told are stored."""

import asyncio

from bridge.core import mqtt, wire
from bridge.core.journal.layout import SECTOR_SIZE
from hil.bench.uplink.bedside import GATEWAY, ROOT
from hil.tasks import end_tasks
from vitalkeep.keys import derive

_KEEP_ALIVE_S = 600
_READ = 65536


class ReceiptListener:
    """Subscribes to the receipts of the bench's gateway.

    site  id of the site that writes them
    """

    def __init__(self, port: int, site: bytes) -> None:
        self._port = port
        self._key = derive.receipt_key(ROOT, GATEWAY, site)
        self._whole: set[tuple[int, int]] = set()
        self._below: dict[int, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def start(self) -> None:
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(mqtt.connect("bench-listener", _KEEP_ALIVE_S))
        self._writer.write(mqtt.subscribe(1, [(wire.topic(GATEWAY, "receipt"), 0)]))
        self._task = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        decoder = mqtt.Decoder(_READ)
        while data := await reader.read(_READ):
            while data:
                data = data[decoder.feed(data) :]
                while (packet := decoder.next_packet()) is not None:
                    if packet.type == mqtt.PUBLISH:
                        self._take(wire.parse_receipt(packet.payload, self._key, GATEWAY))

    def _take(self, receipt: wire.Receipt) -> None:
        for cls, number, length, _ in receipt.entries:
            if length == SECTOR_SIZE:
                self._whole.add((cls, number))
        for cls, first, count, bits in receipt.maps:
            self._below[cls] = max(self._below.get(cls, 0), first)
            for index in range(count):
                if bits[index >> 3] >> (index & 7) & 1:
                    self._whole.add((cls, first + index))

    def missing(self, cls: int, count: int) -> int:
        """Return how many of a class's sectors 0 to `count` - 1 are not receipted whole."""
        below = self._below.get(cls, 0)
        return sum((cls, number) not in self._whole for number in range(below, count))

    async def close(self) -> None:
        if self._task is not None and self._writer is not None:
            await end_tasks([self._task])
            self._writer.close()
