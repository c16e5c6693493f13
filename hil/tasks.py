"""Ending asyncio tasks so that they really have ended."""

import asyncio
from collections.abc import Iterable
from typing import Any

_AGAIN_S = 0.2


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until each has ended, however it did.

    They are cancelled again and again: before Python 3.12 `asyncio.wait_for` swallows a
    cancellation that comes in the same turn of the loop as what it waits for.
    """
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=_AGAIN_S)
