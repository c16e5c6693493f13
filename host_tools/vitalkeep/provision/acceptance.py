"""Is this gateway fit for its bed? Asked of itself, of each site, and of what is on its flash."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bridge.core.journal.layout import CLASSES, SECTOR_SIZE
from bridge.core.policy import SESSIONS_MAX
from vitalkeep.board.errors import BoardError
from vitalkeep.board.kinds import Kind
from vitalkeep.board.progress import Progress
from vitalkeep.doctor.board import Board as Ear
from vitalkeep.doctor.diagnose import SURE, scan
from vitalkeep.errors import ToolError
from vitalkeep.keys.vault import Gateway
from vitalkeep.provision.board import GatewayBoard, Head
from vitalkeep.provision.office import Office
from vitalkeep.provision.plan import HOURS_WANTED, Plan
from vitalkeep.provision.proof import receipted
from vitalkeep.provision.visit import Visit, visiting
from vitalkeep.remote.desk import Desk
from vitalkeep.ward.compile import lines_of
from vitalkeep.ward.plan import Line, Site

ONLINE_S = 90.0
DEVICES_S = 20.0
PROOF_S = 60.0
CLOCK_OFF_MS = 2000
_LOOK_S = 0.2
_TOLD_MS = 3000  # a heartbeat comes at least so often
_CLOCKS = ("unknown", "set by SNTP", "a site's")


@dataclass
class Accepted:
    """What was found; all of it goes to the register.

    sites    {name: {"clock", "round trips", ...}}; links: {name: grade}
    devices  {name: "live" or "silent"}
    proved   {site: classes that it has receipted, to the last byte}
    rate     bytes a second that were sealed meanwhile; hours: that the log keeps at that rate
    """

    sites: dict[str, dict[str, Any]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    proved: dict[str, str] = field(default_factory=dict)
    rate: float = 0.0
    hours: float = 0.0
    firmware: str = ""
    micropython: str = ""


class Acceptance:
    """One gateway's test; its program runs, and is stopped for the last part.

    listen_s  for how long devices are listened to
    silent    whether devices that are not heard are no reason to fail
    """

    def __init__(
        self,
        board: GatewayBoard,
        kind: Kind,
        plan: Plan,
        office: Office,
        progress: Progress,
        listen_s: float = DEVICES_S,
        silent: bool = False,
    ) -> None:
        self.board = board
        self.kind = kind
        self.plan = plan
        self.office = office
        self.progress = progress
        self.listen_s = listen_s
        self.silent = silent
        self.found = Accepted()

    def run(self, log: str, trial: bool = False) -> Accepted:
        """Do all of it; raises BoardError that names what is not right. The gateway runs after."""
        known = self.office.sites.find(self.plan.gateway)
        assert known is not None
        with visiting(self.office, known.id.hex(), self.plan.uses_tls) as visit:
            try:
                asyncio.run(self._ask_it(known, visit))
                self._check_devices()
                self._check_hours(trial)
                self._prove(known, bytes.fromhex(log), visit)
            finally:
                # Whatever was found, what is plugged in is kept.
                self.board.restart()
        return self.found

    # --- what it says itself ---

    async def _ask_it(self, known: Gateway, visit: Visit) -> None:
        for number, site in enumerate(self.plan.ward.sites):
            self.progress.begin(f"site {site.name}")
            if number >= SESSIONS_MAX:
                self.progress.end("skipped", "held in reserve: it is asked when another is down")
                continue
            try:
                async with Desk.at(known, visit.address(site)) as desk:
                    await self._at_site(desk, site, number)
            except ToolError as error:
                if isinstance(error, BoardError):
                    raise
                raise BoardError("not-heard", error.message, error.hint) from None

    async def _at_site(self, desk: Desk, site: Site, number: int) -> None:
        def status() -> dict[str, Any]:
            return desk.status or {}

        if not await _until(lambda: not status().get("ask", True), ONLINE_S):
            raise BoardError(
                "not-heard",
                f"{site.name} does not receipt to the gateway within {ONLINE_S:.0f} s",
                "Does its hub run, and is its vault the one that was named? vitalkeep hub doctor",
            )
        if not await _until(lambda: status().get("clock", 0) > 0, ONLINE_S):
            raise BoardError(
                "not-heard",
                f"the gateway gets the time neither from {site.name} nor by SNTP",
                f"Is UDP {site.time_port} of the site open? docs/guides/time.md",
            )
        off_ms = abs(status()["utc"] - time.time() * 1000)
        if off_ms > CLOCK_OFF_MS + (status().get("clock_error") or 0):
            raise BoardError(
                "not-heard",
                f"the gateway's clock and this computer's differ by {off_ms / 1000:.1f} s",
                "See which of them is wrong: docs/guides/time.md",
            )
        if not number:
            await self._listen(desk)
        said = await desk.ask("report")
        links = {row[0]: (row[4] or row[1]) for row in said["links"]}
        trips = {row[0]: row[2] for row in said["links"] if row[2] is not None}
        self.found.links |= links
        self.found.firmware, self.found.micropython = said["firmware"], said["micropython"]
        self.found.sites[site.name] = {
            "classes": said["classes"],
            "clock": _CLOCKS[said["clock"]],
            "clock_error_ms": said["clock_error"],
            "round_trip_ms": trips,
            "certificate_days": said["certificate_days"],
        }
        shown = ", ".join(
            f"{name} {grade}" + (f" {trips[name]} ms" if name in trips else "")
            for name, grade in links.items()
        )
        self.progress.end("done", f"{shown}; clock {_CLOCKS[said['clock']]}")

    async def _listen(self, desk: Desk) -> None:
        """Give the devices time to be heard, and measure what is sealed meanwhile."""
        began, first = time.monotonic(), desk.status or {}

        def states() -> dict[str, str]:
            return {row["name"]: row["state"] for row in (desk.status or {}).get("lines", [])}

        def is_over() -> bool:
            # From its start on each device counts as heard, until it was silent for too long.
            silence_ms = self.plan.ward.gateway.device_silent_ms  # type: ignore[attr-defined]
            is_told = self.silent or (desk.status or {})["mono"] > silence_ms + _TOLD_MS
            return is_told and time.monotonic() - began >= self.listen_s

        await _until(is_over, self.listen_s + ONLINE_S)
        if any(state != "live" for state in states().values()) and not self.silent:
            await _until(lambda: set(states().values()) == {"live"}, self.listen_s)
        last = desk.status or {}
        took_s = (last["mono"] - first["mono"]) / 1000
        if took_s > 0 and last["boot"] == first["boot"]:
            grown = sum(_place(last["heads"][name]) - _place(first["heads"][name])
                        for name in CLASSES)  # fmt: skip
            self.found.rate = grown / took_s
        self.found.devices = states()

    # --- what is attached ---

    def _check_devices(self) -> None:
        self.progress.begin("devices")
        silent = [name for name, state in self.found.devices.items() if state != "live"]
        if not silent:
            self.progress.end("done", f"{len(self.found.devices)} are heard")
            return
        if self.silent:
            self.progress.end("skipped", f"not heard, as was said: {', '.join(silent)}")
            return
        lines = [
            line for line in lines_of(self.plan.ward, self.plan.bed)
            if any(device.name in silent for device in line.devices)
        ]  # fmt: skip
        raise BoardError(
            "wiring",
            f"not heard: {', '.join(silent)}; {'; '.join(map(self._diagnose, lines))}",
            "Put the line right, or plug the device in, and run the same again; where there is "
            "none yet: --no-devices. docs/guides/wire.md",
        )

    def _diagnose(self, line: Line) -> str:
        """Return what the wiring doctor says of a line, by the board's own ears."""
        where = f"uart {line.uart}"
        pins = self.kind.wiring.UARTS.get(line.uart)
        if line.tcp or pins is None:
            return f"{where} is not a serial line of the board"
        ear = Ear(self.board.device, line.uart, {"tx": pins["tx"], "rx": pins["rx"]})
        try:
            self.board.look()
            found = scan(ear.listen, self.listen_s, can_invert=True)
        except ToolError as error:
            return f"{where}: {error.message}"
        if found.verdict == SURE and found.protocol != line.protocol:
            return f"{where}: {found.protocol} at {found.setting} is on it, not {line.protocol}"
        if found.verdict == SURE:
            return f"{where}: {found.protocol} is on it at {found.setting}"
        said = ", ".join(finding.text for finding in found.findings)
        return f"{where}: {said or 'nothing that the doctor knows'}"

    def _check_hours(self, trial: bool) -> None:
        self.progress.begin("24 h without a site")
        heard = bool(self.found.devices) and set(self.found.devices.values()) == {"live"}
        rate = self.found.rate if heard and self.found.rate > 0 else None
        self.found.hours = self.plan.hours(self.kind, rate)
        how = f"{rate:.1f} bytes a second, as measured" if rate else "devices as monitors"
        if self.found.hours < HOURS_WANTED and not trial:
            raise BoardError(
                "budget",
                f"the log keeps these devices for {self.found.hours:.0f} hours ({how})",
                "Take a board with a larger log, or divide the devices; or go on: --trial.",
            )
        self.progress.end("done", f"{self.found.hours:.0f} hours: {how}")

    # --- what the sites have ---

    def _prove(self, known: Gateway, log: bytes, visit: Visit) -> None:
        self.progress.begin("a record at each site")
        proved = prove(
            self.board, known, log, self.plan.ward.sites[:SESSIONS_MAX], visit,
            lambda has: all("A" in classes for classes in has.values())
            and set().union(*has.values()) == set(CLASSES),
        )  # fmt: skip
        self.found.proved = {name: "".join(sorted(classes)) for name, classes in proved.items()}
        shown = ", ".join(f"{name} {classes}" for name, classes in self.found.proved.items())
        self.progress.end("done", f"sealed on flash, receipted with its digest: {shown}")


