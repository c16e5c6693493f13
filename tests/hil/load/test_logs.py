"""Logs of a load are real ones: a hub proves their seals and finds every value in them."""

from pathlib import Path

import pytest

from bridge.core.journal import layout
from hil.load import shape
from hil.load.logs import log_path, make_logs, write_log
from hil.load.replay import Replay
from vitalkeep.hub import sectors
from vitalkeep.hub.batch import Batch, Run
from vitalkeep.hub.decode import Row
from vitalkeep.hub.ingest import Ingest
from vitalkeep.hub.late import Decoders
from vitalkeep.hub.sectors import Place
from vitalkeep.hub.values import decimal
from vitalkeep.keys.cipher import Aes256
from vitalkeep.keys.vault import Gateway

WHO = shape.identity(1, 7)
SECONDS = 900  # class A closes a sector in it


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("load") / "log"
    made.write_bytes(write_log(WHO, SECONDS))
    return made


def take_all(path: Path) -> tuple[Ingest, Batch]:
    """Let a hub's ingest take a whole log, commit by commit, as the gateway wrote it."""
    ingest = Ingest([Gateway(WHO.id, "bed", WHO.root, (WHO.log,))], Aes256)
    batch = Batch(1000)
    for cls in range(3):
        log = Replay(path)
        number, at = 0, 0
        while True:
            newest, end = log.newest(cls)
            while number < newest:
                _take(ingest, batch, log, Place(WHO.id, WHO.log, cls, number), at)
                number, at = number + 1, 0
            place = Place(WHO.id, WHO.log, cls, number)
            _run(ingest, batch, place, at, log.prefix(cls, number, end)[at:])
            at = end
            if log.next_ms is None:
                break
            log.advance(log.next_ms)
    return ingest, batch


def _take(ingest: Ingest, batch: Batch, log: Replay, place: Place, at: int) -> None:
    """Take the rest of a closed sector."""
    whole = log.prefix(place.cls, place.sector, layout.SECTOR_SIZE)
    _run(ingest, batch, place, at, whole[at : log.closed_end(place.cls, place.sector)])
    _run(ingest, batch, place, layout.SEAL_AT, whole[layout.SEAL_AT :])


def _run(ingest: Ingest, batch: Batch, place: Place, at: int, data: bytes) -> None:
    for near in ingest.missing([place]):
        ingest.load(near, None)
    if data:
        ingest.take(Run(place, at, data), batch)


def test_hub_proves_and_decodes_all_of_it(path: Path) -> None:
    ingest, batch = take_all(path)
    assert not batch.alarms
    assert "quarantine" not in batch.rows
    assert ingest.sector(Place(WHO.id, WHO.log, 0, 0)).state == sectors.PROVEN
    recording, first = shape.recording(), shape.first_row(WHO.number)
    rows: dict[int, list[Row]] = {0: [], 1: [], 2: []}
    for task in filter(None, map(ingest.task, batch.dirty)):
        found = Decoders().decode(task, 1000)
        assert not found.error
        rows[task.place.cls] += found.rows["observations"]
    for line in shape.lines(WHO.number):
        seen = rows[line.cls]
        due = [second for second in range(SECONDS) if shape.says(line, WHO.number, second)]
        assert len(seen) == len(due)
        for second, row in zip(due, seen, strict=True):
            said = row["readings"]
            want = recording.rows[(first + second) % len(recording.rows)]
            texts = [decimal(want[at], recording.columns[at].decimals) for at in line.columns]
            assert [text for text, _, _ in said.values()] == texts


def test_values_are_those_of_the_commits_in_a_range(path: Path) -> None:
    log = Replay(path)
    log.advance(10_500 + shape.phase_ms(WHO.number))
    size = len(shape.lines(WHO.number)[0].columns)
    number, end = log.newest(0)
    assert log.values(0, number, 0, end) == 10 * size
    assert log.values(0, number, 0, end - 1) == 9 * size
    assert log.values(0, number, end, end) == 0


def test_made_logs_are_kept(tmp_path: Path) -> None:
    told: list[int] = []
    folder = make_logs(2, 20, 1, told.append, tmp_path)
    assert told[-1] == 2
    before = log_path(folder, 1).stat().st_mtime_ns
    # Fewer and shorter ones are there already, longer ones are not.
    assert make_logs(1, 10, 1, told.append, tmp_path) == folder
    assert log_path(folder, 1).stat().st_mtime_ns == before
    assert make_logs(1, 30, 1, told.append, tmp_path) != folder
    assert make_logs(1, 10, 2, told.append, tmp_path) != folder


def test_gateways_of_a_seed_are_the_same_and_all_different() -> None:
    assert shape.identity(1, 7) == WHO
    ids = {shape.identity(seed, number).id for seed in (1, 2) for number in range(50)}
    assert len(ids) == 100
    assert shape.values_per_s(1000) == pytest.approx(14400, rel=0.01)
