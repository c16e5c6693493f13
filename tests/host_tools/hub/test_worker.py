"""One worker among others, beat by beat: what it does in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from vitalkeep.hub.consume import COMMON, Publish
from vitalkeep.hub.shares import owner
from vitalkeep.hub.store import Store
from vitalkeep.hub.worker import ClusterSettings, Worker

GATEWAYS = [number.to_bytes(8, "big") for number in range(30)]
TERM_S = 1.0


class Line:
    """A broker's session and a write path in one, which know what was asked of them."""

    def __init__(self) -> None:
        self.connected = True
        self.acknowledges = True
        self.subscribed: set[str] = set(COMMON)
        self.told: list[bytes] = []
        self.settled = 0

    async def follow(self, filters: Sequence[str]) -> bool:
        if self.connected and self.acknowledges:
            self.subscribed = set(filters)
            return True
        return False

    def publish(self, topic: str, payload: bytes) -> bool:
        assert f"vk/{topic}/log/+" in self.subscribed, "told before it is heard"
        self.told.append(bytes.fromhex(topic))
        return True

    async def settle(self) -> None:
        self.settled += 1

    async def adopt(self, gateways: Collection[bytes]) -> list[Publish]:
        return [(gateway.hex(), b"") for gateway in gateways]

    def served(self) -> set[bytes]:
        return {bytes.fromhex(text.split("/")[1]) for text in self.subscribed - set(COMMON)}


class Party:
    """Workers on one database, each with a line of its own."""

    def __init__(self, store: Store, *names: str) -> None:
        self.store = store
        self.workers: dict[str, Worker] = {}
        self.lines: dict[str, Line] = {}
        for name in names:
            self.workers[name] = Worker(
                name, store, lambda: GATEWAYS, ClusterSettings(term_s=TERM_S)
            )
            self.lines[name] = Line()

    async def beat(self, *names: str) -> None:
        for name in names or tuple(self.workers):
            await self.workers[name]._renew(self.lines[name])
            await self.workers[name]._move(self.lines[name], self.lines[name])

    def leases(self) -> dict[bytes, str | None]:
        roll = self.workers["a"].roll
        assert roll is not None
        return {gateway: lease.worker for gateway, lease in roll.leases.items()}


def test_two_share_and_each_tells_only_whom_it_hears(store: Store) -> None:
    party = Party(store, "a", "b")

    async def story() -> None:
        await party.beat("a")
        assert party.lines["a"].served() == set(GATEWAYS)
        assert sorted(party.lines["a"].told) == GATEWAYS
        for _ in range(3):
            await party.beat()
        for name, line in party.lines.items():
            assert line.served() == {g for g in GATEWAYS if owner(g, "ab") == name}
        assert sorted(party.lines["b"].told) == sorted(party.lines["b"].served())

    asyncio.run(story())


def test_a_gateway_is_released_only_when_nothing_of_it_can_come_any_more(store: Store) -> None:
    party = Party(store, "a", "b")

    async def story() -> None:
        await party.beat("a", "b")
        party.lines["a"].acknowledges = False
        await party.beat("a", "b", "a", "b")
        going = {g for g in GATEWAYS if owner(g, "ab") == "b"}
        assert not going & set(party.workers["a"].fences), "it is no longer served"
        assert party.lines["b"].served() == set(), "and not yet another's"
        assert party.lines["a"].settled == 0
        party.lines["a"].acknowledges = True
        await party.beat("a", "b")
        assert party.lines["a"].settled == 1
        assert party.lines["b"].served() == going

    asyncio.run(story())


def test_who_is_deaf_for_a_term_lets_go_and_who_blinks_does_not(store: Store) -> None:
    party = Party(store, "a", "b")

    async def story() -> None:
        for _ in range(3):
            await party.beat()
        before = dict(party.leases())
        party.lines["a"].connected = False
        await party.beat()
        await party.beat()
        assert party.leases() == before
        for _ in range(8):
            await asyncio.sleep(TERM_S / 4)
            await party.beat()
        assert party.workers["a"].fences == {}
        # It cannot unsubscribe, and need not: its session is gone.
        assert party.workers["b"].fences.keys() == set(GATEWAYS)

    asyncio.run(story())


def test_a_commit_that_takes_longer_than_the_term_costs_no_lease(store: Store) -> None:
    party = Party(store, "a", "b")

    async def story() -> None:
        await party.beat("a")
        line, stuck = party.lines["a"], asyncio.Event()

        async def settle() -> None:
            await stuck.wait()

        line.settle = settle  # type: ignore[method-assign]
        runs = asyncio.create_task(party.workers["a"].run(line, line))
        for _ in range(8):
            await asyncio.sleep(TERM_S / 4)
            await party.beat("b")
        roll = party.workers["b"].roll
        assert roll is not None
        assert "a" in roll.workers
        assert party.lines["b"].served() == set(), "its last batch is still on its way"
        stuck.set()
        for _ in range(8):
            await asyncio.sleep(TERM_S / 4)
            await party.beat("b")
        assert party.lines["b"].served() == {g for g in GATEWAYS if owner(g, "ab") == "b"}
        runs.cancel()
        await asyncio.gather(runs, return_exceptions=True)

    asyncio.run(story())


def test_a_newer_process_of_the_name_is_a_reason_to_end(store: Store) -> None:
    party, line = Party(store, "a"), Line()

    async def story() -> None:
        worker = party.workers["a"]
        await party.beat("a")
        newer = Worker("a", store, lambda: GATEWAYS, ClusterSettings(term_s=TERM_S))
        for _ in range(2):
            await newer._renew(line)
            await newer._move(line, line)
        await asyncio.wait_for(worker.run(party.lines["a"], party.lines["a"]), 10)
        assert worker.fault is not None
        assert "has taken over" in worker.fault.message
        assert worker.fences == {}
        assert newer.fences.keys() == set(GATEWAYS)
        await worker.leave()
        assert set(store.renew(newer._member, 1000, True).workers) == {"a"}

    asyncio.run(story())
