"""The crowd as a process of its own: started, told, and ended with the rig."""

from __future__ import annotations

import asyncio
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from hil.board import die_with_the_rig
from hil.errors import RigError
from hil.load.crowd import Order, serve

_START_S = 120  # thousands of logs are read
_ANSWER_S = 60
_STOP_S = 10


class Load:
    """A crowd of gateways, told over a pipe; each call waits for the crowd's answer."""

    def __init__(self, order: Order) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(order, theirs), daemon=True)
        self._theirs = theirs

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it; returns when it has its logs and begins to connect. These stand still."""
        self._process.start()
        self._theirs.close()
        await self._ask(_START_S, "state")

    async def _ask(self, patience_s: float, *words: Any) -> Any:
        try:
            self._pipe.send(words)
            if await asyncio.to_thread(self._pipe.poll, patience_s):
                return self._pipe.recv()
            why = f"It said nothing for {patience_s:g} s: the machine may be too busy."
        except (EOFError, OSError):
            why = "Its last words are above."
        raise RigError("The load has died.", why)

    async def speed(self, speed: float | None) -> None:
        """Set how many seconds of its log each gateway writes in a second; None: all it can."""
        await self._ask(_ANSWER_S, "speed", speed)

    async def cut(self) -> None:
        """Cut the network of all gateways; logs stand still."""
        await self._ask(_ANSWER_S, "cut")

    async def restore(self, skip_s: float) -> None:
        """Give it back with `skip_s` more of log in each gateway."""
        await self._ask(_ANSWER_S, "restore", skip_s)

    async def state(self) -> dict[str, Any]:
        return dict(await self._ask(_ANSWER_S, "state"))

    async def tally(self) -> dict[str, Any]:
        """Return what was seen since the last call."""
        return dict(await self._ask(_ANSWER_S, "tally"))

    async def marks(self) -> list[dict[tuple[int, int], int]]:
        """Return what was ever receipted: {(class, sector): bytes} of each gateway."""
        return list(await self._ask(_ANSWER_S, "marks"))

    async def close(self) -> None:
        """End it, by force when it takes too long."""
        if self._process.pid is None:
            return
        try:
            await self._ask(_STOP_S, "stop")
        except RigError:
            self._process.kill()
        await asyncio.to_thread(self._process.join, _STOP_S)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._pipe.close()


def _run(order: Order, pipe: Connection) -> None:
    die_with_the_rig()
    serve(order, pipe)
