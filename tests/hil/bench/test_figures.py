"""A figure says how it stands to its peer and to what was promised."""

import pytest

from hil.bench.figures import MORE, Figure, Report


def test_ratio_says_how_many_times_better_whichever_way_is_better() -> None:
    assert Figure("size", 5, "B", peer="JSON", peer_value=200).ratio == 40
    assert Figure("rate", 300, "/s", MORE, "littlefs", 100).ratio == 3
    assert Figure("rate", 50, "/s", MORE, "littlefs", 100).ratio == 0.5


@pytest.mark.parametrize(
    "figure",
    [
        Figure("alone", 5, "B"),
        Figure("failed", None, "B", peer="JSON", peer_value=200),
        Figure("none at all", 0, "appends", peer="littlefs", peer_value=200),
    ],
)
def test_ratio_is_none_where_it_cannot_be_said(figure: Figure) -> None:
    assert figure.ratio is None


def test_limit_holds_at_the_limit_and_is_missed_beyond_it() -> None:
    assert Figure("size", 5.5, "B", limit=5.5).met is True
    assert Figure("size", 5.6, "B", limit=5.5).met is False
    assert Figure("rate", 9, "/s", MORE, limit=10).met is False
    assert Figure("size", 5.6, "B").met is None
    assert Figure("size", None, "B", limit=5.5).met is None


def test_numbers_keep_four_digits_and_counts_stay_whole() -> None:
    assert Figure("size", 5.03861, "B").as_dict()["value"] == 5.039
    assert Figure("rate", 1234567.8, "/s").as_dict()["value"] == 1234568
    assert Figure("count", 98304, "B").as_dict()["value"] == 98304


def test_table_shows_every_figure_and_what_is_missing() -> None:
    report = Report({}, [Figure("size", 6, "B", peer="JSON", peer_value=12, limit=5)])
    report.skipped["CBOR"] = "not installed"
    report.failures.append("size: read back wrong")
    lines = report.as_table()
    assert lines[1].split() == ["size", "6", "B", "JSON", "12", "2", "5", "MISSED"]
    assert lines[2:] == ["SKIPPED CBOR: not installed", "FAILED size: read back wrong"]
    assert not report.good
