"""A bound on how long something may take, which never swallows a cancellation.

Before Python 3.12 asyncio.wait_for returns a result that came just before it was cancelled: the
task then goes on as if nobody had wanted it to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(seconds: float, job: Awaitable[T]) -> T:
    """Return what a job returns; raises what it raises, asyncio.TimeoutError when it is late."""
    task = asyncio.ensure_future(job)
    try:
        done, _ = await asyncio.wait((task,), timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    if not done:
        task.cancel()
        await asyncio.wait((task,))
        if task.cancelled():
            raise asyncio.TimeoutError
    return task.result()
