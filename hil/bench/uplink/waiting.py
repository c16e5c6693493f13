"""Waiting for a condition, with an end; and how long this process itself was kept waiting."""

import asyncio
import time
from collections.abc import Callable

from hil.errors import RigError

_POLL_S = 0.02


async def until(condition: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    """Return once `condition()` holds; raises RigError when it does not in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise RigError(
                f"bench: waited {timeout_s:g} s for {what}.",
                "The machine may be too busy, or the uplink broken: make test.",
            )
        await asyncio.sleep(_POLL_S)


class Stalls:
    """How long this process stood still: what it measured meanwhile is no gateway's fault.

    worst_s  the longest time by which a short sleep was late
    """

    def __init__(self) -> None:
        self.worst_s = 0.0

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            due = time.monotonic() + _POLL_S
            await asyncio.sleep(_POLL_S)
            self.worst_s = max(self.worst_s, time.monotonic() - due)
