"""What the devices put on the wire beside what the hub stored: nothing lost, nothing twice.

The gateway's own books are not asked. Both sides are ordered rows of one device's group; a stored
row answers a sent one when its values are the same and its time is less than half a period away.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

TOLERANCE_MS = 450

Values = dict[str, str | None]


@dataclass(frozen=True)
class Sent:
    """One observation on the wire; `utc_ms` is when its last byte left the device."""

    utc_ms: int
    values: Values


@dataclass(frozen=True)
class Stored:
    """One observation at the hub; `stored_ms` is when its commit was durable."""

    utc_ms: int
    stored_ms: int
    values: Values


@dataclass(frozen=True)
class PowerCut:
    """A gateway without power, from the cut until it listened again, in UTC milliseconds."""

    bed: str
    cut_ms: int
    back_ms: int
    listening_ms: int


@dataclass
class Outcome:
    """The comparison of one device's group.

    unheard   sent while the gateway had no power
    at_cut    sent before a cut and not yet committed by it: what the class's RPO allows
    """

    produced: int = 0
    committed: int = 0
    lost: int = 0
    duplicated: int = 0
    invented: int = 0
    unheard: int = 0
    at_cut: int = 0
    lost_age_ms: int = 0  # of the oldest observation that a power cut took with it
    lost_rows: list[Sent] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        self.produced += other.produced
        self.committed += other.committed
        self.lost += other.lost
        self.duplicated += other.duplicated
        self.invented += other.invented
        self.unheard += other.unheard
        self.at_cut += other.at_cut
        self.lost_age_ms = max(self.lost_age_ms, other.lost_age_ms)
        self.lost_rows += other.lost_rows


def same_values(sent: Values, stored: Values) -> bool:
    """Compare by label; what neither side gives a value for does not count."""
    labels = {label for label, value in sent.items() if value is not None}
    labels |= {label for label, value in stored.items() if value is not None}
    return all(_number(sent.get(label)) == _number(stored.get(label)) for label in labels)


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def compare(
    sent: Sequence[Sent],
    stored: Iterable[Stored],
    cuts: Sequence[PowerCut],
    commit_ms: int,
    until_ms: int,
) -> Outcome:
    """Return the Outcome of one device's group for what was sent up to `until_ms`.

    cuts       of this device's gateway
    commit_ms  the longest that an observation of this class waits for its commit
    """
    outcome = Outcome(produced=sum(row.utc_ms <= until_ms for row in sent))
    matched = [False] * len(sent)
    first = 0
    for row in sorted(stored, key=lambda row: row.utc_ms):
        while first < len(sent) and sent[first].utc_ms < row.utc_ms - TOLERANCE_MS:
            first += 1
        index = _find(sent, matched, first, row, outcome)
        if index >= 0:
            matched[index] = True
            outcome.committed += sent[index].utc_ms <= until_ms
    for row_sent, found in zip(sent, matched, strict=True):
        if not found and row_sent.utc_ms <= until_ms:
            _explain(row_sent, cuts, commit_ms, outcome)
    return outcome


def _find(
    sent: Sequence[Sent], matched: Sequence[bool], first: int, row: Stored, outcome: Outcome
) -> int:
    """Return the index of the row on the wire that `row` answers, -1 when there is none."""
    repeats = False
    for index in range(first, len(sent)):
        if sent[index].utc_ms > row.utc_ms + TOLERANCE_MS:
            break
        if same_values(sent[index].values, row.values):
            if not matched[index]:
                return index
            repeats = True
    outcome.duplicated += repeats
    outcome.invented += not repeats
    return -1


def _explain(row: Sent, cuts: Sequence[PowerCut], commit_ms: int, outcome: Outcome) -> None:
    for cut in cuts:
        if cut.cut_ms < row.utc_ms <= cut.listening_ms + TOLERANCE_MS:
            outcome.unheard += 1
            return
        if cut.cut_ms - commit_ms - TOLERANCE_MS <= row.utc_ms <= cut.cut_ms:
            outcome.at_cut += 1
            outcome.lost_age_ms = max(outcome.lost_age_ms, cut.cut_ms - row.utc_ms)
            return
    outcome.lost += 1
    outcome.lost_rows.append(row)


def recovery_ms(stored: Iterable[Stored], back_ms: int) -> int | None:
    """Return how long after `back_ms` the first value observed since then was committed.

    None when none was. A value observed before, however fresh, is backlog and does not count.
    """
    times = [row.stored_ms for row in stored if row.utc_ms >= back_ms]
    return min(times) - back_ms if times else None
