"""What gateways need of the store, asked again and again until it does it; and why it does not."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from vitalkeep.hub.store import StoreError

log = logging.getLogger(__name__)

_RETRY_FIRST_S = 0.2
_RETRY_MAX_S = 5.0
_SLOW_S = 3.0  # a commit of so long is an outage: soon gateways take their site for down

T = TypeVar("T")


class Patience:
    """One thread for the write path: jobs never overlap, and the page stays live meanwhile.

    receipting  False while the store refuses; `reason` then says why
    counters    of what is noticed
    say         say(tone, text): a line of the story
    """

    def __init__(self, counters: Counter[str], say: Callable[[str, str], None]) -> None:
        self.receipting = True
        self.reason = ""
        self._counters = counters
        self._say = say
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def once(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """Run a job; the result, or the error, is its own."""
        return asyncio.get_running_loop().run_in_executor(self._thread, job)

    async def run(self, job: Callable[[], T]) -> T:
        """Return what a job returns, for ever tried again while it raises StoreError."""
        delay = _RETRY_FIRST_S
        while True:
            try:
                result = await self._wait(self.once(job))
            except StoreError as error:
                self._counters["store_refusals"] += 1
                self._stopped(str(error))
            else:
                self._accepted()
                return result
            await asyncio.sleep(delay)
            delay = min(2 * delay, _RETRY_MAX_S)

    async def _wait(self, work: asyncio.Future[T]) -> T:
        """Wait for the store however long it takes, and say when that is too long."""
        try:
            await asyncio.wait({work}, timeout=_SLOW_S)
            if not work.done():
                self._counters["store_slow"] += 1
                why = "the store does not answer, or the processor has too much to do"
                self._stopped(f"a batch has taken more than {_SLOW_S:g} s: {why}")
            return await work
        except asyncio.CancelledError:
            work.cancel()
            raise

    def _stopped(self, reason: str) -> None:
        if self.receipting or reason != self.reason:
            log.error("not receipting: %s", reason)
            self._say("bad", f"Not receipting: {reason}")
        self.receipting, self.reason = False, reason

    def _accepted(self) -> None:
        if not self.receipting:
            log.warning("receipting again")
            self._say("good", "Receipting again")
        self.receipting, self.reason = True, ""
