"""Leases on both databases: fences rise, who lost one changes nothing, one clock rules."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from tests.support.hub import FakeGateway, WritePath, converse
from vitalkeep.hub.batch import Batch
from vitalkeep.hub.consume import Message
from vitalkeep.hub.intake import Intake
from vitalkeep.hub.jobs.decoding import Decoding
from vitalkeep.hub.late import Decoders
from vitalkeep.hub.store import FencedError, Store, SupersededError
from vitalkeep.hub.store.leases import check_fences, leases, workers
from vitalkeep.hub.ward import Ward
from vitalkeep.hub.worker import Worker

A, B, C = (bytes([n]) * 8 for n in range(3))
LONG_MS, GONE_MS = 60_000, -1


def story(*gateways: bytes) -> Batch:
    batch = Batch(1000)
    for gateway in gateways:
        row = {"at_ms": 1, "gateway": gateway, "tone": "info", "text": "here"}
        batch.story.append(row)
    return batch


def expire(store: Store, name: str) -> None:
    with store.writing() as connection:
        connection.execute(sa.update(workers).where(workers.c.name == name).values(until_ms=1))


def test_a_gateway_has_one_worker_and_its_fence_rises_with_each(store: Store) -> None:
    one, two = store.join("one", LONG_MS), store.join("two", LONG_MS)
    assert store.claim(one, [A, B]) == {A: 1, B: 1}
    assert store.claim(two, [A, B, C]) == {C: 1}
    store.release(one, {A: 1})
    assert store.claim(two, [A, B]) == {A: 2}
    roll = store.renew(one, LONG_MS, True)
    assert {gateway: lease.worker for gateway, lease in roll.leases.items()} == {
        A: "two",
        B: "one",
        C: "two",
    }
    assert roll.workers["one"].able
    assert not roll.workers["two"].able


def test_a_worker_that_slept_through_its_lease_can_change_nothing(store: Store) -> None:
    one, two = store.join("one", LONG_MS), store.join("two", LONG_MS)
    fences = store.claim(one, [A, B])
    expire(store, "one")
    assert store.claim(one, [C]) == {}, "it is not believed to live"
    assert store.claim(two, [A]) == {A: 2}
    batch = replace(story(A, B), worker="one", fences=fences)
    with pytest.raises(FencedError) as found:
        store.commit(batch)
    assert found.value.gateways == {A}
    assert store.count("story") == 0
    store.release(one, {A: 1})
    assert store.renew(two, LONG_MS, True).leases[A].worker == "two"
    store.commit(replace(story(B), worker="one", fences={B: 1}))
    assert store.count("story") == 1, "nobody took it: it is still its own"


def test_a_second_process_of_a_name_has_its_gateways_at_once(store: Store) -> None:
    first = store.join("one", LONG_MS)
    assert store.claim(first, [A]) == {A: 1}
    second = store.join("one", LONG_MS)
    assert store.renew(second, LONG_MS, True).leases[A].fence == 2
    with pytest.raises(SupersededError):
        store.renew(first, LONG_MS, True)
    with pytest.raises(FencedError):
        store.commit(replace(story(A), worker="one", fences={A: 1}))
    store.leave(first)
    assert store.renew(second, LONG_MS, True).leases[A].worker == "one"


def test_whoever_leaves_leaves_nothing_behind(store: Store) -> None:
    one, two = store.join("one", LONG_MS), store.join("two", LONG_MS)
    store.claim(one, [A, B])
    store.leave(one)
    assert "one" not in store.renew(two, LONG_MS, True).workers
    assert store.claim(two, [A, B]) == {A: 2, B: 2}


def test_time_is_the_databases(store: Store) -> None:
    gone = store.join("gone", GONE_MS)
    here = store.join("here", LONG_MS)
    assert set(store.renew(here, LONG_MS, True).workers) == {"here"}
    assert set(store.renew(gone, LONG_MS, True).workers) == {"gone", "here"}


def test_many_who_claim_at_once_share_and_nobody_has_one_twice(store: Store) -> None:
    gateways = [number.to_bytes(8, "big") for number in range(60)]
    members = [store.join(f"w{number}", LONG_MS) for number in range(4)]
    taken: dict[str, dict[bytes, int]] = {}

    def run(number: int) -> None:
        other = Store(database_url(store))
        try:
            taken[members[number].name] = other.claim(members[number], gateways)
        finally:
            other.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [gateway for found in taken.values() for gateway in found]
    assert sorted(everything) == gateways


def database_url(store: Store) -> str:
    return store.writer.url.render_as_string(hide_password=False)


def test_nobody_takes_a_gateway_while_a_commit_under_its_fence_is_on_its_way(
    store: Store,
) -> None:
    one, two = store.join("one", LONG_MS), store.join("two", LONG_MS)
    fences = store.claim(one, [A])
    expire(store, "one")
    order: list[str] = []

    def steal() -> None:
        other = Store(database_url(store))
        try:
            other.claim(two, [A])
            order.append("taken")
        finally:
            other.close()

    thread = threading.Thread(target=steal)
    with store.writing() as connection:
        check_fences(connection, "one", fences)
        thread.start()
        thread.join(0.3)
        order.append("committed")
    thread.join()
    assert order == ["committed", "taken"]


def test_a_commit_that_meets_a_claim_on_its_way_waits_and_is_undone(store: Store) -> None:
    one = store.join("one", LONG_MS)
    batch = replace(story(A), worker="one", fences=store.claim(one, [A]))
    found: list[str] = []

    def commit() -> None:
        other = Store(database_url(store))
        try:
            other.commit(batch)
            found.append("committed")
        except FencedError:
            found.append("fenced")
        finally:
            other.close()

    thread = threading.Thread(target=commit)
    with store.writing() as connection:
        connection.execute(sa.update(leases).values(worker="two", fence=leases.c.fence + 1))
        thread.start()
        thread.join(0.3)
        assert found == []
    thread.join()
    assert found == ["fenced"]
    assert store.count("story") == 0


def test_what_is_decoded_late_is_fenced_as_what_comes_live(vault, store: Store) -> None:
    gateway = FakeGateway()
    gateway.fill(2)
    one, two = store.join("one", LONG_MS), store.join("two", LONG_MS)
    worker = Worker("one", store, lambda: [gateway.id])
    worker.fences = store.claim(one, [gateway.id])
    intake = Intake(vault, store, Ward(vault.gateways()), worker)
    try:
        backlog = (gateway.heartbeat(), *gateway.sector_runs(0, 0))
        asyncio.run(intake.handle([Message(*message) for message in backlog]))
        assert store.count("observations") == 0
        decoding = Decoding(store, intake, lambda _: ThreadPoolExecutor(1))
        (task,) = asyncio.run(decoding._next())
        late = Decoders().decode(task, 1000)
        expire(store, "one")
        assert store.claim(two, [gateway.id]) == {gateway.id: 2}
        with pytest.raises(FencedError):
            store.commit_late([late], worker="one", fences=worker.fences)
        asyncio.run(intake.write_late([late._replace(error="it makes no sense")]))
        assert store.count("observations") == 0
        assert worker.fences == {}
        assert intake.ingest.counters["fenced"] == 1
        assert intake.ingest.counters["undecodable"] == 0
        assert store.commit_late([late], worker="two", fences={gateway.id: 2}) == [late]
        assert store.count("observations") > 0
    finally:
        intake.close()


def test_a_batch_names_all_gateways_that_it_touches(vault, store: Store) -> None:
    gateway = FakeGateway()
    path = WritePath(vault, store)
    seen: list[set[bytes]] = []
    commit = store.commit

    def watch(batch: Batch) -> None:
        seen.append(batch.gateways())
        commit(batch)

    store.commit = watch  # type: ignore[method-assign]
    try:
        gateway.observe()
        converse(path, gateway)
    finally:
        path.intake.close()
    assert set().union(*seen) == {gateway.id}
