"""Many gateways in memory on a real broker, and what a store must have of them in the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from bridge.core import wire
from bridge.core.journal import layout
from tests.support.hub import FakeGateway, place
from tests.support.hub_process import Client
from vitalkeep.hub.store import Store
from vitalkeep.keys.vault import Vault

_RECEIPT_WAIT_S = 3.5  # after which a gateway asks what a site has, as the firmware does
_BEAT_S = 0.5

Dial = Callable[[str], Client]


class Member:
    """One gateway, its session, and when it was last heard."""

    def __init__(self, gateway: FakeGateway) -> None:
        self.gateway = gateway
        self.client: Client | None = None
        self.dialling: Future[Client] | None = None
        self.beat_s = 0.0
        self.heard_s = time.monotonic()
        self.asked = 0  # times that it had to ask, as nobody told it what is stored
        self.longest_s = 0.0  # between two receipts for bytes
        self.recorded = 0


class Fleet:
    """Gateways that record and deliver.

    dial  dial(client id) opens a session with some server of the broker; raises OSError
    """

    def __init__(self, count: int, vault: Vault, dial: Dial) -> None:
        self.members = []
        self._dial = dial
        # One that waits for a server that is gone holds up no other.
        self._pool = ThreadPoolExecutor(count)
        for number in range(count):
            id = number.to_bytes(2, "big") + b"-fleet"
            gateway = FakeGateway(id, sectors=24, site=vault.site_id)
            vault.add_gateway(id, f"Bed {number}", gateway.root, gateway.log_id)
            self.members.append(Member(gateway))

    def close(self) -> None:
        self._pool.shutdown()
        for member in self.members:
            if member.client is not None:
                member.client.close()

    def record(self) -> None:
        """Let each gateway record one observation."""
        for member in self.members:
            member.recorded += 1
            member.gateway.clock.now_ms += 50
            member.gateway.observe(p1=80 + member.recorded % 20, p2=member.recorded % 300)

    def serve(self, until: Callable[[], bool], seconds: float, every_s: float = 0.0) -> None:
        """Talk to the site until a condition holds; raises TimeoutError.

        every_s  how often each gateway records meanwhile, 0 for never
        """
        deadline = time.monotonic() + seconds
        record_s = 0.0
        while not until():
            now = time.monotonic()
            if now > deadline:
                owing = [m.gateway.id for m in self.members if not self._has_settled(m)]
                raise TimeoutError(f"{len(owing)} gateways are owed receipts: {owing[:3]}")
            if every_s and now > record_s:
                record_s = now + every_s
                self.record()
            for member in self.members:
                try:
                    self._talk(member, now)
                except (OSError, EOFError, AssertionError):
                    # Its server is gone: it tries the next one, as after any lost session.
                    if member.client is not None:
                        member.client.close()
                    member.client = None

    def settled(self) -> bool:
        """True when all that was recorded is receipted."""
        return all(map(self._has_settled, self.members))

    @staticmethod
    def _has_settled(member: Member) -> bool:
        sender = member.gateway.sender
        owed = any(sender.backlog_bytes(cls) for cls in range(len(layout.CLASSES)))
        return sender.ready and not sender.in_flight and not owed

    def _talk(self, member: Member, now: float) -> None:
        gateway = member.gateway
        if member.client is None:
            if member.dialling is None:
                member.dialling = self._pool.submit(self._dial, "vk-" + gateway.id.hex())
            if not member.dialling.done():
                return
            dialled, member.dialling = member.dialling, None
            member.client = dialled.result()
            gateway.connect()
            member.client.subscribe(wire.topic(gateway.id, "receipt"), qos=0)
            member.beat_s = 0.0
        if now > member.beat_s:
            waits = bool(gateway.sender.in_flight) and now - member.heard_s > _RECEIPT_WAIT_S
            member.asked += waits
            gateway.clock.now_ms += 1
            ask = gateway.sender.asks(not waits, gateway.clock.now_ms, 0, os.urandom)
            member.client.publish(*gateway.heartbeat(ask=ask))
            member.beat_s = now + _BEAT_S
        for run in gateway.next_runs():
            member.client.publish(*run)
        for packet in member.client.pump(0.001):
            receipt = gateway.take(packet.payload)
            if receipt.entries or receipt.have:
                member.longest_s = max(member.longest_s, time.monotonic() - member.heard_s)
                member.heard_s = time.monotonic()

    # --- afterwards ---

    def missing(self, store: Store) -> list[str]:
        """Return which bytes of which gateway a store lacks or has otherwise."""
        found = []
        for member in self.members:
            gateway = member.gateway
            for cls in range(len(layout.CLASSES)):
                numbers: Sequence[int] = range(gateway.journal.newest(cls)[0] + 1)
                places = [place(gateway, number, cls) for number in numbers]
                for where, stored in store.load(places).items():
                    if stored is None or stored.data != gateway.sector(cls, where.sector):
                        found.append(str(where))
            if gateway.sender.mismatches:
                found.append(f"{gateway.id!r}: a receipt for other bytes")
        return found
