"""A JetStream bucket as the witness: who has a duty, where all hubs reach a NATS cluster.

A key has a revision, and a write that names the last one is refused when there is a later one. So
whoever takes a duty writes over the very word of the holder that it has not seen renewed for a
term, by its own clock; and a holder that was overtaken fails at its next renewal. No clock of a
server is in it: a term runs from before its holder asked, and from after another one read.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from vitalkeep.errors import ToolError
from vitalkeep.hub.handover import Standby
from vitalkeep.hub.store import StoreError, utc_now_ms
from vitalkeep.hub.store.duties import Duty, LostTermError

T = TypeVar("T")

BUCKET = "vitalkeep_duties"
_ANSWER_S = 5.0
_TRIES = 8
_CLUSTER = 3  # servers, of which each keeps the bucket
_FORGOTTEN_TERMS = 20

Document = dict[str, Any]


@dataclass
class _Seen:
    """When something was first seen as it is, by this machine's monotonic clock."""

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
        now_s = time.monotonic()
        alive = []
        for other, word in document.items():
            since = self._note(self._fit, (duty, other), int(word["fit"]), now_s)
            if other not in gone:
                for_s = now_s - since.at_s
                alive.append(Standby(other, word["rank"], bool(word["fit"]), for_s))
        found, _ = self._look(duty)
        holder = found["holder"] if self._runs(duty, found) else None
        return alive, Duty(holder, found["term"], found["progress_ms"])

    def take(self, duty: str, name: str, for_ms: int) -> Duty | None:
        found, revision = self._look(duty)
        if found["holder"] not in (None, name) and self._runs(duty, found):
            return None
        term = found["term"] + 1
        made = {"holder": name, "term": term, "for_ms": for_ms}
        made["progress_ms"] = found["progress_ms"]
        if not self._write(f"{duty}.holder", made, revision):
            return None
        return Duty(name, term, found["progress_ms"])

    def keep(self, duty: str, name: str, term: int, for_ms: int, progress_ms: int) -> None:
        self._go_on(duty, name, term, {"for_ms": for_ms, "progress_ms": progress_ms})

    def give(self, duty: str, name: str, term: int) -> None:
        try:
            self._go_on(duty, name, term, {"holder": None})
        except LostTermError:
            pass  # it is another's already

    def depart(self, duty: str, name: str) -> None:
        self._change(f"{duty}.standbys", lambda found: found.pop(name, None))

    def clock_ms(self) -> int:
        """Return this hub's clock: the servers tell none."""
        return utc_now_ms()

    # --- documents ---

    def _go_on(self, duty: str, name: str, term: int, changes: Document) -> None:
        """Change the word of its holder; raises LostTermError."""
        for _ in range(_TRIES):
            found, revision = self._look(duty)
            if (found["holder"], found["term"]) != (name, term):
                raise LostTermError(duty)
            # One that is refused may be our own, of which the answer was lost.
            if self._write(f"{duty}.holder", found | changes, revision):
                return
        raise StoreError("the bucket changes all the time")

    def _look(self, duty: str) -> tuple[Document, int]:
        """Return a duty's last word and its revision, and note since when that is so."""
        found, revision = self._read(f"{duty}.holder")
        self._note(self._duties, duty, revision, time.monotonic())
        return {"holder": None, "term": 0, "for_ms": 0, "progress_ms": 0} | found, revision

    def _runs(self, duty: str, found: Document) -> bool:
        """Say whether the term of the last word may not be over yet."""
        seen_s = time.monotonic() - self._duties[duty].at_s
        return found["holder"] is not None and seen_s * 1000 <= found["for_ms"]

    def _gone(self, duty: str, document: Document, terms: int) -> list[str]:
        """Return who has said nothing for so many terms."""
        now_s = time.monotonic()
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

    def _write(self, key: str, document: Document, revision: int) -> bool:
        """Write over a revision, 0 for a key that is not there; returns False if it is another."""
        from nats.js.errors import KeyWrongLastSequenceError

        data = json.dumps(document, separators=(",", ":")).encode()

        async def write() -> bool:
            bucket = await self._ready()
            try:
                await bucket.update(key, data, last=revision)
            except KeyWrongLastSequenceError:
                return False
            return True

        return self._ask(write)

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
