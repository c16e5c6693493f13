"""The comparison that decides: every way of losing, doubling and inventing is seen."""

from hypothesis import given
from hypothesis import strategies as st

from hil.verdict import PowerCut, Sent, Stored, compare, recovery_ms, same_values

LATER = 10**9


def row(second: int, spo2: str | None = "97") -> Sent:
    return Sent(1000 * second, {"SpO2": spo2, "PR": str(60 + second % 40)})


def stored(sent: Sent, shift_ms: int = 20) -> Stored:
    return Stored(sent.utc_ms + shift_ms, sent.utc_ms + 300, dict(sent.values))


SENT = [row(second) for second in range(30)]
THERE = [stored(sent) for sent in SENT]


def test_all_there_is_nothing_lost() -> None:
    outcome = compare(SENT, THERE, [], 100, LATER)
    assert (outcome.produced, outcome.committed) == (30, 30)
    assert (outcome.lost, outcome.duplicated, outcome.invented) == (0, 0, 0)


@given(st.sets(st.integers(0, 29)))
def test_every_missing_row_is_lost(missing: set[int]) -> None:
    there = [found for index, found in enumerate(THERE) if index not in missing]
    outcome = compare(SENT, there, [], 100, LATER)
    assert outcome.lost == len(missing)
    assert [sent.utc_ms // 1000 for sent in outcome.lost_rows] == sorted(missing)


@given(st.lists(st.integers(0, 29), max_size=10))
def test_every_second_copy_is_a_duplicate(again: list[int]) -> None:
    outcome = compare(SENT, THERE + [THERE[index] for index in again], [], 100, LATER)
    assert outcome.duplicated == len(again)
    assert outcome.committed == 30


def test_value_that_nobody_sent_is_invented() -> None:
    wrong = Stored(5020, 5300, {"SpO2": "42", "PR": "65"})
    assert compare(SENT, [*THERE, wrong], [], 100, LATER).invented == 1
    late = Stored(90_000, 90_000, {"SpO2": "97", "PR": "65"})
    assert compare(SENT, [*THERE, late], [], 100, LATER).invented == 1


def test_wrong_value_is_lost_and_invented() -> None:
    there = [*THERE[:7], Stored(7020, 7300, {"SpO2": "96", "PR": "67"}), *THERE[8:]]
    outcome = compare(SENT, there, [], 100, LATER)
    assert (outcome.lost, outcome.invented) == (1, 1)


def test_row_a_second_off_does_not_answer_another() -> None:
    same = [Sent(1000 * second, {"SpO2": "97"}) for second in range(10)]
    there = [stored(sent) for sent in same if sent.utc_ms != 4000]
    assert compare(same, there, [], 100, LATER).lost == 1


def test_power_cut_explains_only_its_own_time() -> None:
    cut = PowerCut("bed-1", 10_500, 13_000, 14_200)
    there = [found for found in THERE if not 10_000 <= found.utc_ms <= 14_500]
    outcome = compare(SENT, there, [cut], 100, LATER)
    assert (outcome.lost, outcome.unheard, outcome.at_cut) == (0, 4, 1)
    assert outcome.lost_age_ms == 500
    there = [found for found in there if found.utc_ms // 1000 != 20]
    assert compare(SENT, there, [cut], 100, LATER).lost == 1


def test_what_comes_after_the_end_does_not_count() -> None:
    outcome = compare(SENT, THERE[:21], [], 100, until_ms=20_500)
    assert (outcome.produced, outcome.committed, outcome.lost) == (21, 21, 0)


def test_values_compare_as_numbers_and_absence_is_not_zero() -> None:
    assert same_values({"VT": "480", "MV": None}, {"VT": "480.0"})
    assert not same_values({"VT": "0"}, {"VT": None})
    assert not same_values({"VT": "480"}, {"VT": "480", "MV": "7"})


def test_recovery_counts_only_what_was_observed_since() -> None:
    backlog = Stored(9_000, 20_100, {})
    live = Stored(20_600, 20_900, {})
    assert recovery_ms([backlog, live], 20_000) == 900
    assert recovery_ms([backlog], 20_000) is None
