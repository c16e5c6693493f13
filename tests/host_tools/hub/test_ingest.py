"""Runs in, appends out: order, doubling, contradiction, forgery."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.core.journal import layout
from tests.support.hub import FakeGateway, Table, place
from vitalkeep.hub import sectors
from vitalkeep.hub.chains import DISTANCE_MAX
from vitalkeep.hub.receipts import entry
from vitalkeep.keys.derive import EPOCHS_MAX


@pytest.fixture(scope="module")
def filled():
    gateway = FakeGateway()
    gateway.fill(3)
    return gateway


def test_whole_sectors_are_stored_proven_and_decoded(filled):
    table = Table(filled)
    for number in range(3):
        table.take(*filled.sector_runs(0, number))
        sector = table.ingest.sector(place(filled, number))
        assert bytes(sector.data) == filled.sector(0, number)
        assert sector.state == sectors.PROVEN
    rows = table.rows["observations"]
    assert [row["mono_ms"] for row in rows] == sorted(row["mono_ms"] for row in rows)
    assert rows[0]["device"] == "vent"
    assert "SpO2" in rows[0]["readings"]
    assert table.rows["events"][0]["name"] == "boot"
    assert not table.rows.get("quarantine")


def test_later_sector_waits_for_the_tag_before_it(filled):
    table = Table(filled)
    table.take(*filled.sector_runs(0, 1))
    assert table.ingest.sector(place(filled, 1)).state == sectors.WHOLE
    batch = table.take(*filled.sector_runs(0, 0))
    assert table.ingest.sector(place(filled, 1)).state == sectors.PROVEN
    assert {change.place.sector: change.state for change in batch.changes} == {
        0: sectors.PROVEN,
        1: sectors.PROVEN,
    }


def test_duplicates_are_receipted_again_and_change_nothing(filled):
    table = Table(filled)
    runs = filled.sector_runs(0, 0)
    table.take(*runs)
    batch = table.take(*runs)
    assert not batch.changes
    assert not batch.rows
    assert list(batch.touched[(filled.id, filled.log_id)]) == [place(filled, 0)]
    assert table.ingest.counters["duplicate"] == len(runs)


def test_run_behind_a_hole_is_held_and_not_receipted(filled):
    table = Table(filled)
    runs = filled.sector_runs(0, 0)
    batch = table.take(*runs[1:])
    assert not batch.touched
    assert not batch.changes
    batch = table.take(runs[0])
    assert table.data[place(filled, 0)] == filled.sector(0, 0)
    assert list(batch.touched[(filled.id, filled.log_id)]) == [place(filled, 0)]


def test_contradiction_is_quarantined_and_changes_nothing(filled):
    table = Table(filled)
    data = filled.sector(0, 0)
    table.take(filled.run(0, 0, 0, data[:600]))
    other = bytes([data[599] ^ 1])
    batch = table.take(filled.run(0, 0, 599, other + data[600:700]))
    assert not batch.changes
    assert not batch.touched
    assert batch.rows["quarantine"][0]["reason"] == "conflict"
    assert table.ingest.counters["conflict"] == 1
    assert table.data[place(filled, 0)] == data[:600]


def test_released_mark_never_contradicts(filled):
    table = Table(filled)
    data = bytearray(filled.sector(0, 0)[:100])
    table.take(filled.run(0, 0, 0, bytes(data)))
    data[layout.RELEASED_AT] = 0
    table.take(filled.run(0, 0, 0, bytes(data)))
    assert table.ingest.counters["conflict"] == 0
    assert table.ingest.counters["duplicate"] == 1


def test_header_of_another_position_is_refused(filled):
    table = Table(filled)
    batch = table.take(filled.run(0, 7, 0, filled.sector(0, 0)[:200]))
    assert not batch.changes
    assert batch.rows["quarantine"][0]["reason"] == "wrong_header"


def test_seal_that_does_not_fit_is_kept_named_and_gives_way_to_a_true_one(filled):
    table = Table(filled)
    where = place(filled, 0)
    runs = filled.sector_runs(0, 0)
    seal = bytearray(filled.sector(0, 0)[layout.SEAL_AT :])
    end = layout.parse_seal(seal, 0)[0]
    forged = bytes(layout.pack_seal(end, b"\x55" * 16))
    batch = table.take(*runs[:-1], filled.run(0, 0, layout.SEAL_AT, forged))
    assert batch.rows["quarantine"][0]["reason"] == "seal_mismatch"
    assert batch.alarms == [(filled.id, f"{where} offset {layout.SEAL_AT}: seal mismatch")]
    assert table.ingest.sector(where).state == sectors.BROKEN
    assert table.data[where][layout.SEAL_AT :] == forged
    # A second one that does not fit is refused, the true one settles it.
    other = bytes(layout.pack_seal(end, b"\xaa" * 16))
    batch = table.take(filled.run(0, 0, layout.SEAL_AT, other))
    assert batch.rows["quarantine"][0]["reason"] == "conflict"
    table.take(runs[-1])
    assert table.ingest.sector(where).state == sectors.PROVEN
    assert table.data[where] == filled.sector(0, 0)
    assert table.ingest.counters["seal_mismatch"] == 1


@pytest.mark.parametrize(
    ("number", "epoch", "first", "reason"),
    [
        (DISTANCE_MAX, 0, 0, None),
        (DISTANCE_MAX + 1, 0, 0, "too_far_ahead"),
        (2**32 - 1, 0, 0, "too_far_ahead"),
        (2**32 - 1, 8, 0, "too_far_ahead"),
        (5, 0, 5, "wrong_epoch"),
        (5, 1, 6, "wrong_epoch"),
        (5, EPOCHS_MAX + 1, 5, "wrong_epoch"),
    ],
)
def test_what_a_header_claims_is_bounded(filled, number, epoch, first, reason):
    table = Table(filled)
    claim = (0, filled.id, filled.log_id, number, epoch, first, 1, 7, 0, 0, 0)
    header = bytes(layout.Header(*claim).pack(bytes(16)))
    # No commit follows, so nothing has to be derived yet for the claim that is let through.
    batch = table.take(filled.run(0, number, 0, header))
    found = [row["reason"] for row in batch.rows.get("quarantine", [])]
    assert found == ([reason] if reason else [])
    assert bool(table.data) == (reason is None)


def test_log_that_was_never_provisioned_is_refused(filled):
    table = Table(filled)
    known, filled.log_id = filled.log_id, b"another1"
    try:
        batch = table.take(filled.run(0, 0, 0, b"\x00"))
    finally:
        filled.log_id = known
    assert batch.is_empty()
    assert table.ingest.counters["unknown_log"] == 1


def test_bad_input_is_named_and_counted(filled):
    table = Table(filled)
    topic, payload = filled.sector_runs(0, 0)[0]
    table.take((topic, payload[:-1] + bytes([payload[-1] ^ 1])))
    table.take((topic, payload[:20]))
    table.take((topic.replace("log/A", "log/B"), payload))
    table.take(("vk/" + "ab" * 8 + "/log/A", payload))
    table.take(("vk/nobody/log/A", payload))
    assert dict(table.ingest.counters) == {"wrong_tag": 2, "malformed": 2, "unknown_gateway": 1}
    assert table.ingest.payloads.strangers == {"ab" * 8: 1}
    assert not table.data


def test_pending_bytes_are_bounded(filled):
    table = Table(filled)
    for at in range(100, 4000, 3):
        table.take(filled.run(0, 0, at, bytes(1000 if at < 3000 else 20)))
    pending = table.ingest.sector(place(filled, 0)).pending
    assert sum(len(data) for _, data, _ in pending) <= sectors.PENDING_BYTES_MAX
    assert table.ingest.counters["pending_full"]


def test_state_of_a_reloaded_sector_decodes_what_follows(filled):
    """A hub that restarts in the middle of a sector goes on decoding without repeating."""
    runs = filled.sector_runs(0, 0, 300)
    whole = Table(filled)
    at_once = whole.take(*runs)
    first = Table(filled)
    first.take(*runs[:4])
    second = Table(filled)
    stored = first.data[place(filled, 0)]
    for near in second.ingest.missing([place(filled, 0)]):
        decoded = first.ingest.sector(place(filled, 0)).decoded
        known = sectors.Stored(stored, sectors.OPEN, decoded) if near.sector == 0 else None
        second.ingest.load(near, known)
    second.data[place(filled, 0)] = stored
    then = second.take(*runs[4:])
    rows = first.rows["observations"] + second.rows["observations"]
    assert rows == whole.rows["observations"]
    assert then.changes[0].spans == at_once.changes[0].spans != "{}"


def _cuts(draw, end):
    cuts = draw(st.lists(st.integers(1, end - 1), max_size=12, unique=True))
    edges = [0, *sorted(cuts), end]
    pieces = []
    for start, stop in pairwise(edges):
        for at in range(start, stop, 1024):
            pieces.append((at, min(stop, at + 1024)))
    return pieces


@st.composite
def journeys(draw, end):
    """Runs of a sector, cut anywhere, some twice, some overlapping, in any order."""
    pieces = _cuts(draw, end)
    pieces += draw(st.lists(st.sampled_from(pieces), max_size=4))
    for at in draw(st.lists(st.integers(0, end - 2), max_size=3)):
        pieces.append((at, min(end, at + draw(st.integers(1, 1024)))))
    seal = (layout.SEAL_AT, layout.SECTOR_SIZE)
    return draw(st.permutations([*pieces, seal])), draw(st.integers(1, 5))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_journey_ends_in_the_same_bytes_and_receipts(filled, data):
    sector = filled.sector(0, 0)
    end = layout.parse_seal(sector)[0]
    order, size = data.draw(journeys(end))
    table = Table(filled)
    messages = [filled.run(0, 0, a, sector[a:b]) for a, b in order]
    for at in range(0, len(messages), size):
        table.take(*messages[at : at + size])
    # A gateway sends again what was not receipted, in order.
    table.take(*filled.sector_runs(0, 0))
    found = table.ingest.sector(place(filled, 0))
    assert table.data[place(filled, 0)] == sector
    assert found.state == sectors.PROVEN
    direct = Table(filled)
    direct.take(*filled.sector_runs(0, 0))
    assert entry(found) == entry(direct.ingest.sector(place(filled, 0)))
    assert table.rows == direct.rows


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_flipped_bit_changes_nothing(filled, data):
    messages = filled.sector_runs(0, 0)
    topic, payload = data.draw(st.sampled_from(messages))
    bit = data.draw(st.integers(0, 8 * len(payload) - 1))
    forged = bytearray(payload)
    forged[bit // 8] ^= 1 << bit % 8
    table = Table(filled)
    batch = table.take((topic, bytes(forged)))
    assert batch.is_empty()
    assert not batch.touched
    assert table.ingest.counters["wrong_tag"] + table.ingest.counters["malformed"] == 1


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=200), st.sampled_from(["log/A", "log/C", "health", "state", "x"]))
def test_garbage_never_raises(filled, payload, leaf):
    table = Table(filled)
    table.take((f"vk/{filled.id.hex()}/{leaf}", payload))
    assert not table.data
