"""What a ward's plan says of one gateway, and whether its board can be that."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bridge.core.config import Config
from bridge.core.errors import ConfigError
from bridge.core.journal.keyring import SITES_MAX
from bridge.core.policy import SESSIONS_MAX
from bridge.core.rings import check_rings
from vitalkeep.board.budget import MONITOR_BYTES_S, hours_of_log
from vitalkeep.board.errors import BoardError
from vitalkeep.board.kinds import Kind
from vitalkeep.board.partitions import need
from vitalkeep.errors import ToolError
from vitalkeep.ward.compile import gateway_config, lines_of
from vitalkeep.ward.plan import Bed, Ward

HOURS_WANTED = 24.0


@dataclass(frozen=True)
class Plan:
    """One gateway of a ward.

    gateway  its id, 8 bytes; sites: ids of those it delivers to, 8 bytes each
    config   the bytes of config.json: the ward's network keys are in it
    devices  how many are attached
    """

    ward: Ward
    bed: Bed
    gateway: bytes
    sites: list[bytes]
    config: bytes
    devices: int

    @property
    def uses_tls(self) -> bool:
        return any(site.tls for site in self.ward.sites)

    def hours(self, kind: Kind, bytes_a_second: float | None = None) -> float:
        """Return for how long the board's log keeps what these devices say.

        bytes_a_second  as it was measured; else each device counts as an 18-parameter monitor
        """
        rate = bytes_a_second or MONITOR_BYTES_S * max(1, self.devices)
        return hours_of_log(need(kind.partitions, "journal").size, rate)


def find_bed(ward: Ward, name: str | None) -> Bed:
    """Return a bed by its name or its gateway's id, or the only one; raises ToolError."""
    found = [bed for bed in ward.beds if name in (None, bed.name, bed.gateway)]
    if len(found) != 1:
        names = ", ".join(bed.name for bed in ward.beds)
        why = f"no bed {name!r}" if not found else "which bed is not said"
        raise ToolError(f"the ward's file: {why}", f"Name one: --bed. There are {names}.")
    return found[0]


def make_plan(ward: Ward, bed: Bed) -> Plan:
    """Return the plan of a bed's gateway; raises ToolError."""
    config = (json.dumps(gateway_config(ward, bed), indent=1) + "\n").encode()
    if len(ward.sites) > SITES_MAX:
        raise ToolError(f"{len(ward.sites)} sites, and a gateway takes {SITES_MAX}", "Leave out.")
    return Plan(
        ward,
        bed,
        bytes.fromhex(bed.gateway),
        [bytes.fromhex(site.id) for site in ward.sites],
        config,
        sum(len(line.devices) for line in lines_of(ward, bed)),
    )


def check_fit(plan: Plan, kind: Kind, trial: bool = False) -> None:
    """Raise BoardError, named, when a kind of board cannot be the gateway of a plan.

    trial  whether a log that is full within a day will do
    """
    wanted = plan.bed.board or plan.ward.board
    if wanted is not None and wanted != kind.name:
        raise BoardError(
            "wrong-board",
            f"{plan.bed.name} is planned with an {wanted}, and this board is an {kind.name}",
            "Take the right one, or change `board` in the ward's file.",
        )
    reason = misfit(kind.wiring, Config(json.loads(plan.config)))
    if reason:
        raise BoardError(
            "misfit",
            f"{kind.name} cannot serve {plan.bed.name}: {reason}",
            "Change the bed's lines, or take a larger board: docs/guides/stalls.md.",
        )
    hours = plan.hours(kind)
    if hours < HOURS_WANTED and not trial:
        raise BoardError(
            "budget",
            f"{kind.name} keeps {plan.devices} devices for {hours:.0f} hours, want "
            f"{HOURS_WANTED:.0f}, each counted as an 18-parameter monitor",
            "Take a board with a larger log, or divide the devices; or, to measure them: --trial.",
        )


def misfit(wiring: Any, config: Config) -> str:
    """Return why a board with this wiring cannot run a configuration, "" when it can."""
    contacts = getattr(wiring, "CONTACTS", {})
    for line in config.lines:
        number = line["uart"]
        is_contact = line["protocol"] == "nurse_call" and number in contacts
        if "tcp" in line or is_contact or number in wiring.UARTS:
            continue
        return f"it has no uart {number}"
    used = {line["uart"] for line in config.lines if "tcp" not in line}
    for row in wiring.LINKS:
        if row["kind"] in config.links and row.get("uart") in used:
            return f"uart {row['uart']} is the modem's"
    try:
        sessions = min(sum(site["tls"] for site in config.sites), SESSIONS_MAX)
        check_rings(wiring, config.lines, sessions)
    except ConfigError as error:
        return str(error)
    return ""
