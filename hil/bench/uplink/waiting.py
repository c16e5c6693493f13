"""Waiting for a condition, with an end."""

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
