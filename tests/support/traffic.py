"""What every driver and every simulated device say to each other, by the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

from hil.ledger import Ledger
from hil.rehearsal import Rehearsal
from hil.simulators.line import NO_FAULTS, Faults
from hil.simulators.plan import Event, Plan
from hil.traffic import BED, driver_of, traffic_of
from tests.support.decoding import plain

Said = Counter[tuple[int, tuple[tuple[str, str | None], ...]]]


@cache
def traffic(
    name: str, seconds: float = 60.0, faults: Faults = NO_FAULTS, events: tuple[Event, ...] = ()
) -> Rehearsal:
    """Return what driver and device of a protocol say in some seconds; events are plain."""
    return traffic_of(name, seconds, 7, plain, Plan(faults, events))


def said(events: Iterable[list[Any]]) -> Said:
    """Return how often each observation was read: group, and labels with their texts."""
    return Counter(
        (group, tuple(sorted((_label(label), text) for label, text, _ in values)))
        for kind, *rest in events
        if kind == "observation"
        for _, group, values in (rest,)
    )


def meant(ledger: Ledger, spoilt: bool = False) -> Said:
    """Return how often the device meant each observation."""
    rows = ledger.damaged_rows(BED) if spoilt else ledger.rows(BED)
    return Counter(
        (group, tuple(sorted((_label(label), text) for label, text in row.values.items())))
        for (_, group), found in rows.items()
        for row in found
    )


_CONFIGURED = {0x8000: "Tskin", 0x8001: "Warmer power"} | {
    0x8002 + at: label for at, label in enumerate(("O2 supply", "Air supply", "Vacuum"))
}


def _label(label: Any) -> str:
    return str(_CONFIGURED.get(label, label))


def replay(name: str, turns: list[tuple[int, bytes]], size: int | None) -> list[Any]:
    """Return what a new driver says to the same bytes at the same times, in other pieces."""
    decoder = driver_of(name)
    events = []
    for now_ms, data in turns:
        step = size or max(1, len(data))
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            while piece:
                taken = decoder.rx.feed(piece)
                piece = piece[taken:]
                event = decoder.next_event()
                assert event is not None or taken, "its buffer is full and it goes no further"
                while event is not None:
                    events.append(plain(event))
                    event = decoder.next_event()
        event = decoder.next_event()
        while event is not None:
            events.append(plain(event))
            event = decoder.next_event()
        decoder.next_request(now_ms)
    event = decoder.next_event()
    while event is not None:
        events.append(plain(event))
        event = decoder.next_event()
    return events
