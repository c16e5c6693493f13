"""The drivers' bench: it measures what it says it does, and every driver keeps its promise."""

import pytest

from bridge.core.protocols import PROTOCOLS
from hil.bench.decode import measure


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_a_driver_allocates_nothing_on_its_way_and_is_small(name: str) -> None:
    report = measure((name,), lambda text: None, 10, 1, 1)
    assert report.good, report.failures
    figures = {figure.name: figure for figure in report.figures}
    speed = figures[f"decode.bytes_per_s.{name}"]
    assert speed.value is not None
    assert speed.value > 0
    assert speed.peer_value == 11520

    each = figures[f"decode.allocations_per_frame.{name}"].value
    assert each is not None
    assert each == 0
    heap = figures[f"decode.heap_bytes.{name}"].value
    assert heap is None or 500 < heap <= 8192
