"""A number that grows whenever there is something new to show; threads move it, tasks wait."""

from __future__ import annotations

import asyncio
import contextlib


class Moves:
    """Belongs to the running loop. However much has moved since, a viewer gets one answer."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._number = 1
        self._next = asyncio.Event()
        self._is_over = False

    def moved(self) -> None:
        """Say that there is something new, from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody looks any more
            self._loop.call_soon_threadsafe(self._move)

    async def after(self, seen: int, seconds: float) -> int:
        """Return the number once it is another than `seen`, or when the time is over."""
        if self._number == seen and not self._is_over:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._next.wait(), seconds)
        return self._number

    def end(self) -> None:
        """Have nobody wait any more."""
        self._is_over = True
        self._move()

    def _move(self) -> None:
        self._number += 1
        self._next.set()
        self._next = asyncio.Event()
