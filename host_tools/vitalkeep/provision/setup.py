"""From a bare board to an accepted gateway with a label: every step, one after the other.

What this computer remembers of a board is in `<home>/setup/<id on the bus>.json`: which chip it is
and which bed it is for. So a run that was cut short needs no words the next time, and a board that
was put in another's place is seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vitalkeep.board.errors import BoardError
from vitalkeep.board.flash import Flashed, Order, flash
from vitalkeep.board.kinds import BOARDS
from vitalkeep.board.progress import Progress
from vitalkeep.board.prompt import Gateways
from vitalkeep.board.units import Unit
from vitalkeep.errors import ToolError
from vitalkeep.keys.births import ACCEPTED
from vitalkeep.keys.private_files import write_file
from vitalkeep.provision.acceptance import Acceptance, Accepted
from vitalkeep.provision.board import GatewayBoard
from vitalkeep.provision.label import Label
from vitalkeep.provision.office import Office
from vitalkeep.provision.plan import find_bed, make_plan
from vitalkeep.provision.provision import Provisioned, provision
from vitalkeep.ward.plan import Ward


@dataclass(frozen=True)
class Wishes:
    """What is wanted of a setup.

    flash      the order to flash, None where that is done already
    bed        which; None for the one that this board was for, or the only one
    listen_s   for how long devices are listened to
    silent     whether devices may be missing yet; trial: whether a small log will do
    labels     folder for labels, one of the gateway's id in it
    """

    flash: Order | None
    ward: Ward
    bed: str | None
    home: Path
    labels: Path
    listen_s: float = 20.0
    silent: bool = False
    trial: bool = False
    erase_log: bool = False


@dataclass(frozen=True)
class Done:
    """What came of it: entry is the hash of the line in the register."""

    provisioned: Provisioned
    accepted: Accepted
    entry: str
    label: list[Path]
    flashed: Flashed | None

    def as_dict(self) -> dict[str, Any]:
        return {
            "outcome": "done",
            **self.provisioned.as_dict(),
            "acceptance": asdict(self.accepted),
            "entry": self.entry,
            "label": [str(path) for path in self.label],
            "image_written": bool(self.flashed and self.flashed.image_written),
        }


class Memory:
    """What this computer remembers of the board at one place."""

    def __init__(self, home: Path, unit: Unit) -> None:
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", unit.identity.strip("/"))
        self.path = home / "setup" / f"{name}.json"

    def read(self) -> dict[str, str]:
        try:
            found = json.loads(self.path.read_text())
            return {str(name): str(value) for name, value in found.items()}
        except (OSError, ValueError, AttributeError):
            return {}  # nothing is lost: the board itself says what was done

    def write(self, **facts: str) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(self.path, json.dumps(facts).encode())


def set_up(
    unit: Unit,
    wishes: Wishes,
    office: Office,
    progress: Progress,
    units: Callable[[], Sequence[Unit]],
) -> Done:
    """Do all of it to a board, which the caller has locked; raises BoardError, ToolError."""
    memory = Memory(wishes.home, unit)
    known = memory.read()
    name = wishes.bed if wishes.bed is not None else known.get("bed")
    # What is wrong with the plan is said before anything is written.
    plan = make_plan(wishes.ward, find_bed(wishes.ward, name))
    office.sites.check(plan.sites)
    kind = plan.bed.board or wishes.ward.board
    with progress.held():
        done = _flash(unit, wishes, kind, progress, units, office.sites.gateways)
    board = GatewayBoard(done.port if done else unit.device, office.sites.gateways)
    seen = board.look()
    _check_same(unit, seen.unique_id, known, done, bool(wishes.bed))
    memory.write(bed=plan.bed.name, chip=seen.unique_id)
    made = provision(
        board, plan, office, progress,
        boards=wishes.flash.boards if wishes.flash else BOARDS,
        erase_log=wishes.erase_log, trial=wishes.trial,
    )  # fmt: skip
    failed = {folder: why for folder, why in made.brokers.items() if why}
    if failed:
        folder, why = next(iter(failed.items()))
        raise ToolError(f"{folder}: {why}", "The broker must know the gateway; then run it again.")
    test = Acceptance(board, made.kind, plan, office, progress, wishes.listen_s, wishes.silent)
    accepted = test.run(made.log, wishes.trial)
    entry = _enter(office, made, accepted, progress)
    progress.begin("label")
    label = Label(
        made.gateway, made.bed, made.kind.name, made.fingerprint,
        office.now().date().isoformat(), entry,
    )  # fmt: skip
    files = label.write(wishes.labels / made.gateway)
    progress.end("done", str(files[0]))
    return Done(made, accepted, entry, files, done)


def _flash(
    unit: Unit,
    wishes: Wishes,
    board: str | None,
    progress: Progress,
    units: Callable[[], Sequence[Unit]],
    gateways: Gateways,
) -> Flashed | None:
    order = wishes.flash
    if order is None:
        return None
    order = replace(
        order,
        id=None,
        port=unit.device or None,
        drive=unit.drive,
        gateways=gateways,
        board=order.board or board,
    )
    return flash(order, progress, lambda: list(units()), is_locked=True)


def _check_same(
    unit: Unit, chip: str, known: dict[str, str], done: Flashed | None, is_named: bool
) -> None:
    """Raise BoardError when another board answers than the one that was meant."""
    if done is not None and done.unique_id and done.unique_id != chip:
        raise BoardError(
            "wrong-board",
            f"{unit.identity}: chip {done.unique_id} was flashed, and {chip} answers now",
            "Leave one board at a time at this place, and run the same again.",
        )
    if known.get("chip", chip) != chip and not is_named:
        raise BoardError(
            "wrong-board",
            f"{unit.identity}: here was chip {known['chip']} for {known.get('bed')}, and this is "
            f"{chip}",
            "If it is another board, say its bed: --bed.",
        )


def _enter(office: Office, made: Provisioned, accepted: Accepted, progress: Progress) -> str:
    progress.begin("birth record")
    entry = office.register.add(
        office.signer, ACCEPTED, made.gateway, office.now(),
        bed=made.bed, board=made.kind.name, unique_id=made.unique_id, log=made.log,
        fingerprint=made.fingerprint, found=asdict(accepted),
    )  # fmt: skip
    progress.end("done", f"line {entry.number + 1}, {entry.hash[:16]}")
    return entry.hash
