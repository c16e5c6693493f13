"""The whole firmware in memory on 32 bits: it fits, and a day of flapping adds nothing."""

import pytest

from hil.bench import heap

_NOISE = 512  # bytes: how much is alive at an hour's end depends on what waits just then
_SETTLED = 8  # hours: by then every counter and every shape of record has come once


@pytest.mark.micropython32
def test_what_the_gateway_keeps_fits_its_budget() -> None:
    found = heap.measure(seconds=15)
    said = found.found
    assert said["control"] == 1024  # the meter sees 1000 bytes, in blocks of 16
    assert said["counters"] == {"link_changes": 1}, "something went wrong in the ward"
    for site in said["sites"]:
        assert site["statuses"] > 5
        assert site["runs"] > 5
    assert all(count > 3 for count in said["said"]), "a device was silent"
    assert 20000 < found.data < heap.DATA_MAX
    assert found.data < found.peak < 2 * heap.DATA_MAX, found.peak
    # What frozen code still takes is a part of what it takes when loaded.
    assert 0 < found.frozen < found.code / 3
    assert "bridge.core.codes" not in found.modules, "names of parameters are the hub's"
    assert {figure.name for figure in heap.figures(found)} >= {"uplink.heap_bytes"}


@pytest.mark.micropython32
def test_a_day_of_flapping_leaves_nothing_behind() -> None:
    day = heap.flap(hours=24, flaps=1, flap_s=3)
    assert min(day["sessions"]) > 8
    assert all(sector[0] >= 20 for sector in day["stored"]), "the log did not rotate"
    settled = day["hours"][_SETTLED:]
    # The collector is conservative: it keeps a block or two for an hour now and then.
    assert max(settled) - min(settled) <= 6 * _NOISE, settled
    early, late = settled[: len(settled) // 2], settled[len(settled) // 2 :]
    assert abs(sum(late) / len(late) - sum(early) / len(early)) <= _NOISE, settled
    assert day["missing"] == 0, "the room of a TLS session was lost"
    first, last = day["heap"]
    assert first == last, "the interpreter's heap had to grow"


def test_modules_come_behind_what_they_import() -> None:
    names = ["bridge.app", "bridge", "bridge.core", "bridge.core.errors", "bridge.core.copies"]
    order = heap.in_order(names)
    assert sorted(order) == sorted(names)
    assert order.index("bridge.core.errors") < order.index("bridge.app")
    assert order.index("bridge.core.copies") < order.index("bridge.app")
    assert order[0] == "bridge"
