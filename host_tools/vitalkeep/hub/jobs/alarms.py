"""Tells others of alarms, while that is this hub's duty: each at least once, oldest first."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from vitalkeep.errors import ToolError
from vitalkeep.hub.context import Context
from vitalkeep.hub.decode import Row
from vitalkeep.hub.duties import DutyDesk, DutySettings
from vitalkeep.hub.elapsed import elapsed_s
from vitalkeep.hub.jobs.holding import hold, show, together, witnessed_desk
from vitalkeep.hub.store import StoreError, utc_now_ms
from vitalkeep.hub.store.duties import LostTermError
from vitalkeep.hub.targets import Target, TargetError, make_target
from vitalkeep.hub.ward import PRIORITIES

log = logging.getLogger(__name__)

_DUTY = "alarms"
_LOOK_S = 0.5
_SEND_S = 5.0
_AT_ONCE = 50
_RETRY_MAX_S = 30.0
_FAILING_S = 30.0  # so long without success, and a standby may try
_KEPT_MS = 24 * 3600 * 1000
_PURGE_S = 3600.0


async def run(hub: Context) -> None:
    settings = hub.config[DutySettings]
    if settings.alarms is None:
        await _purge(hub)
        return
    try:
        token = settings.token.read() if settings.token else None
        target = make_target(settings.alarms, token)
        desk = witnessed_desk(hub, _DUTY)
    except ToolError as error:
        log.error("alarms: %s", error.message)
        text = f"Alarms are told to nobody from here: {error.message}"
        hub.ward.say(utc_now_ms(), None, "bad", text)
        await _purge(hub)
        return
    teller = _Teller(hub, desk, target)
    show(hub, _DUTY, lambda: desk.shown() | teller.shown())

    def fit() -> bool:
        return not hub.verdict.cut and not teller.is_failing()

    try:
        holding = hold(hub, desk, ("Alarms", "told"), fit, teller.begin)
        await together(_purge(hub), holding, teller.run())
    finally:
        await target.close()


async def _purge(hub: Context) -> None:
    while True:
        await asyncio.sleep(_PURGE_S)
        try:
            await _ask(partial(hub.store.forget_notices, _KEPT_MS))
        except StoreError as error:
            log.warning("alarms: %s", error)  # it is no reason to leave the duty


class _Teller:
    """Takes notices from the store to the target while the duty is here."""

    def __init__(self, hub: Context, desk: DutyDesk, target: Target) -> None:
        self.told = 0
        self.waiting = 0
        self.error = ""
        self._hub = hub
        self._desk = desk
        self._target = target
        self._held = (desk.duty, desk.name) if desk.book is hub.store else None
        self._failing_since_s: float | None = None
        self._pardon_s = 0.0
        self._first_ms: int | None = None  # when the first was stored that is ours to tell

    def begin(self) -> None:
        self._failing_since_s = self._first_ms = None

    def is_failing(self) -> bool:
        """Say whether the target has refused for long: another hub may reach it."""
        now_s = time.monotonic()
        since_s = self._failing_since_s
        if since_s is not None and now_s - since_s > _FAILING_S:
            # Not at once again, when it was left to another.
            self._pardon_s = now_s + self._hub.config[DutySettings].steady_s
        return now_s < self._pardon_s

    async def run(self) -> None:
        pause_s = _LOOK_S
        while True:
            await asyncio.sleep(pause_s)
            if not self._desk.left_s():
                pause_s = _LOOK_S
                continue
            try:
                await self._look()
                pause_s = _LOOK_S
            except TargetError as error:
                self._failed(str(error))
                pause_s = min(2 * pause_s, _RETRY_MAX_S)
            except LostTermError:
                self._desk.term = None
            except StoreError as error:
                log.warning("alarms: %s", error)

    async def _look(self) -> None:
        hub, desk = self._hub, self._desk
        asked_s = elapsed_s()
        now_ms = await _ask(hub.store.clock_ms)
        since_ms = self._since_ms(now_ms, asked_s)
        rows = await hub.read(partial(hub.store.untold, since_ms, _AT_ONCE))
        self.waiting = len(rows)
        for row in rows:
            term, left_s = desk.term, desk.left_s()
            if term is None or not left_s:
                return
            await self._target.send(self._notice(row, term), min(left_s, _SEND_S))
            self._succeeded()
            await _ask(partial(hub.store.told, [row["id"]], term, self._held))
            self.waiting -= 1
            ago_s = max(0, now_ms - row["stored_ms"]) / 1000
            desk.told_s = max(desk.told_s, asked_s - ago_s)
        if len(rows) < _AT_ONCE:
            desk.told_s = max(desk.told_s, asked_s)

    def _since_ms(self, now_ms: int, asked_s: float) -> int:
        """Return from when on notices are ours to tell, by the store's own clock."""
        since_s = self._desk.since_s
        if self._first_ms is None:
            ago_s = asked_s - since_s
            self._first_ms = now_ms - int(ago_s * 1000) if math.isfinite(ago_s) else 0
        # A store whose clock was set back stores alarms all the same.
        overlap_s = self._hub.config[DutySettings].overlap_s
        return min(self._first_ms, now_ms - int(overlap_s * 1000))

    def _notice(self, row: Row, term: int) -> dict[str, Any]:
        gateway, content = bytes(row["gateway"]), row["content"]
        place = (gateway.hex(), bytes(row["log"]).hex(), row["cls"], row["sector"])
        ward = self._hub.ward
        return {
            "id": "-".join(map(str, (*place, row["offset"], row["idx"]))),
            "term": term,
            "site": self._hub.vault.site_name,
            "gateway": gateway.hex(),
            "bed": ward.name(gateway) if gateway in ward.gateways() else None,
            "device": content["device"],
            "priority": PRIORITIES[min(content["priority"], len(PRIORITIES) - 1)],
            "active": bool(content["active"]),
            "text": content["text"],
            "code": content["code"],
            "at": ward.utc(content | {"gateway": gateway}),
            "stored": row["stored_ms"],
        }

    def _failed(self, why: str) -> None:
        if self._failing_since_s is None:
            self._failing_since_s = time.monotonic()
        if not self.error:
            self._hub.ward.say(utc_now_ms(), None, "bad", f"Alarms cannot be told: {why}")
        self.error = why

    def _succeeded(self) -> None:
        self.told += 1
        self._failing_since_s = None
        if self.error:
            self.error = ""
            self._hub.ward.say(utc_now_ms(), None, "good", "Alarms are told again")

    def shown(self) -> dict[str, Any]:
        return {"told": self.told, "waiting": self.waiting, "error": self.error}


async def _ask(job: Callable[[], Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, job)
