"""What every simulated device has: a line, something to measure, and a ledger."""

import time
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


class Pace:
    """Ticks of a device's own period that do not drift: `next_s` is how long to sleep."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._due = time.monotonic()

    def next_s(self) -> float:
        """Return the seconds until the next tick; ticks that a busy host missed are left out."""
        now = time.monotonic()
        self._due += self._period_s
        if now - self._due > self._period_s:
            self._due = now
        return max(0.0, self._due - now)
