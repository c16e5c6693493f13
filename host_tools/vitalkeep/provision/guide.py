"""What the guided page shows and may start: a ward's beds, the boards plugged in, and runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vitalkeep.board.units import Unit
from vitalkeep.errors import ToolError
from vitalkeep.keys.births import RENEWED, Entry, Register
from vitalkeep.provision.runs import ACCEPTED, Asked, Run, Runs
from vitalkeep.provision.setup import Done, Memory
from vitalkeep.ward.plan import Ward


class Guide:
    """One ward at one computer. `look` and `label` read files, so they may take a moment.

    ward    returns the plan as its file is now; raises ToolError
    units   returns the boards that are plugged in
    silent  whether "devices come later" is ticked from the start
    """

    def __init__(
        self,
        ward: Callable[[], Ward],
        register: Register,
        home: Path,
        units: Callable[[], Sequence[Unit]],
        runs: Runs,
        silent: bool = False,
    ) -> None:
        self.runs = runs
        self._read_ward = ward
        self._ward = ward()
        self._register = register
        self._home = home
        self._find_units = units
        self._silent = silent
        self._stamp: tuple[int, int] | None = None
        self._entries: list[Entry] = []
        self._seen: dict[str, Any] = {"beds": [], "boards": [], "trouble": None}

    def look(self) -> bool:
        """See beds, boards and what is accepted; say whether something is new."""
        trouble = None
        boards: list[dict[str, str]] = []
        try:
            boards = [self._board(unit) for unit in self._find_units()]
            self._ward = self._read_ward()
            self._read_register()
        except ToolError as error:
            trouble = {"message": error.message, "hint": error.hint}
        except OSError as error:
            trouble = {"message": str(error), "hint": "May you read that, and is it there?"}
        beds = [self._bed(bed.name, bed.gateway, bed.board) for bed in self._ward.beds]
        seen = {"beds": beds, "boards": boards, "trouble": trouble}
        is_new = seen != self._seen
        self._seen = seen
        return is_new

    def snapshot(self) -> dict[str, Any]:
        """Return all that the page shows."""
        return {
            **self._seen,
            "silent": self._silent,
            "ending": self.runs.is_ending,
            "runs": [self._run(run) for run in self.runs.all()],
        }

    def start(self, asked: Asked) -> None:
        """Begin a run of a bed and a board; raises BoardError, ToolError."""
        if asked.bed not in [bed.name for bed in self._ward.beds]:
            raise ToolError(f"no bed {asked.bed!r} in the ward's file", "Choose one of the list.")
        self.runs.start(asked)

    def label(self, bed: str) -> bytes | None:
        """Return the label, an SVG, that a bed's run has made."""
        run = self.runs.of(bed)
        if run is None or run.done is None:
            return None
        return run.done.label[0].read_bytes()

    def _read_register(self) -> None:
        """Read and check it when it has changed; raises ToolError."""
        try:
            found = self._register.path.stat()
        except FileNotFoundError:
            self._stamp, self._entries = None, []
            return
        stamp = (found.st_mtime_ns, found.st_size)
        if stamp != self._stamp:
            self._entries = self._register.entries()
            self._stamp = stamp

    def _bed(self, name: str, gateway: str, board: str | None) -> dict[str, Any]:
        life = [e for e in self._entries if e.gateway == gateway and e.event != RENEWED]
        return {
            "name": name,
            "gateway": gateway,
            "board": board or self._ward.board,
            "last": _line(life[-1]) if life else None,
        }

    def _board(self, unit: Unit) -> dict[str, str]:
        return unit.as_dict() | {"bed": Memory(self._home, unit).read().get("bed", "")}

    def _run(self, run: Run) -> dict[str, Any]:
        line = None
        if run.state == ACCEPTED and run.done is not None:
            line = self._line_of(run.done)
        return run.as_dict() | {"line": line}

    def _line_of(self, done: Done) -> dict[str, Any] | None:
        found = [entry for entry in self._entries if entry.hash == done.entry]
        return _line(found[0]) if found else None


def _line(entry: Entry) -> dict[str, Any]:
    at = entry.fields["at"]
    return {"line": entry.number + 1, "event": entry.event, "at": at, "hash": entry.hash}