Has = dict[str, set[str]]


def prove(
    board: GatewayBoard,
    known: Gateway,
    log: bytes,
    sites: Any,
    visit: Visit,
    enough: Callable[[Has], bool],
    patience_s: float = PROOF_S,
) -> Has:
    """Return, by site, the classes of which it has all that is on the stopped board's flash.

    The board may go on in between, to deliver what is left.

    Raises  BoardError "not-drained" when that is not `enough` in the end
    """
    until = time.monotonic() + patience_s
    wait_s = 2.0
    while True:
        board.look()
        heads = board.heads()
        has = {
            site.name: receipted(known, log, heads, site, visit.context(site)) for site in sites
        }
        if enough(has):
            return has
        if time.monotonic() > until:
            missing = "; ".join(
                f"{name} lacks {', '.join(sorted(set(heads) - classes)) or 'nothing'}"
                for name, classes in has.items()
            )
            raise BoardError(
                "not-drained",
                f"not all that is on the flash is receipted: {missing}",
                "Leave it running for a while and run the same again. Devices that go on speaking "
                "are in the way: unplug them.",
            )
        board.restart()
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, 15.0)


def _place(head: Any) -> int:
    return int(head[1]) * SECTOR_SIZE + int(head[2])


def bytes_of(heads: dict[str, Head]) -> int:
    """Return how many bytes of a log are on flash, all classes together."""
    return sum(
        (head.newest - head.oldest) * SECTOR_SIZE + head.end
        for head in heads.values()
        if head.newest >= 0
    )


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until it holds; returns whether it did in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(_LOOK_S)
    return True
