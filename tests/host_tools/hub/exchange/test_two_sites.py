"""Real hubs, real TLS: what one site got, both have, prove and count; whoever is killed."""

import signal
import time

import pytest
import sqlalchemy as sa

from tests.support.hub import FakeGateway
from tests.support.sites import Ward, deliver, exchange_of, peer_of, recorded, stored, wait_for
from vitalkeep.hub.exchange import days
from vitalkeep.hub.exchange.ranges import Ranges
from vitalkeep.hub.sectors import OPEN, PROVEN
from vitalkeep.hub.store import tables

DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def gateway():
    return recorded()


def same(*stores):
    found = [stored(store) for store in stores]
    return bool(found[0]) and all(one == found[0] for one in found)


def proved(hub, name):
    return {cls: found["proved"] for cls, found in peer_of(hub, name)["classes"].items()}


def collect(online, told):
    """Note which sectors were receipted as more than one copy; returns how many."""
    for receipt in online.receipts:
        if receipt.copies > 1:
            for cls, number, length, _ in receipt.entries:
                assert length == 4096
                told[cls, number] = receipt.copies
    return len(told)


def test_what_one_site_got_both_have_prove_and_count(tmp_path, gateway):
    ward = Ward(tmp_path, [gateway], "east west")
    with ward.hub("east") as east, ward.hub("west") as west:
        online = deliver(gateway, east)
        a, b = ward.store("east"), ward.store("west")
        wait_for(lambda: same(a, b), lambda: (exchange_of(east), exchange_of(west)))
        found = stored(b)
        assert [s.state for p, s in sorted(found.items()) if p.cls == 0] == [PROVEN] * 4 + [OPEN]
        # What was receipted as one copy is receipted as two once it was read back over there.
        told = {}
        online.talk(lambda: collect(online, told) >= 5, 60)
        assert set(told.values()) == {2}
        assert proved(east, "west") == {"A": 4, "B": 1, "C": 0}
        assert peer_of(west, "east")["classes"]["A"]["missing"] == 0
        # A gateway that comes anew is told of all at once, in maps.
        online.receipts.clear()
        gateway.connect()
        online.talk(lambda: any(r.copies > 1 and r.maps for r in online.receipts), 60)
        assert [gateway.sender.copies(0, number) for number in range(5)] == [2] * 4 + [0]
        assert gateway.sender.copies(1, 0) == 2
        # What is live follows within seconds.
        gateway.observe(0, p1=1)
        began = time.monotonic()
        before = stored(b)
        online.talk(lambda: stored(b) != before, 60)
        print(f"class A at the other site after {time.monotonic() - began:.1f} s")
        a.close()
        b.close()


def test_killed_hubs_and_a_lost_store_end_with_the_same_at_three_sites(tmp_path, gateway):
    ward = Ward(tmp_path, [gateway], "east west north", "rate_kb_s = 10")
    with ward.hub("east") as east:
        deliver(gateway, east)
        with ward.hub("west") as west, ward.hub("north") as north:
            b = ward.store("west")
            wait_for(lambda: len(stored(b)) >= 2)  # in the midst of it
            west.stop(signal.SIGKILL)
            b.close()
            north.stop(signal.SIGKILL)
            east.stop(signal.SIGKILL)
    with ward.hub("east") as east, ward.hub("west"), ward.hub("north") as north:
        stores = [ward.store(name) for name in ward.names]
        wait_for(lambda: same(*stores), lambda: exchange_of(north))
        wait_for(lambda: proved(east, "west")["A"] == proved(east, "north")["A"] == 4)
        for store in stores:
            store.close()
        north.stop(signal.SIGKILL)
        ward.wipe("north")
        with ward.hub("north") as north:
            a, c = ward.store("east"), ward.store("north")
            wait_for(lambda: same(a, c), lambda: exchange_of(north))
            wait_for(lambda: peer_of(east, "north")["counters"].get("renewed"))
            wait_for(lambda: proved(east, "north")["A"] == 4)
            c.close()
        a.close()


