"""A site in this process: the hub's own write path, with each commit seen as it returns."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bridge.core import wire
from hil.bench.uplink.bedside import GATEWAY, LOG_ID, ROOT, mark_of
from hil.tasks import end_tasks
from vitalkeep.hub.address import Address
from vitalkeep.hub.consume import Consumer, Message, Publish
from vitalkeep.hub.intake import Intake
from vitalkeep.hub.jobs.decoding import Decoding
from vitalkeep.hub.late import Decoders
from vitalkeep.hub.store import Store
from vitalkeep.hub.ward import Ward
from vitalkeep.keys import derive
from vitalkeep.keys.vault import Vault

_UPLINK_KEY = derive.uplink_key(ROOT, GATEWAY)


class _Watched(Ward):
    """Notes when each value of an oximeter was first committed."""

    def __init__(self, vault: Vault) -> None:
        super().__init__(vault.gateways())
        self.committed_at: dict[tuple[str, int], float] = {}

    def stored(self, rows: Mapping[str, Iterable[dict[str, Any]]], now_ms: int) -> None:
        now = time.monotonic()
        for row in rows.get("observations", ()):
            said = row["readings"]
            number = mark_of(said["SpO2"][0], said["PR"][0])
            self.committed_at.setdefault((row["device"], number), now)
        super().stored(rows, now_ms)


class Site:
    """Consumer, ingest, late decoding, SQLite and receipts of a hub, without its page.

    id          8 bytes; what the gateway must be provisioned for
    receipting  False: it commits, and answers nothing
    status      fields of the gateway's last heartbeat
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.receipting = True
        self.status: dict[str, Any] = {}
        vault = Vault.create(folder / name, name)
        vault.add_gateway(GATEWAY, "bench", ROOT, LOG_ID)
        self.id = vault.site_id
        self._store = Store(f"sqlite:///{folder / name}.db")
        self._store.open()
        self._ward = _Watched(vault)
        self._intake = Intake(vault, self._store, self._ward)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, port: int) -> None:
        consumer = Consumer(Address("127.0.0.1", port), self._handle)
        # On one thread: two could have the same sector in hand. Unlike a hub's, its decoders show
        # each value of a backlog.
        thread = ThreadPoolExecutor(1)
        decode = Decoders().decode_all
        decoding = Decoding(self._store, self._intake, lambda _: thread, decode)
        self._tasks = [asyncio.create_task(job.run()) for job in (consumer, decoding)]

    async def _handle(self, messages: Sequence[Message]) -> Sequence[Publish]:
        for message in messages:
            if message.topic.endswith("/health"):
                self.status = wire.parse_status(message.payload, _UPLINK_KEY, GATEWAY)
        answers = await self._intake.handle(messages)
        return answers if self.receipting else ()

    def committed_at(self, device: str, number: int) -> float | None:
        """Return the time.monotonic() at which a value was durable here, None while it is not."""
        return self._ward.committed_at.get((device, number))

    async def close(self) -> None:
        await end_tasks(self._tasks)
        self._intake.close()
        self._store.close()
