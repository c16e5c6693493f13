"""A simulated ward: beds with devices and gateways, a hub, and the network between them."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from hil.board import VirtualBoard
from hil.devices import bed_config, plug_devices
from hil.hub import HubProcess
from hil.ledger import Ledger
from hil.link import LinkProxy
from hil.secure_broker import HOST, SecureBroker
from hil.tasks import end_tasks
from hil.verdict import PowerCut
from hil.vitals import Sample
from vitalkeep.keys.provision import key_region
from vitalkeep.keys.vault import Vault

_READY_S = 20
_WRAPS_AFTER_MS = 20_000  # the boards' tick counters wrap within the story, on purpose


@dataclass
class Bed:
    """One bedside: a gateway's board, its link, and its devices' tasks."""

    name: str
    gateway: bytes
    board: VirtualBoard
    link: LinkProxy
    cuts: list[PowerCut] = field(default_factory=list)
    devices: list[asyncio.Task[None]] = field(default_factory=list)


class Ward:
    """Builds everything in a folder of its own, runs it, and leaves nothing running.

    folder    for vault, database, flash files and logs
    vitals    vitals(bed number) returns what that bed's devices measure
    broker    URL of a real broker, None for the hub's own
    database  URL of a real database, None for SQLite in the folder
    page      host:port of the live page, None for none
    noise     how often, from 0 to 1, a device's message is spoilt on its line
    tls       mosquitto with certificates on both sides, in place of `broker`
    """

    def __init__(
        self,
        folder: Path,
        vitals: Callable[[int], Sample],
        beds: int = 3,
        broker: str | None = None,
        database: str | None = None,
        page: str | None = None,
        noise: float = 0.0,
        tls: bool = False,
    ) -> None:
        self.folder = folder
        self._secure = SecureBroker(folder) if tls else None
        self.ledger = Ledger()
        self.beds: list[Bed] = []
        self.page: str | None = None
        self.database = database or f"sqlite:///{folder / 'hub.db'}"
        self._vitals = vitals
        self.count = beds
        self._noise = noise
        arguments = []
        if self._secure:
            broker = self._secure.url
            for option in ("ca", "certificate", "key"):
                arguments += [f"--{option}", str(self._secure.hub / f"{option}.pem")]
        self._hub = HubProcess(folder, self.database, broker, page, *arguments)
        self._vault = Vault.create(folder / "vault")

    # --- setting up ---

    async def start(self) -> None:
        """Start the hub and every bed; returns when all gateways listen."""
        gateways = [secrets.token_bytes(8) for _ in range(self.count)]
        logs = [secrets.token_bytes(8) for _ in range(self.count)]
        for number, (gateway, log) in enumerate(zip(gateways, logs, strict=True), 1):
            self._vault.add_gateway(gateway, f"bed-{number}", None, log)
        if self._secure:
            for number, gateway in enumerate(gateways, 1):
                self._secure.admit(gateway, self.folder / f"bed-{number}" / "files")
            await self._secure.start()
        await self._hub.start()
        self.page = self._hub.page_url
        address = urlsplit(self._hub.broker_url)
        for number, (gateway, log) in enumerate(zip(gateways, logs, strict=True), 1):
            await self._add_bed(number, gateway, log, address.hostname or "", address.port or 1883)
        for bed in self.beds:
            await bed.board.start()
        for bed in self.beds:
            await bed.board.wait_for("listening", _READY_S)
        for number, bed in enumerate(self.beds, 1):
            self._plug(number, bed)

    async def _add_bed(
        self, number: int, gateway: bytes, log: bytes, host: str, port: int
    ) -> None:
        link = LinkProxy(host, port)
        near = await link.start()
        board = VirtualBoard(
            self.folder / f"bed-{number}",
            ticks_ms=2**30 - _WRAPS_AFTER_MS - 1000 * number,
            unique_id=gateway[:6],
        )
        root = next(known.root for known in self._vault.gateways() if known.id == gateway)
        site = self._vault.site_id
        _, size = board.partitions["keys"]
        board.write_partition("keys", key_region(root, gateway, log, [site], size // 4096))
        board.write_partition("journal", b"")
        secure = bool(self._secure)
        board.write_config(
            bed_config(f"bed-{number}", site, HOST, near, self._hub.time_port, secure)
        )
        self.beds.append(Bed(f"bed-{number}", gateway, board, link))

    def _plug(self, number: int, bed: Bed) -> None:
        masters = {uart: line.master for uart, line in bed.board.lines.items()}
        jobs = plug_devices(bed.name, masters, self._vitals(number), self.ledger, self._noise)
        bed.devices = [asyncio.create_task(job) for job in jobs]

    # --- breaking it ---

    def cut_network(self) -> int:
        """Take every bed's cable out; returns the UTC milliseconds."""
        for bed in self.beds:
            bed.link.cut()
            bed.board.plug_cable(False)
        return _now_ms()

    def restore_network(self) -> int:
        """Put every cable back; returns the UTC milliseconds."""
        for bed in self.beds:
            bed.link.restore()
            bed.board.plug_cable(True)
        return _now_ms()

    async def cut_power(self, bed: Bed, off_s: float, seed: int) -> PowerCut:
        """Cut a gateway's power in the midst of a flash write and give it back after `off_s`."""
        cut_ms = await bed.board.cut_in_mid_write(1, seed)
        await asyncio.sleep(off_s)
        back_ms = _now_ms()
        await bed.board.start()
        await bed.board.wait_for("listening", _READY_S)
        cut = PowerCut(bed.name, cut_ms, back_ms, _now_ms())
        bed.cuts.append(cut)
        return cut

    def still_running(self) -> bool:
        """Return False when the hub or a powered board has died by itself."""
        return self._hub.running and all(bed.board.powered for bed in self.beds)

    # --- ending ---

    async def silence_devices(self) -> None:
        """Unplug every device, between two of its messages."""
        tasks = [task for bed in self.beds for task in bed.devices]
        await end_tasks(tasks)
        for bed in self.beds:
            bed.devices = []
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                raise error

    async def close(self) -> None:
        """Stop every process and task."""
        with contextlib.suppress(Exception):
            await self.silence_devices()
        for bed in self.beds:
            await bed.board.close()
            await bed.link.close()
        await self._hub.close()
        if self._secure:
            await self._secure.stop()


def _now_ms() -> int:
    return round(time.time() * 1000)