def test_each_day_is_signed_by_both_and_nobody_changes_it(tmp_path, gateway):
    ward = Ward(tmp_path, [gateway], "east west")
    for name in ward.names:
        ward.record(name, gateway)  # before the hubs first exchange: yesterday
        store = ward.store(name)
        with store.writing() as connection:
            connection.execute(
                sa.update(tables.sectors).values(stored_ms=tables.sectors.c.stored_ms - DAY_MS)
            )
        store.close()
    with ward.hub("east") as east, ward.hub("west") as west:
        for hub in (east, west):
            signed = wait_for(lambda hub=hub: list(exchange_of(hub)["days"].values()))
            wait_for(
                lambda hub=hub: (
                    list(exchange_of(hub)["days"].values()) == [["hub-east", "hub-west"]]
                ),
                lambda signed=signed: signed,
            )
    store = ward.store("west")
    rows = store.days()
    assert len(rows) == 2  # its own day, and the other site's that it signed
    held = {}
    for stream, first, last in store.sealed_ranges():
        held.setdefault(stream, Ranges()).add(first, last)
    assert sum(map(len, held.values())) == 5

    def check(document, signatures):
        return days.check_day(
            document,
            signatures,
            ward.authority.certificate,
            lambda stream: held.get(stream, Ranges()),
            store.seals,
        )

    for row in rows:
        document = bytes(row["document"])
        assert sum(s.last - s.first + 1 for s in days.parse_day(document).spans) == 5
        assert check(document, row["signatures"]) == []
        assert "alone" in check(document, row["signatures"][:1])[0]
        assert "does not fit" in check(document + b" ", row["signatures"])[0]
    with store.writing() as connection:
        changed = sa.update(tables.sectors).values(data=b"\0" * 4096)
        connection.execute(changed.where(tables.sectors.c.sector == 3))
        gone = sa.update(tables.sectors).where(tables.sectors.c.sector == 3)
    assert "other seals" in check(bytes(rows[0]["document"]), rows[0]["signatures"])[0]
    with store.writing() as connection:
        connection.execute(gone.values(state=OPEN))
    held.clear()
    for stream, first, last in store.sealed_ranges():
        held.setdefault(stream, Ranges()).add(first, last)
    found = check(bytes(rows[0]["document"]), rows[0]["signatures"])
    assert "sectors that were sealed then are not here" in found[0]
    store.close()


def test_each_site_knows_what_the_other_heard_and_whether_it_answers(tmp_path, gateway):
    ward = Ward(tmp_path, [gateway], "east west")
    with ward.hub("east") as east:
        online = deliver(gateway, east)
        gateway.fill(7)

        def says_how_far_it_is():
            online.beat()  # and delivers nothing any more
            online.client.pump(1)
            return ward.heads("east")[0]["fields"]["heads"]["0"][1] == 7

        wait_for(says_how_far_it_is)

        def told(word):
            return any(word in line["text"] for line in east.get("/api/ward")["story"])

        wait_for(lambda: told("hub-west does not answer"))
        with ward.hub("west") as west:
            wait_for(lambda: told("hub-west answers again"))
            wait_for(lambda: exchange_of(west)["unknown"]["A"] == 3)
            store = ward.store("west")
            (row,) = store.witnesses()
            assert bytes(row["gateway"]) == gateway.id
            store.close()


def test_site_that_loses_sectors_of_a_store_is_found_out(tmp_path, gateway):
    ward = Ward(tmp_path, [gateway], "east west")
    with ward.hub("east") as east:
        deliver(gateway, east)
        with ward.hub("west"):
            wait_for(lambda: proved(east, "west")["A"] == 4)
        store = ward.store("west")
        with store.writing() as connection:
            connection.execute(sa.delete(tables.sectors).where(tables.sectors.c.sector >= 2))
        store.close()
        ward.configure("west", ["east"], deaf=True)
        with ward.hub("west"):
            wait_for(lambda: peer_of(east, "west")["counters"].get("lost"))
            assert proved(east, "west")["A"] == 2
        ward.configure("west", ["east"])
        with ward.hub("west"):
            # It fills up again, and proves it.
            wait_for(lambda: proved(east, "west")["A"] == 4)
            story = [line["text"] for line in east.get("/api/ward")["story"]]
            assert any("no longer has" in text for text in story)


def test_bandwidth_is_kept(tmp_path):
    gateway = FakeGateway(sectors=30)
    gateway.fill(10)
    ward = Ward(tmp_path, [gateway], "east west", "rate_kb_s = 5")
    ward.record("east", gateway)
    with ward.hub("east"), ward.hub("west") as west:
        began = time.monotonic()
        store = ward.store("west")
        wait_for(lambda: len(stored(store)) >= 10, lambda: exchange_of(west))
        took = time.monotonic() - began
        store.close()
        size = peer_of(west, "east")["counters"]["bytes"]
        print(f"{size} bytes in {took:.1f} s")
        # The burst goes at once; what is over it takes its time.
        assert (size - 16 * 1024) / 5_000 < took + 1


def test_hub_of_the_same_site_is_no_second_site(tmp_path, gateway):
    ward = Ward(tmp_path, [gateway], "east west")
    vault = (tmp_path / "east" / "vault" / "vault.json").read_bytes()
    (tmp_path / "west" / "vault" / "vault.json").write_bytes(vault)
    with ward.hub("east") as east, ward.hub("west"):
        wait_for(lambda: "this very site" in peer_of(east, "west")["last_error"])
