"""What jobs share that do a duty: have it or stand by, and say what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from vitalkeep.hub.config.chosen import witness_url
from vitalkeep.hub.context import Context
from vitalkeep.hub.duties import Book, DutyDesk, DutySettings, is_database
from vitalkeep.hub.jetstream import JetStreamBook
from vitalkeep.hub.store import Store, utc_now_ms

_LOOK_S = 0.5
_ALONE_S = 600.0
_RETRY_S = 2.0


def witnessed_desk(hub: Context, duty: str) -> DutyDesk:
    """Return the desk of a duty of all sites: agreed with the witness, where there is one."""
    url = witness_url(hub.config)
    if url is None:
        return own_desk(hub, duty)
    if is_database(url):
        return _desk(hub, duty, Store(url), hub.config[DutySettings])
    identity = hub.consumer.address.identity  # the certificate with which it is at the broker
    book = JetStreamBook(url, identity.context() if identity else None)
    return _desk(hub, duty, book, hub.config[DutySettings])


def own_desk(hub: Context, duty: str) -> DutyDesk:
    """Return the desk of a duty within one site: its workers agree in the database they share."""
    settings = hub.config[DutySettings]
    if hub.worker is None:
        # A file has one hub, so nobody waits for its term to end: its commits are for values.
        settings = replace(settings, term_s=_ALONE_S)
    return _desk(hub, duty, hub.store, settings)


def database_desk(hub: Context, duty: str) -> DutyDesk:
    """Return the desk of a duty that keeps books where it is agreed on: that takes a database."""
    url = witness_url(hub.config)
    return own_desk(hub, duty) if url and not is_database(url) else witnessed_desk(hub, duty)


def books_of(hub: Context, desk: DutyDesk) -> Store:
    """Return the database in which a duty is agreed on."""
    return desk.book if isinstance(desk.book, Store) else hub.store


def _desk(hub: Context, duty: str, book: Book, settings: DutySettings) -> DutyDesk:
    name = f"{hub.vault.site_name}-{hub.vault.site_id[:4].hex()}"
    if hub.worker is not None:
        name += f"/{hub.worker.name}"
    return DutyDesk(duty, name, book, settings)


def show(hub: Context, duty: str, shown: Callable[[], Any]) -> None:
    """Have /api/health say of a duty what `shown` returns."""
    hub.duties[duty] = shown
    hub.shown["duties"] = lambda: {name: each() for name, each in hub.duties.items()}


async def hold(
    hub: Context,
    desk: DutyDesk,
    words: tuple[str, str],
    fit: Callable[[], bool],
    begin: Callable[[], None] = lambda: None,
) -> None:
    """Have a duty or stand by, and say what becomes of it.

    words  what is done, and how that is called: "Alarms", "told"
    fit    whether this hub can do it, as far as it knows
    begin  called each time the duty comes here
    """
    what, done = words
    alone = hub.worker is None and desk.book is hub.store
    tone = None if alone else "info"  # with nobody else to do it, that it is done here is no news
    try:
        while True:
            before = desk.holder
            news = await desk.beat(fit())
            if news == "taken":
                begin()
                text = f"{what} are {done} from here now, in term {desk.term}"
                _say(hub, tone, text)
            elif news == "given":
                _say(hub, "warn", f"{what} are left to another hub")
            elif news == "lost":
                why = desk.why or "another hub does it"
                _say(hub, "warn", f"{what} are no longer {done} from here: {why}")
            elif desk.holder != before and desk.holder not in (None, desk.name):
                _say(hub, tone, f"{what} are {done} by {desk.holder} now")
            await asyncio.sleep(min(desk.pause_s, _RETRY_S) if desk.why else desk.pause_s)
    finally:
        await desk.leave()
        if desk.book is not hub.store:
            desk.book.close()


def _say(hub: Context, tone: str | None, text: str) -> None:
    if tone is not None:
        hub.ward.say(utc_now_ms(), None, tone, text)


async def together(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run jobs that end together: the first that fails ends all, and is raised."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def pause(desk: DutyDesk, seconds: float) -> None:
    """Wait, but no longer than until the duty comes here."""
    loop = asyncio.get_running_loop()
    held, until = bool(desk.left_s()), loop.time() + seconds
    while (left := until - loop.time()) > 0 and (held or not desk.left_s()):
        await asyncio.sleep(min(left, _LOOK_S))
