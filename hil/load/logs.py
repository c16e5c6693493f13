"""The logs of a load, written by the firmware's journal, and kept for the next run.

A log's file is a JSON line and then the sectors' bytes. The line has, by class, how many sectors
there are and every commit as [milliseconds since the boot, sector, its end in it, values]; the
first stands for all that was written at power-on.
"""

import hashlib
import json
import os
import random
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import bridge
from bridge.core.events import VALID, Observation
from bridge.core.journal import layout, records
from bridge.core.journal.keyring import KeyRing
from bridge.core.journal.ring import Journal
from hil.errors import RigError
from hil.load import shape
from hil.power_cuts.gateway import HandClock
from hil.virtual_board.nor import NorChip, Partition
from vitalkeep.keys.cipher import Aes256
from vitalkeep.keys.provision import key_region

_KEY_BLOCKS = 4
_SPARE_SECTORS = 16
_SECTOR_S = 200  # a sector lasts longer than that
_AT_ONCE = 20  # logs that a process makes before it says so
_SITE = bytes(8)  # a gateway's log does not depend on its sites

Tell = Callable[[int], None]


def make_logs(
    count: int, seconds: int, seed: int, tell: Tell = lambda done: None, folder: Path | None = None
) -> Path:
    """Return the folder with at least so many gateways' logs of at least so long.

    tell    called with the number of logs that are there, now and then
    folder  to keep them in; by default one that this user alone can read, under the system's
            folder for what is temporary
    Raises  RigError when that folder is somebody else's
    """
    home = folder or _cache()
    for known in sorted(home.glob(f"{seed}-*"), key=_length):
        if _length(known) >= seconds and (known / _name(count - 1)).exists():
            return known
    target = home / f"{seed}-{seconds}"
    target.mkdir(parents=True, exist_ok=True)
    missing = [number for number in range(count) if not (target / _name(number)).exists()]
    parts = [missing[at : at + _AT_ONCE] for at in range(0, len(missing), _AT_ONCE)]
    done = count - len(missing)
    tell(done)
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=get_context("spawn")) as pool:
        for part in as_completed([pool.submit(_make, target, p, seconds, seed) for p in parts]):
            done += part.result()
            tell(done)
    return target


def log_path(folder: Path, number: int) -> Path:
    return folder / _name(number)


def _name(number: int) -> str:
    return f"{number:05d}.log"


def _length(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _cache() -> Path:
    """Return this user's folder for logs that today's journal would write."""
    state = hashlib.sha256()
    core = Path(bridge.__file__).parent / "core"
    for path in (*sorted((core / "journal").glob("*.py")), Path(shape.__file__), Path(__file__)):
        state.update(path.read_bytes())
    user = os.getuid() if hasattr(os, "getuid") else 0
    home = Path(tempfile.gettempdir()) / f"vitalkeep-load-{user}"
    home.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and home.stat().st_uid != user:
        raise RigError(f"{home} is somebody else's.", "Remove it, or set TMPDIR.")
    return home / state.hexdigest()[:16]


def _make(folder: Path, numbers: list[int], seconds: int, seed: int) -> int:
    for number in numbers:
        path = folder / _name(number)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(write_log(shape.identity(seed, number), seconds))
        fresh.replace(path)
    return len(numbers)


def write_log(who: shape.Identity, seconds: int) -> bytes:
    """Return the file of one gateway that has run for so long."""
    writer = _Writer(who, seconds)
    phase_ms = shape.phase_ms(who.number)
    for second in range(seconds):
        writer.second(second, 1000 * (second + 1) + phase_ms)
    return writer.file()


class _Writer:
    """One gateway at its bedside: devices, journal, flash."""

    def __init__(self, who: shape.Identity, seconds: int) -> None:
        self._number = who.number
        self._lines = shape.lines(who.number)
        self._first_row = shape.first_row(who.number)
        self._recording = shape.recording()
        columns = self._recording.columns
        self._observations = [Observation(len(line.columns)) for line in self._lines]
        keys = bytearray(key_region(who.root, who.id, who.log, [_SITE], _KEY_BLOCKS))
        ring = KeyRing(Partition(NorChip(keys, len(keys)), 0, len(keys)))
        ring.recover()
        size = (_SPARE_SECTORS + seconds // _SECTOR_S) * layout.SECTOR_SIZE
        flash = bytearray(b"\xff" * size)
        self._clock = HandClock(shape.BOOT)
        self._journal = Journal(
            Partition(NorChip(flash, size), 0, size),
            ring,
            Aes256,
            random.Random(who.number).randbytes,
            self._clock,
            [line.device for line in self._lines],
            {c.parameter: c.extra for c in columns if c.extra},
        )
        self._journal.recover()
        self._commits: list[list[tuple[int, int, int, int]]] = []
        for cls in range(len(layout.CLASSES)):
            self._journal.event(cls, records.BOOT, "load reset power-on")
            self._journal.commit(cls)
            self._commits.append([(0, *self._journal.newest(cls), 0)])

    def second(self, second: int, now_ms: int) -> None:
        """Let every device that is due say its values, and the journal do its housekeeping."""
        self._clock.now_ms = now_ms
        rows, columns = self._recording.rows, self._recording.columns
        row = rows[(self._first_row + second) % len(rows)]
        for device, line in enumerate(self._lines):
            if not shape.says(line, self._number, second):
                continue
            made = self._observations[device]
            made.begin(line.device.unit, 1)
            for at in line.columns:
                made.add(columns[at].parameter, row[at], columns[at].decimals, VALID)
            self._journal.observation(line.cls, device, made, now_ms)
            self._journal.commit(line.cls)
            newest = self._journal.newest(line.cls)
            self._commits[line.cls].append((now_ms, *newest, len(line.columns)))
        self._journal.idle()

    def file(self) -> bytes:
        """Return what is on flash, class by class, and when it came there."""
        journal, sectors = self._journal, []
        for cls in range(len(layout.CLASSES)):
            for number in range(journal.newest(cls)[0] + 1):
                data = bytearray(layout.SECTOR_SIZE)
                journal.read(cls, number, 0, data)
                sectors.append(bytes(data))
        head: dict[str, Any] = {"commits": self._commits}
        return json.dumps(head).encode() + b"\n" + b"".join(sectors)
