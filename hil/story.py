"""The first minute: all well, the network cut, power lost in mid-write, and the account.

The story is told to `tell` as it happens; what it measured comes back as a Report.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bridge.core.journal.layout import CLASSES
from hil.devices import CLASS_OF, COMMIT_MS
from hil.errors import RigError
from hil.records import HubRecords
from hil.verdict import Outcome, compare, recovery_ms
from hil.ward import Ward

# When each act begins, as a part of the story's length, and how long the darkness lasts
_CUT_AT, _RESTORE_AT, _POWER_AT = 0.20, 0.42, 0.58
_POWER_OFF = 0.08
SETTLE_S = COMMIT_MS["C"] / 1000 + 2.0
_POLL_S = 0.1
_WAIT_S = 30
SHORTEST_S = 30


@dataclass
class Report:
    """What the story measured. Times are seconds unless they say otherwise."""

    beds: int = 0
    by_class: dict[str, Outcome] = field(default_factory=dict)
    outages: list[dict[str, Any]] = field(default_factory=list)
    power_cuts: list[dict[str, Any]] = field(default_factory=list)
    rto_s: dict[str, float | None] = field(default_factory=dict)
    rpo_s: dict[str, float] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=dict)
    micropython: list[str] = field(default_factory=list)
    overruns: int = 0
    damaged: int = 0

    @property
    def total(self) -> Outcome:
        total = Outcome()
        for outcome in self.by_class.values():
            total.add(outcome)
        return total

    @property
    def unexplained_s(self) -> float:
        """Seconds of the account that nobody can explain."""
        return sum(entry["unknown_s"] for bed in self.account.values() for entry in bed.values())

    @property
    def good(self) -> bool:
        total = self.total
        return not (total.lost or total.duplicated or total.invented or self.unexplained_s)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON object that `vitalkeep demo --json` ends with."""
        total = self.total
        return {
            "beds": self.beds,
            "observations": {
                "produced": total.produced,
                "committed": total.committed,
                "lost": total.lost,
                "duplicated": total.duplicated,
                "invented": total.invented,
                "in_power_gap": {"gateway_off": total.unheard, "not_yet_committed": total.at_cut},
            },
            "by_class": {
                cls: {
                    "produced": outcome.produced,
                    "committed": outcome.committed,
                    "in_power_gap": outcome.unheard + outcome.at_cut,
                }
                for cls, outcome in self.by_class.items()
            },
            "outages": self.outages,
            "power_cuts": self.power_cuts,
            "rto_s": self.rto_s,
            "rpo_s": self.rpo_s,
            "account": self.account,
            "uart_overruns": self.overruns,
            "damaged_on_the_wire": self.damaged,
            "micropython": self.micropython,
            "good": self.good,
        }


