"""Days until full: from what the store took lately."""

import pytest

from vitalkeep.hub.forecast import RoomSettings, forecast, free_bytes
from vitalkeep.hub.sectors import DAY_MS

GB = 10**9


def rows(*found):
    """Return rows of `usage` from (day, size in GB, bytes of A, B and C)."""
    return [
        {"at_ms": int(day * DAY_MS), "size_bytes": int(size * GB)}
        | {"bytes_a": a, "bytes_b": b, "bytes_c": c}
        for day, size, a, b, c in found
    ]


def test_days_come_from_growth_and_room():
    room = forecast(
        rows((0, 10, 9, 9, 9), (1, 11, 6, 3, 1), (2, 12, 6, 3, 1)), 12 * GB, 30 * GB, 0
    )
    assert room.day_bytes == GB
    assert room.days == 30
    assert room.by_class == {"A": 6 * GB // 10, "B": 3 * GB // 10, "C": GB // 10}
    assert not room.is_full


def test_nothing_is_said_before_anything_is_known():
    assert forecast([], GB, GB, 0).days is None
    assert forecast(rows((0, 1, 0, 0, 0)), GB, GB, 0).days is None
    assert forecast(rows((0, 1, 0, 0, 0), (0.001, 2, 1, 0, 0)), GB, GB, 0).days is None


def test_a_store_that_shrinks_or_rests_is_never_full():
    room = forecast(rows((0, 5, 0, 0, 0), (1, 4, 1, 0, 0)), 4 * GB, GB, 0)
    assert (room.day_bytes, room.days) == (0, None)


def test_the_reserve_makes_it_full():
    assert forecast([], GB, 99, 100).is_full
    assert not forecast([], GB, None, 100).is_full


def test_quota_and_disk_whichever_is_less():
    assert free_bytes(RoomSettings(), GB, None) is None
    assert free_bytes(RoomSettings(), GB, 5) == 5
    assert free_bytes(RoomSettings(quota_gb=3), GB, None) == 2 * GB
    assert free_bytes(RoomSettings(quota_gb=0.5), GB, 5) == 0


def test_store_keeps_what_each_hub_noted(store):
    for worker in (b"worker-1", b"worker-2"):
        row = {"worker": worker, "size_bytes": 7, "bytes_a": 1, "bytes_b": 2, "bytes_c": 3}
        store.add_usage(row | {"at_ms": 1000}, 0)
        store.add_usage(row | {"at_ms": 2000}, 1500)
    assert [row["at_ms"] for row in store.usage(0, 2000)] == [2000, 2000]
    # One whose clock was far ahead: what it noted is nobody's growth before that time.
    store.add_usage(row | {"at_ms": 9000}, 1500)
    assert [row["at_ms"] for row in store.usage(0, 3000)] == [2000, 2000]
    assert store.size() > 0
    assert (store.free() is None) == (store.kind == "postgresql")


def test_pulse_is_a_write_and_notices_another_release(store):
    from vitalkeep.hub.store import StoreError

    store.pulse()
    store.pulse()
    assert store.count("meta") >= 2
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="restart"):
        store.pulse()
