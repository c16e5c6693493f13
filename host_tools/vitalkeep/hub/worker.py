"""This hub among the workers of its site: which gateways it serves, from when on, and until when.

Messages go to whoever subscribes, and each worker subscribes to the gateways whose leases it
holds: that works on every broker. A gateway that changes hands loses nothing on the way: the old
worker lets go of what it has not committed, the new one says at once what is stored, and the
gateway goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from vitalkeep.errors import ToolError
from vitalkeep.hub.consume import COMMON, Publish
from vitalkeep.hub.elapsed import elapsed_s
from vitalkeep.hub.shares import plan
from vitalkeep.hub.store import StoreError, SupersededError
from vitalkeep.hub.store.leases import Leases, Member, Roll
from vitalkeep.settings.fields import setting

log = logging.getLogger(__name__)

_BEATS = 5  # in a term
_ADOPTED_AT_ONCE = 20  # gateways told in one go; between two, messages have their turn

T = TypeVar("T")


@dataclass(frozen=True)
class ClusterSettings:
    """Hubs that share the gateways of one PostgreSQL database and one broker."""

    worker: str | None = setting(
        None, "Name of this hub among the others. Default: machine and data folder.",
        example="hub-a",
    )  # fmt: skip
    term_s: float = setting(
        5.0, "A hub that is not heard of for so long has lost its gateways.", low=1.0, high=300.0
    )


class Session(Protocol):
    """The consumer, as far as a worker needs it."""

    @property
    def connected(self) -> bool: ...
    async def follow(self, filters: Sequence[str]) -> bool: ...
    def publish(self, topic: str, payload: bytes) -> bool: ...


class Desk(Protocol):
    """The write path, as far as a worker needs it."""

    async def settle(self) -> None: ...
    async def adopt(self, gateways: Collection[bytes]) -> list[Publish]: ...


class Worker:
    """One process of a site's hub.

    name      of this worker; a process that starts under the name of another takes its place
    gateways  returns those of the vault
    fences    gateways that it serves, and under which fence number
    roll      who is there, as the database said last; None before
    fault     why it must end, None while it may go on
    """

    def __init__(
        self,
        name: str,
        store: Leases,
        gateways: Callable[[], Iterable[bytes]],
        terms: ClusterSettings | None = None,
    ) -> None:
        self.name = name
        self.fences: dict[bytes, int] = {}
        self.roll: Roll | None = None
        self.fault: ToolError | None = None
        self.lost = 0  # gateways that others took while this worker thought it had them
        self._store = store
        self._gateways = gateways
        self._terms = terms or ClusterSettings()
        self._member: Member | None = None
        self._fresh: set[bytes] = set()  # served, and not yet told so
        self._leaving: dict[bytes, int] = {}  # no longer served, and not yet released
        self._heard_s = float("-inf")

    # --- what the write path asks ---

    def serves(self, gateway: bytes) -> bool:
        return gateway in self.fences

    def drop(self, gateways: Iterable[bytes]) -> None:
        """Forget gateways that another worker has by now."""
        for gateway in gateways:
            if self.fences.pop(gateway, None) is not None:
                self.lost += 1
                self._fresh.discard(gateway)

    # --- running ---

    async def run(self, session: Session, desk: Desk) -> None:
        """Take part for ever; returns when `fault` says why not."""
        moving: asyncio.Task[None] | None = None
        try:
            while True:
                try:
                    await self._renew(session)
                    if moving is not None and moving.done():
                        done, moving = moving, None
                        done.result()
                    if moving is None:
                        # Beside the renewals: a slow commit must not cost the leases.
                        moving = asyncio.create_task(self._move(session, desk))
                except SupersededError:
                    self.fences.clear()
                    self.fault = ToolError(
                        f"another hub runs as worker {self.name} and has taken over",
                        "Stop one of the two, or give each a name of its own: --worker NAME.",
                    )
                    return
                except StoreError as error:
                    log.warning("leases: %s", error)
                except OSError as error:
                    log.warning("subscriptions: %s", error)
                await asyncio.sleep(self._terms.term_s / _BEATS)
        finally:
            if moving is not None:
                moving.cancel()

    async def leave(self) -> None:
        """Let everything go, so that others need not wait for the term to end."""
        member, self._member = self._member, None
        self.fences.clear()
        if member is not None:
            try:
                await self._ask(partial(self._store.leave, member))
            except StoreError as error:
                log.warning("leases: %s", error)

    async def _renew(self, session: Session) -> None:
        if self._member is None:
            self._member = await self._ask(partial(self._store.join, self.name, self._term_ms))
        if session.connected:
            self._heard_s = elapsed_s()
        # A broker that is back within the term costs nobody a move.
        able = elapsed_s() - self._heard_s < self._terms.term_s
        member = self._member
        renew = partial(self._store.renew, member, self._term_ms, able)
        self.roll = roll = await self._ask(renew)
        self._compare(roll)
        await self._change(roll, member)

    async def _move(self, session: Session, desk: Desk) -> None:
        """Subscribe to what is served, release what is not, greet what is new."""
        member, leaving, served = self._member, dict(self._leaving), set(self.fences)
        assert member is not None
        subscribed = await session.follow(_filters(served))
        if leaving and (subscribed or not session.connected):
            # Nothing of these can come any more; what came is committed, or dropped.
            await desk.settle()
            await self._ask(partial(self._store.release, member, leaving))
            for gateway in leaving:
                self._leaving.pop(gateway, None)
        while subscribed and (some := sorted(self._fresh & served)[:_ADOPTED_AT_ONCE]):
            # Each is said what is stored; what it sent since, to whom ever, comes again.
            for topic, payload in await desk.adopt(some):
                session.publish(topic, payload)
            self._fresh.difference_update(some)

    def _compare(self, roll: Roll) -> None:
        """Follow what the database says of our gateways."""
        held = {g: lease.fence for g, lease in roll.leases.items() if lease.worker == self.name}
        self.drop([g for g, fence in self.fences.items() if held.get(g) != fence])
        for gateway, fence in held.items():
            if gateway not in self.fences and gateway not in self._leaving:
                self.fences[gateway] = fence
                self._fresh.add(gateway)

    async def _change(self, roll: Roll, member: Member) -> None:
        able = [worker.name for worker in roll.workers.values() if worker.able]
        holders = {gateway: lease.worker for gateway, lease in roll.leases.items()}
        found = plan(self.name, able, roll.workers, self._gateways(), holders)
        for gateway in found.release & set(self.fences):
            self._leaving[gateway] = self.fences.pop(gateway)
            self._fresh.discard(gateway)
        if found.claim:
            claimed = await self._ask(partial(self._store.claim, member, found.claim))
            self.fences |= claimed
            self._fresh |= set(claimed)

    @property
    def _term_ms(self) -> int:
        return int(self._terms.term_s * 1000)

    async def _ask(self, job: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(None, job)

    def shown(self) -> dict[str, Any]:
        """Return what /api/health says of the workers."""
        roll = self.roll
        counts: dict[str, int] = {}
        for lease in roll.leases.values() if roll else ():
            counts[lease.worker or ""] = counts.get(lease.worker or "", 0) + 1
        unserved = counts.pop("", 0)
        workers = {
            name: {"able": worker.able, "gateways": counts.get(name, 0)}
            for name, worker in (roll.workers.items() if roll else ())
        }
        return {
            "worker": self.name,
            "gateways": len(self.fences),
            "lost": self.lost,
            "unserved": unserved,
            "workers": workers,
        }


def _filters(gateways: Iterable[bytes]) -> list[str]:
    return [*COMMON, *(f"vk/{gateway.hex()}/log/+" for gateway in sorted(gateways))]