class Story:
    """Runs the acts on a started ward.

    length_s  from the first act to the account; at least SHORTEST_S
    tell      tell(text) for a person
    """

    def __init__(self, ward: Ward, length_s: float, tell: Callable[[str], None]) -> None:
        self.ward = ward
        self.report = Report(beds=len(ward.beds))
        self._records = HubRecords(ward.database)
        self._length_s = max(length_s, SHORTEST_S)
        self._tell = tell
        self._start = time.monotonic()
        self._start_ms = round(time.time() * 1000)

    async def run(self, ends: bool) -> Report:
        """Tell the story; `ends` unplugs the devices before the account, else they go on."""
        await self._all_well()
        await self._network_outage()
        await self._power_cut()
        await self._until(1 - (SETTLE_S + 1) / self._length_s)
        await self._account(ends)
        return self.report

    async def _until(self, part: float) -> None:
        while time.monotonic() - self._start < part * self._length_s:
            if not self.ward.still_running():
                raise RigError("A process of the ward has died by itself.", "See its log.")
            await asyncio.sleep(_POLL_S)

    # --- acts ---

    async def _all_well(self) -> None:
        await self._wait("every device's values at the hub", self._everyone_is_there)
        self._tell("all well: every device of every bed is live at the hub")
        error_ms = self._records.clock_error_ms([bed.gateway for bed in self.ward.beds])
        self._tell(
            f"the boards began in the year 2000; the site set their clocks, to {error_ms} ms"
        )
        await self._until(_CUT_AT)

    def _everyone_is_there(self) -> bool:
        gateways = [bed.gateway for bed in self.ward.beds]
        return self._records.devices(gateways) >= len(gateways) * len(CLASS_OF)

    async def _network_outage(self) -> None:
        cut_ms = self.ward.cut_network()
        self._tell("the network is cut: the gateways go on sealing into their flash")
        await self._until(_RESTORE_AT)
        kept = self.ward.ledger.produced_since(cut_ms)
        back_ms = self.ward.restore_network()
        length_s = (back_ms - cut_ms) / 1000
        self._tell(f"the network is back after {length_s:.1f} s, {kept} observations behind it")
        live = await self._live_again(back_ms)
        if await self._arrives("the backlog", back_ms):
            self._tell("the backlog is filled in beside them")
        self.report.outages.append(
            {"kind": "network", "beds": "all", "seconds": length_s, "back_s": live}
        )

    async def _power_cut(self) -> None:
        await self._until(_POWER_AT)
        bed = self.ward.beds[1 % len(self.ward.beds)]
        self._tell(f"{bed.name}'s gateway loses power in the midst of a flash write")
        cut = await self.ward.cut_power(bed, _POWER_OFF * self._length_s, seed=2)
        self._tell(f"{bed.name} has power again after {(cut.back_ms - cut.cut_ms) / 1000:.1f} s")
        live = await self._live_again(cut.back_ms, bed.name)
        self.report.power_cuts.append(
            {
                "bed": bed.name,
                "in_mid_write": True,
                "seconds": (cut.back_ms - cut.cut_ms) / 1000,
                "back_s": live,
            }
        )

    async def _account(self, ends: bool) -> None:
        if ends:
            await self.ward.silence_devices()
        until_ms = round(time.time() * 1000)
        await asyncio.sleep(SETTLE_S)
        await self._arrives("the rest", until_ms)
        report = self.report
        report.by_class = self._compare(until_ms)
        report.rpo_s = {
            cls: round(outcome.lost_age_ms / 1000, 2) for cls, outcome in report.by_class.items()
        }
        report.rto_s = self._worst_recovery()
        report.account = self._records.account(
            {bed.name: bed.gateway for bed in self.ward.beds}, self._start_ms, until_ms
        )
        report.micropython = self._records.micropython()
        report.overruns = sum(bed.board.overruns for bed in self.ward.beds)
        report.damaged = self.ward.ledger.damaged

    async def _arrives(self, what: str, until_ms: int) -> bool:
        """Wait until nothing sent up to `until_ms` is missing; if something stays so, say it.

        The story goes on all the same: the account at its end counts what is lost.
        """
        try:
            await self._wait(f"{what} at the hub", lambda: not self._lost(until_ms))
        except RigError as error:
            self._tell(error.message)
            return False
        return True

    def _lost(self, until_ms: int) -> int:
        return sum(outcome.lost for outcome in self._compare(until_ms).values())

    # --- measuring ---

    async def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait until `condition()` holds; raises RigError when it does not in time."""
        start = time.monotonic()
        while not await asyncio.to_thread(condition):
            if time.monotonic() - start > _WAIT_S:
                raise RigError(f"No sign of {what} within {_WAIT_S} s.", "See the ward's logs.")
            await asyncio.sleep(_POLL_S)

    async def _live_again(self, back_ms: int, bed: str | None = None) -> dict[str, float]:
        """Return, by class, when the slowest bed's first live value was committed."""
        beds = [known for known in self.ward.beds if bed in (None, known.name)]
        found: dict[str, float] = {}

        def look() -> bool:
            stored = [self._records.by_class(known.gateway) for known in beds]
            for cls in CLASSES:
                times = [recovery_ms(rows[cls], back_ms) for rows in stored]
                if cls not in found and None not in times:
                    found[cls] = max(time for time in times if time is not None) / 1000
                    self._tell(f"live values of class {cls} are back after {found[cls]:.2f} s")
            return len(found) == len(CLASSES)

        await self._wait("live values", look)
        return {cls: round(found[cls], 3) for cls in CLASSES}

    def _worst_recovery(self) -> dict[str, float | None]:
        breaks = self.report.outages + self.report.power_cuts
        return {
            cls: max((entry["back_s"][cls] for entry in breaks), default=None) for cls in CLASSES
        }

    def _compare(self, until_ms: int) -> dict[str, Outcome]:
        """Compare what was sent up to `until_ms` with what is stored, by class."""
        result = {cls: Outcome() for cls in CLASSES}
        for bed in self.ward.beds:
            stored = self._records.by_device(bed.gateway)
            for (device, group), rows in self.ward.ledger.rows(bed.name).items():
                cls = CLASS_OF[device]
                there = stored.pop((device, group), [])
                outcome = compare(rows, there, bed.cuts, COMMIT_MS[cls], until_ms)
                result[cls].add(outcome)
            for (device, _), there in stored.items():
                # Nothing of the kind was ever on the wire.
                result[CLASS_OF.get(device, "A")].invented += len(there)
        return result
