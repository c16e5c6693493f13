"""One duty of this hub among others: told to have it, it does the work until its term may be over.

A term is kept in a database that all of them reach. The holder believes in its own term for no
longer than the database was asked for, counted from before it asked; whoever comes next waits for
that by the database's clock. So two never hold it at once, whatever their clocks say.

What a holder has done is told as a length of time as well: all is told that was stored longer ago
than so much. Whoever comes next counts that back from its own now, by its own store's clock. So
the clocks of two sites may differ by any amount, and nothing is left out between them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from vitalkeep.errors import ToolError
from vitalkeep.hub.config.basics import no_password
from vitalkeep.hub.elapsed import elapsed_s
from vitalkeep.hub.handover import GIVE, TAKE, Standby, decide
from vitalkeep.hub.store import StoreError
from vitalkeep.hub.store.duties import Duty, LostTermError
from vitalkeep.hub.targets import check_target
from vitalkeep.settings.fields import HostPort, Secret, setting

log = logging.getLogger(__name__)

_BEATS = 5  # in a term

T = TypeVar("T")


_DATABASES = ("postgresql://", "postgresql+psycopg://")
_NATS = ("nats://", "tls://")


def _check_witness(url: str) -> None:
    no_password(url)
    if url.startswith(_DATABASES):
        return
    if not all(part.strip().startswith(_NATS) for part in url.split(",")):
        raise ValueError("want postgresql://user@host/name, or tls://host:port of NATS servers")


class Book(Protocol):
    """Where it is agreed who has a duty; store.duties.Duties says what each call does."""

    def open(self) -> None: ...
    def close(self) -> None: ...
    def attend(
        self, duty: str, name: str, rank: int, fit: bool, for_ms: int
    ) -> tuple[list[Standby], Duty]: ...
    def take(self, duty: str, name: str, for_ms: int) -> Duty | None: ...
    def keep(self, duty: str, name: str, term: int, for_ms: int, behind_ms: int) -> None: ...
    def give(self, duty: str, name: str, term: int) -> None: ...
    def depart(self, duty: str, name: str) -> None: ...


@dataclass(frozen=True)
class DutySettings:
    """What one hub does for all: telling others of alarms. Who cannot is relieved of it."""

    alarms: str | None = setting(
        None, "Where alarms are told: https://host/path, or file:/path for lines of JSON. Default:"
        " nowhere.", example="https://paging.example/alarms", check=check_target,
    )  # fmt: skip
    token: Secret | None = setting(
        None, "Bearer token for the address of alarms.", example="env:VITALKEEP_ALARM_TOKEN"
    )
    witness: str | None = setting(
        None, "PostgreSQL, or NATS servers with JetStream (tls://host:port, with commas between),"
        " that all hubs reach, where it is agreed who has the duty. Default: this hub's own"
        " database.", example="postgresql://vitalkeep@witness.example/vitalkeep",
        check=_check_witness,
    )  # fmt: skip
    witness_password: Secret | None = setting(
        None, "Of the user in its url.", example="file:/etc/vitalkeep/witness.password"
    )
    rank: int = setting(0, "0 for the hub that should have it, more for a standby.", low=0)
    term_s: float = setting(
        10.0, "A holder that is not heard of for so long has lost it.", low=2.0, high=600.0
    )
    steady_s: float = setting(
        60.0, "So long a hub of a better rank must be well to get it back.", low=0.0
    )
    overlap_s: float = setting(
        600.0, "A new holder with a database of its own tells again what it stored in so many"
        " seconds before the last one's last word. Their clocks may differ as they like.", low=0.0,
    )  # fmt: skip
    other_site: HostPort | None = setting(
        None, "Something of the other site that takes connections, to know whether it is reached.",
        example="broker.other.example:8883",
    )  # fmt: skip


def is_database(witness: str) -> bool:
    """Return whether a witness that was checked is a database, and no bucket of NATS."""
    return witness.startswith(_DATABASES)


class DutyDesk:
    """One duty, as one hub sees it.

    name    of this hub, different from all others' at the database
    book    where it is agreed who has the duty
    term    of the duty while this hub has it, None while it has not
    since_s   what was stored before, another holder has told; told_s: what was stored before, is
            told; both by elapsed_s, which two sites do not compare
    alive   who stands by, as the database said last
    holder  who has it, None for nobody or not known
    """

    def __init__(self, duty: str, name: str, book: Book, settings: DutySettings) -> None:
        self.duty = duty
        self.name = name
        self.term: int | None = None
        self.since_s = float("-inf")
        self.told_s = 0.0
        self.alive: Sequence[Standby] = ()
        self.holder: str | None = None
        self.why = ""  # the database does not answer
        self.book = book
        self._settings = settings
        self._until_s = float("-inf")
        self._opened = False

    @property
    def pause_s(self) -> float:
        return self._settings.term_s / _BEATS

    def left_s(self) -> float:
        """Return how much longer this hub may act, 0 when it may not."""
        return max(0.0, self._until_s - elapsed_s()) if self.term is not None else 0.0

    async def beat(self, fit: bool) -> str | None:
        """Renew, and take or give the duty if it is time.

        Returns  "taken", "given", "lost", None for no news
        """
        try:
            return await self._beat(fit)
        except (StoreError, ToolError) as error:
            why = error.message if isinstance(error, ToolError) else str(error)
            if not self.why:
                log.warning("duty %s: %s", self.duty, why)
            self.why = why
            if self.term is not None and not self.left_s():
                self.term = self.holder = None
                return "lost"
            return None

    async def _beat(self, fit: bool) -> str | None:
        if not self._opened:
            await _ask(self.book.open)
            self._opened = True
        settings, for_ms = self._settings, int(self._settings.term_s * 1000)
        if self.term is not None:
            asked_s = elapsed_s()
            behind_ms = int(max(0.0, asked_s - self.told_s) * 1000)
            keep = partial(self.book.keep, self.duty, self.name, self.term, for_ms, behind_ms)
            try:
                await _ask(keep)
                self._until_s = asked_s + settings.term_s
            except LostTermError:
                self.term = None
                return "lost"
        attend = partial(self.book.attend, self.duty, self.name, settings.rank, fit, for_ms)
        self.alive, duty = await _ask(attend)
        self.why = ""
        self.holder = duty.holder
        # A process of this name that was here before may have had it.
        holder = None if duty.holder == self.name and self.term is None else duty.holder
        verdict = decide(self.name, self.alive, holder, settings.steady_s)
        if verdict == TAKE:
            return await self._take(for_ms)
        if verdict == GIVE and self.term is not None:
            term, self.term, self.holder = self.term, None, None
            await _ask(partial(self.book.give, self.duty, self.name, term))
            return "given"
        return None

    async def _take(self, for_ms: int) -> str | None:
        asked_s = elapsed_s()
        found = await _ask(partial(self.book.take, self.duty, self.name, for_ms))
        if found is None:
            return None
        self.term, self.holder = found.term, self.name
        self._until_s = asked_s + self._settings.term_s
        # Where nobody ever told anything, what is long past is no alarm any more.
        self.told_s = asked_s - (found.behind_ms / 1000 if found.term > 1 else 0)
        if found.term > 1 and self._settings.witness is None:
            self.since_s = float("-inf")  # this database knows of each alarm whether it was told
        else:
            self.since_s = self.told_s - self._settings.overlap_s
        return "taken"

    async def leave(self) -> None:
        """Give the duty back and stand by no longer."""
        term, self.term = self.term, None
        try:
            if self._opened:
                if term is not None:
                    await _ask(partial(self.book.give, self.duty, self.name, term))
                await _ask(partial(self.book.depart, self.duty, self.name))
        except StoreError as error:
            log.warning("duty %s: %s", self.duty, error)

    def shown(self) -> dict[str, Any]:
        """Return what /api/health says of it."""
        return {
            "holder": self.holder,
            "here": self.term is not None,
            "term": self.term,
            "reason": self.why,
            "standbys": [
                {"name": one.name, "rank": one.rank, "fit": one.fit} for one in self.alive
            ],
        }


async def _ask(job: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, job)
