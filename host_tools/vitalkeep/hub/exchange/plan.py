"""What one site asks of another, in what order, within what budget. Pure.

Sealed sectors are a set union. Of one that has no seal that fits yet, the longer prefix is asked
for behind the shorter one, as the gateway's own tagged runs; a seal that fits ends all questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from bridge.core.journal.layout import SECTOR_SIZE
from vitalkeep.hub.exchange.ranges import Ranges
from vitalkeep.hub.sectors import PROVEN, WHOLE, Place, Stream

RUN_COST = 64  # bytes of overhead that a part costs at the least
_A_TURN = 8  # sectors of one log, before another log has its turn


@dataclass
class Holding:
    """What a site has of one log's class.

    sealed  sectors whose seal it has checked
    parts   {sector: (bytes of its prefix, one of sectors' states)} of all others
    """

    sealed: Ranges = field(default_factory=Ranges)
    parts: dict[int, tuple[int, int]] = field(default_factory=dict)

    def set(self, sector: int, length: int, state: int) -> None:
        """Note what a commit made of a sector."""
        if state == PROVEN:
            self.sealed.add(sector)
            self.parts.pop(sector, None)
        else:
            self.sealed.remove(sector)
            self.parts[sector] = (length, state)

    def has_whole(self, sector: int) -> bool:
        """Say whether there is nothing that a sealed copy could add but its proof."""
        return sector in self.sealed or self.parts.get(sector, (0, 0))[1] == WHOLE

    @property
    def newest(self) -> int:
        """Return the highest sector that it has anything of, -1 for none."""
        return max(self.sealed.newest, max(self.parts, default=-1))

    def copy(self) -> Holding:
        return Holding(self.sealed.copy(), dict(self.parts))


@dataclass(frozen=True)
class Want:
    """One sector to ask a peer for.

    sealed  ask for all of it; else for its runs behind the first `length` bytes
    """

    place: Place
    sealed: bool
    length: int = 0
    cost: int = SECTOR_SIZE


@dataclass
class Lack:
    """What is missing of one log's class; parts: {sector: (bytes we have, bytes they have)}."""

    sealed: Ranges
    parts: dict[int, tuple[int, int]]

    def __bool__(self) -> bool:
        return bool(self.sealed or self.parts)

    @property
    def sectors(self) -> int:
        return len(self.sealed) + len(self.parts)


def lack(mine: Holding | None, theirs: Holding) -> Lack:
    """Return what `theirs` has and `mine` has not."""
    mine = mine or Holding()
    sealed = theirs.sealed.minus(mine.sealed)
    for number, (_, state) in mine.parts.items():
        if state == WHOLE:
            # The sector before it is missing, and proves it when it comes.
            sealed.remove(number)
    parts = {}
    for number, (length, _) in theirs.parts.items():
        have = mine.parts.get(number, (0, 0))[0]
        if number not in mine.sealed and length > have:
            parts[number] = (have, length)
    return Lack(sealed, parts)


def wants(
    lacks: Mapping[Stream, Lack],
    classes: Iterable[int],
    budget: int | None,
    count: int,
    spared: Callable[[Place], bool] = lambda place: False,
) -> list[Want]:
    """Return what to ask for next: at most `count` sectors and about `budget` bytes.

    classes  by number, in the order of their importance
    budget   None for no limit; the first want goes into any that is not 0
    spared   says of a place that it was asked for in vain, and is not to be asked for yet

    Of a class what is live comes first: the newest sector of each log. Then the oldest, some of
    each log in turn, so that no gateway waits for another's backlog.
    """
    found: list[Want] = []
    spent = 0
    for cls in classes:
        of_class = [(stream, some) for stream, some in lacks.items() if stream[2] == cls]
        for want in _in_order(of_class):
            if spared(want.place):
                continue
            if len(found) >= count:
                return found
            if budget is not None and (budget <= 0 or (found and spent + want.cost > budget)):
                return found
            found.append(want)
            spent += want.cost
    return found


def _in_order(lacks: list[tuple[Stream, Lack]]) -> Iterator[Want]:
    for stream, some in lacks:
        if some.parts:
            newest = max(some.parts)
            if newest > some.sealed.newest:
                yield _part(stream, newest, some)
    queues = [(stream, some, _backlog(some)) for stream, some in lacks]
    while queues:
        left = []
        for stream, some, numbers in queues:
            for _ in range(_A_TURN):
                number = next(numbers, None)
                if number is None:
                    break
                if number in some.parts:
                    yield _part(stream, number, some)
                else:
                    yield Want(Place(*stream, number), True)
            else:
                left.append((stream, some, numbers))
        queues = left


def _backlog(some: Lack) -> Iterator[int]:
    """Yield the numbers that are missing, oldest first, without the live one."""
    parts = sorted(some.parts)
    if parts and parts[-1] > some.sealed.newest:
        parts.pop()
    at = 0
    for number in some.sealed:
        while at < len(parts) and parts[at] < number:
            yield parts[at]
            at += 1
        yield number
    yield from parts[at:]


def _part(stream: Stream, number: int, some: Lack) -> Want:
    have, theirs = some.parts[number]
    return Want(Place(*stream, number), False, have, theirs - have + RUN_COST)


def unproved(mine: Holding, theirs: Holding, proved: Ranges) -> Ranges:
    """Return the sealed sectors that both sites say they have and no challenge has proved."""
    return mine.sealed.also_in(theirs.sealed).minus(proved)
