"""The drivers' bench: it measures what it says it does, on MicroPython."""

from hil.bench.decode import measure


def test_a_driver_is_measured_on_its_own_traffic() -> None:
    report = measure(("masimo_set", "modbus_rtu"), lambda text: None, 12, 2, 1)
    assert report.good, report.failures
    figures = {figure.name: figure for figure in report.figures}
    for name in ("masimo_set", "modbus_rtu"):
        speed = figures[f"decode.bytes_per_s.{name}"]
        assert speed.value is not None
        assert speed.value > 0
        assert speed.peer_value == 11520
        assert figures[f"decode.allocations_per_frame.{name}"].value == 0
        heap = figures[f"decode.heap_bytes.{name}"].value
        assert heap is None or 500 < heap <= 8192
