"""What every simulated device has: a line, something to measure, and a ledger."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hil.ledger import Ledger
from hil.simulators.line import SerialLine
from hil.vitals import Vitals


@dataclass
class Plug:
    """Where a device is plugged in.

    measure  returns what the patient's sensors give at this moment
    bed      and `device` name the device in the ledger
    """

    line: SerialLine
    measure: Callable[[], Vitals]
    ledger: Ledger
    bed: str
    device: str

    async def say(self, message: bytes, group: int, values: Mapping[str, str | None]) -> None:
        """Send a message that carries an observation, and note it once it has left."""
        whole = await self.line.send(message)
        note = self.ledger.record if whole else self.ledger.record_damaged
        note(self.bed, self.device, group, values)


def now_s() -> float:
    """Return the seconds of the loop's clock, by which every device keeps its pace."""
    return asyncio.get_running_loop().time()


class Pace:
    """Ticks of a device's own period that do not drift: `next_s` is how long to sleep."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._due = now_s()

    def next_s(self) -> float:
        """Return the seconds until the next tick; ticks that a busy host missed are left out."""
        now = now_s()
        self._due += self._period_s
        if now - self._due > self._period_s:
            self._due = now
        return max(0.0, self._due - now)
