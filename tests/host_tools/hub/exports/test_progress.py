"""What was exported of a log, against a plain set of bytes."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.journal.layout import SECTOR_SIZE
from vitalkeep.hub.exports.progress import Progress

steps = st.lists(st.tuples(st.integers(0, 12), st.sampled_from((100, 2000, SECTOR_SIZE))))


@given(steps)
def test_it_knows_how_far_each_sector_went_and_survives_the_books(added):
    progress, ends = Progress(), {}
    for sector, end in added:
        progress.add(sector, end)
        ends[sector] = max(end, ends.get(sector, 0))
        progress = Progress(progress.rows())
    for sector in range(14):
        assert progress.end(sector) == ends.get(sector, 0)


@given(steps)
def test_whatever_was_not_exported_whole_lies_in_a_span(added):
    progress = Progress()
    for step in added:
        progress.add(*step)
    spans = progress.spans()
    for sector in range(14):
        inside = any(first <= sector <= last for first, last in spans)
        assert inside == (progress.end(sector) < SECTOR_SIZE)


def test_a_log_full_of_holes_asks_for_few_spans_and_leaves_nothing_out():
    progress = Progress()
    for sector in range(0, 2000, 2):
        progress.add(sector, SECTOR_SIZE)
    spans = progress.spans()
    assert len(spans) <= 200
    assert all(any(a <= s <= b for a, b in spans) for s in range(1, 2001, 2))
