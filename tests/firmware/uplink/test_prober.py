"""Whom a link is measured with, and when it is somebody else."""

import asyncio

from bridge.uplink.prober import Prober


class Site:
    """Answers over the links that lead to it."""

    def __init__(self, trip_ms: int, *links: str) -> None:
        self.trip_ms = trip_ms
        self.links = set(links)
        self.asked: list[str] = []

    async def ask(self, interface: str) -> int | None:
        self.asked.append(interface)
        return self.trip_ms if interface in self.links else None


def ask(prober: Prober, interface: str, times: int) -> list[int | None]:
    async def run() -> list[int | None]:
        return [await prober.ask(interface) for _ in range(times)]

    return asyncio.run(run())


def test_a_dead_link_does_not_change_whom_the_others_ask() -> None:
    near, far = Site(5, "en1"), Site(90, "en1")
    prober = Prober([near, far])
    assert ask(prober, "st1", 4) == [None] * 4
    assert ask(prober, "en1", 3) == [5, 5, 5]


def test_a_dead_site_is_replaced_for_all_links_after_two_questions() -> None:
    near, far = Site(5), Site(90, "en1", "st1")
    prober = Prober([near, far])
    assert ask(prober, "en1", 4) == [None, 90, 90, 90]
    asked = len(near.asked)
    assert ask(prober, "st1", 2) == [90, 90]
    assert len(near.asked) == asked


def test_one_lost_question_is_a_loss_and_no_reason_to_ask_another() -> None:
    near, far = Site(5, "en1"), Site(90, "en1")
    prober = Prober([near, far])
    assert ask(prober, "en1", 1) == [5]
    near.links.clear()
    assert ask(prober, "en1", 1) == [None]
    near.links.add("en1")
    assert ask(prober, "en1", 2) == [5, 5]
    assert not far.asked
