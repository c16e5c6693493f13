"""A base station: relays sealed frames between the air and a broker. It holds no key.

What it hears goes to `vk/<station>/radio` with how it was heard; the hub checks it, stores it, and
its answer comes on `vk/<station>/air`. The law's duty cycle holds for answers, too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bridge.core import wire
from bridge.core.airtime import Plan
from bridge.core.duty import KeptBudget
from bridge.core.errors import FormatError
from bridge.core.radio_wire import ANSWER_SIZE, pack_heard, parse_frame
from vitalkeep.hub.address import Address
from vitalkeep.hub.consume import Consumer, Message, Publish

log = logging.getLogger(__name__)

_LISTEN_S = 0.1  # an answer waits no longer before it goes out
_ANSWER_S = 2.5  # a gateway does not listen for one that is older
_ANSWERS_MAX = 16


class Station:
    """One base station.

    driver    adafruit_rfm's RFM9x, tuned to `plan`
    id        8 bytes, of this station alone
    airtime   file in which what was used of the law's measure is kept
    told      called with the name of what happened: "heard", "relayed", "answered" and so on
    counters  how often each happened
    """

    def __init__(
        self,
        driver: Any,
        plan: Plan,
        address: Address,
        id: bytes,
        airtime: Path,
        told: Callable[[str], None] | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._driver = driver
        self._plan = plan
        self._told = told
        self._topic = wire.topic(id, "radio")
        filters = (wire.topic(id, "air"),)
        self.consumer = Consumer(address, self._take, "vkbase-" + id.hex(), filters)
        self._airtime = airtime
        self._budget = KeptBudget(plan, self._load, self._save, _now_ms())
        self._answers: deque[tuple[float, bytes]] = deque(maxlen=_ANSWERS_MAX)
        self._last = b""

    def _load(self) -> str | None:
        return self._airtime.read_text() if self._airtime.exists() else None

    def _save(self, text: str) -> None:
        fresh = self._airtime.with_name(self._airtime.name + ".new")
        fresh.write_text(text)
        fresh.replace(self._airtime)

    async def run(self) -> None:
        """Relay until it is cancelled."""
        session = asyncio.create_task(self.consumer.run())
        try:
            while True:
                await self._step()
        finally:
            session.cancel()
            await asyncio.gather(session, return_exceptions=True)
            self._driver.sleep()

    async def _step(self) -> None:
        while self._answers:
            came, answer = self._answers.popleft()
            await self._answer(came, answer)
        data = await self._driver.asyncio_receive(timeout=_LISTEN_S)
        damaged = self._driver.crc_error_count - self.counters["damaged"]
        if damaged > 0:
            self._note("damaged", damaged)
        if data is not None:
            self._relay(bytes(data))

    def _relay(self, data: bytes) -> None:
        """Pass on what looks like one of our frames; others share the air."""
        self._note("heard")
        try:
            parse_frame(data)
        except FormatError:
            self._note("strange")
            return
        payload = pack_heard(self._driver.last_rssi, self._driver.last_snr, data)
        # Without a session it is dropped: no answer tells the gateway to say it again, newer.
        self._note("relayed" if self.consumer.publish(self._topic, payload) else "no_broker")

    async def _take(self, messages: Sequence[Message]) -> Sequence[Publish]:
        for message in messages:
            known = [self._last, *(answer for _, answer in self._answers)]
            if len(message.payload) != ANSWER_SIZE:
                self._note("malformed")
            elif message.payload not in known:  # two hubs on one store answer alike
                self._answers.append((time.monotonic(), message.payload))
        return ()

    async def _answer(self, came: float, answer: bytes) -> None:
        if time.monotonic() - came > _ANSWER_S:
            self._note("late")
        elif not self._budget.spend(self._plan.frame_us(len(answer)), _now_ms()):
            self._note("refused")
            log.warning("duty cycle: an answer was not sent")
        elif await self._driver.asyncio_send(answer, keep_listening=True):
            self._last = answer
            self._note("answered")
        else:
            self._note("stuck")

    def _note(self, what: str, count: int = 1) -> None:
        self.counters[what] += count
        if self._told:
            self._told(what)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
