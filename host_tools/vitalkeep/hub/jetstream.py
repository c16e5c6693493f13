"""A JetStream bucket as the witness: who has a duty, where all hubs reach a NATS cluster.

A key has a revision, and a write that names the last one is refused when there is a later one. So
whoever takes a duty writes over the very word of the holder that it has not seen renewed for a
term, by its own clock; and a holder that was overtaken fails at its next renewal. No clock of a
server is in that: a term runs from before its holder asked, and from after another one read.

How old a word is, whoever takes over wants to know, too: at least as old as it has been seen, and
as old as the servers' time stamps say. The longer of the two is believed, so that a process that
just began, and one whose servers' clocks differ, rather tell an alarm again than not at all.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import ssl
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from vitalkeep.errors import ToolError
from vitalkeep.hub.elapsed import elapsed_s
from vitalkeep.hub.handover import Standby
from vitalkeep.hub.store import StoreError
from vitalkeep.hub.store.duties import Duty, LostTermError

T = TypeVar("T")

BUCKET = "vitalkeep_duties"
_ANSWER_S = 5.0
_TRIES = 8
_CLUSTER = 3  # servers, of which each keeps the bucket
_FORGOTTEN_TERMS = 20
_MS = dt.timedelta(milliseconds=1)

Document = dict[str, Any]


@dataclass
class _Seen:
    """When something was first seen as it is, by elapsed_s."""

    what: int
    at_s: float


class JetStreamBook:
    """Duties in a bucket; each call is made on a thread and raises StoreError.

    servers  nats://[user:password@]host:port or tls://..., with commas between
    context  of TLS with this hub's certificate, None for what the address says alone
    """

    def __init__(self, servers: str, context: ssl.SSLContext | None = None) -> None:
        self._servers = [server.strip() for server in servers.split(",")]
        self._context = context if self._servers[0].startswith("tls:") else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._client: Any = None
        self._bucket: Any = None
        self._duties: dict[str, _Seen] = {}  # revision of each duty's last word
        self._words: dict[tuple[str, str], _Seen] = {}  # how often each standby had spoken
        self._fit: dict[tuple[str, str], _Seen] = {}

    def open(self) -> None:
        """Connect, and make the bucket if it is not there.

        Raises  ToolError when what it needs is not installed
        """
        try:
            import nats  # noqa: F401
        except ImportError:
            hint = "Install it: pip install 'vitalkeep[nats]'."
            raise ToolError("a witness in NATS needs nats-py", hint) from None
        self._ask(self._ready)

    def close(self) -> None:
        """Leave the servers; harmless when there was no session."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        if self._client is not None:
            asyncio.run_coroutine_threadsafe(self._client.close(), loop).result(_ANSWER_S)
        loop.call_soon_threadsafe(loop.stop)

    # --- what a desk asks; see store.duties.Duties ---

    def attend(
        self, duty: str, name: str, rank: int, fit: bool, for_ms: int
    ) -> tuple[list[Standby], Duty]:
        def add(found: Document) -> None:
            count = found.get(name, {"count": 0})["count"] + 1
            found[name] = {"rank": rank, "fit": fit, "for_ms": for_ms, "count": count}
            for other in self._gone(duty, found, _FORGOTTEN_TERMS):
                del found[other]

        document = self._change(f"{duty}.standbys", add)
        gone = self._gone(duty, document, 1)
        now_s = elapsed_s()
        alive = []
        for other, word in document.items():
            since = self._note(self._fit, (duty, other), int(word["fit"]), now_s)
            if other not in gone:
                for_s = now_s - since.at_s
                alive.append(Standby(other, word["rank"], bool(word["fit"]), for_s))
        found, _ = self._look(duty)
        holder = found["holder"] if self._runs(duty, found) else None
        return alive, Duty(holder, found["term"], found["behind_ms"])

    def take(self, duty: str, name: str, for_ms: int) -> Duty | None:
        found, revision = self._look(duty)
        if found["holder"] not in (None, name) and self._runs(duty, found):
            return None
        term = found["term"] + 1
        behind_ms = found["behind_ms"] + self._age_ms(duty, revision)
        made = {"holder": name, "term": term, "for_ms": for_ms, "behind_ms": behind_ms}
        return Duty(name, term, behind_ms) if self._set(duty, made, revision) else None

    def keep(self, duty: str, name: str, term: int, for_ms: int, behind_ms: int) -> None:
        self._go_on(duty, name, term, {"for_ms": for_ms, "behind_ms": behind_ms})

    def give(self, duty: str, name: str, term: int) -> None:
        try:
            self._go_on(duty, name, term, {"holder": None})
        except LostTermError:
            pass  # it is another's already

    def depart(self, duty: str, name: str) -> None:
        self._change(f"{duty}.standbys", lambda found: found.pop(name, None))

    # --- documents ---

    def _go_on(self, duty: str, name: str, term: int, changes: Document) -> None:
        """Change the word of its holder; raises LostTermError."""
        for _ in range(_TRIES):
            found, revision = self._look(duty)
            if (found["holder"], found["term"]) != (name, term):
                raise LostTermError(duty)
            aged = {"behind_ms": found["behind_ms"] + self._seen_ms(duty)}
            # One that is refused may be our own, of which the answer was lost.
            if self._set(duty, found | aged | changes, revision):
                return
        raise StoreError("the bucket changes all the time")

    def _look(self, duty: str) -> tuple[Document, int]:
        """Return a duty's last word and its revision, and note since when that is so."""
        found, revision = self._read(f"{duty}.holder")
        self._note(self._duties, duty, revision, elapsed_s())
        return {"holder": None, "term": 0, "for_ms": 0, "behind_ms": 0} | found, revision

    def _set(self, duty: str, word: Document, revision: int) -> bool:
        made = self._write(f"{duty}.holder", word, revision)
        if made:
            self._note(self._duties, duty, made, elapsed_s())
        return bool(made)

    def _runs(self, duty: str, found: Document) -> bool:
        """Say whether the term of the last word may not be over yet."""
        return found["holder"] is not None and self._seen_ms(duty) <= found["for_ms"]

    def _seen_ms(self, duty: str) -> int:
        return int((elapsed_s() - self._duties[duty].at_s) * 1000)

    def _age_ms(self, duty: str, revision: int) -> int:
        """Return how old a duty's last word is, by what was seen or by stamps, if that is more."""
        if not revision:
            return 0
        said, now = self._stamp(seq=revision), self._stamp(subject=f"$KV.{BUCKET}.{duty}.standbys")
        stamped_ms = (now - said) // _MS if said and now else 0
        return max(self._seen_ms(duty), stamped_ms)

    def _gone(self, duty: str, document: Document, terms: int) -> list[str]:
        """Return who has said nothing for so many terms."""
        now_s = elapsed_s()
        gone = []
        for name, word in document.items():
            seen = self._note(self._words, (duty, name), word["count"], now_s)
            if (now_s - seen.at_s) * 1000 > terms * word["for_ms"]:
                gone.append(name)
        return gone

    @staticmethod
    def _note(known: dict[Any, _Seen], key: Any, what: int, now_s: float) -> _Seen:
        seen = known.get(key)
        if seen is None or seen.what != what:
            seen = known[key] = _Seen(what, now_s)
        return seen

    def _change(self, key: str, change: Callable[[Document], object]) -> Document:
        """Change a document that others change as well; returns it."""
        for _ in range(_TRIES):
            found, revision = self._read(key)
            change(found)
            if self._write(key, found, revision):
                return found
        raise StoreError("the bucket changes all the time")

    # --- the bucket ---

    def _read(self, key: str) -> tuple[Document, int]:
        from nats.js.errors import KeyNotFoundError

        async def read() -> tuple[Document, int]:
            bucket = await self._ready()
            try:
                entry = await bucket.get(key)
            except KeyNotFoundError:
                return {}, 0
            return json.loads(entry.value), entry.revision

        return self._ask(read)

    def _write(self, key: str, document: Document, revision: int) -> int:
        """Write over a revision, 0 for a key that is not there.

        Returns  the new revision, 0 if it was another that is there
        """
        from nats.js.errors import KeyWrongLastSequenceError

        data = json.dumps(document, separators=(",", ":")).encode()

        async def write() -> int:
            bucket = await self._ready()
            try:
                return int(await bucket.update(key, data, last=revision))
            except KeyWrongLastSequenceError:
                return 0

        return self._ask(write)

    def _stamp(self, **which: Any) -> dt.datetime | None:
        """Return when the servers took a message, None for one that is not there."""
        from nats.js.errors import NotFoundError

        async def read() -> dt.datetime | None:
            await self._ready()
            try:
                message = await self._client.jetstream().get_msg(f"KV_{BUCKET}", **which)
            except NotFoundError:
                return None
            found: dt.datetime | None = message.time
            return found

        return self._ask(read)

    async def _ready(self) -> Any:
        """Return the bucket of a session that stands."""
        import nats
        from nats.js.api import KeyValueConfig
        from nats.js.errors import BucketNotFoundError

        if self._client is None or self._client.is_closed:
            self._bucket = None
            options = {"tls": self._context} if self._context else {}
            self._client = await nats.connect(
                self._servers,
                name="vitalkeep-duties",
                connect_timeout=_ANSWER_S / 2,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,
                error_cb=_quiet,
                **options,
            )
        if self._bucket is None:
            stream = self._client.jetstream(timeout=_ANSWER_S / 2)
            try:
                self._bucket = await stream.key_value(BUCKET)
            except BucketNotFoundError:
                replicas = _CLUSTER if len(self._servers) >= _CLUSTER else 1
                config = KeyValueConfig(BUCKET, history=1, replicas=replicas)
                self._bucket = await stream.create_key_value(config)
        return self._bucket

    def _ask(self, job: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a job in the session's own loop and wait for it."""
        import nats.errors

        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                run = self._loop.run_forever
                threading.Thread(target=run, name="jetstream", daemon=True).start()
            loop = self._loop

        async def bounded() -> T:
            return await asyncio.wait_for(job(), _ANSWER_S)

        try:
            return asyncio.run_coroutine_threadsafe(bounded(), loop).result()
        except (nats.errors.Error, OSError, asyncio.TimeoutError) as error:
            why = str(error) or type(error).__name__
            raise StoreError(f"witness: {why.splitlines()[0][:200]}") from error


async def _quiet(_: Exception) -> None:
    """Take note of nothing: what fails is said by whoever asked."""
