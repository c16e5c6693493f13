"""The flash of a gateway that has kept a monitor's log for hours, written by the real journal."""

import random
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from bridge.core.journal import records
from bridge.core.journal.keyring import KeyRing
from bridge.core.journal.ring import Journal
from hil.bench.on_micropython.gateway import Source
from hil.bench.recording import Recording, find_recording, model_recording, read_recording
from hil.board import read_partitions
from hil.power_cuts.gateway import HandClock
from hil.virtual_board.nor import NorChip, Partition
from vitalkeep.keys.cipher import Aes256

DEVICE = "monitor"
_RECORDING = "or1_intellivue_1hz"
_PROTOCOL = "philips_intellivue"
_CLASS = 0
_BOOT = 1
_JITTER_MS = 3


@dataclass(frozen=True)
class Day:
    """What is in the log: `rows` observations, sectors 0 to `closed` - 1 with their seals."""

    recording: str
    rows: int
    closed: int
    bytes: int


def recording(seed: int) -> Recording:
    path = find_recording(_RECORDING)
    return read_recording(path) if path else model_recording(seed)


def write_day(flash: Path, board: str, hours: float, seed: int) -> Day:
    """Add a log of so many hours to a provisioned board's flash file; takes seconds of Python."""
    source_of = recording(seed)
    columns = source_of.columns
    draw = random.Random(seed)
    places = read_partitions(board)
    data = bytearray(flash.read_bytes())
    chip = NorChip(data, len(data))
    keys = KeyRing(Partition(chip, *places["keys"]))
    keys.recover()
    clock = HandClock(_BOOT)
    device = records.Device(DEVICE, _PROTOCOL, 0)
    medium = Partition(chip, *places["journal"])
    extras = source_of.extras
    journal = Journal(medium, keys, Aes256, draw.randbytes, clock, [device], extras)
    journal.recover()
    source = Source([c.parameter for c in columns], [c.decimals for c in columns])
    count = round(hours * 3600)
    for second, row in enumerate(islice(cycle(source_of.rows), count), 1):
        clock.now_ms = max(clock.now_ms, 1000 * second + draw.randint(-_JITTER_MS, _JITTER_MS))
        journal.observation(_CLASS, 0, source.observe(row), clock.now_ms)
        journal.commit(_CLASS)
        journal.idle()
    flash.write_bytes(data)
    newest, end = journal.newest(_CLASS)
    return Day(source_of.name, count, newest, newest * 4096 + end)
