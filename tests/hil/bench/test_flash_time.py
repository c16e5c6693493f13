"""The chip's time is added from the data sheet, operation by operation."""

import pytest

from hil.bench.flash_time import NO_CHIP, TYPICAL, WORST, percentile

RUN = {"us": [500, 2000], "pages_of": [1, 3], "erases_of": [0, 2]}


def test_times_are_python_pages_and_erases_together() -> None:
    assert NO_CHIP.times_ms(RUN) == [0.5, 2]
    assert TYPICAL.times_ms(RUN) == pytest.approx([1.2, 94.1])
    assert WORST.times_ms(RUN) == pytest.approx([3.5, 811])


def test_percentile_is_a_value_that_was_seen() -> None:
    values = [float(value) for value in range(200, 0, -1)]
    assert percentile(values, 50) == 100
    assert percentile(values, 99) == 198
    assert percentile(values, 100) == 200
    assert percentile([7.0], 50) == 7
