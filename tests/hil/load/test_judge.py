"""What is missing and what was changed must be found, or 200 kills would prove nothing."""

from pathlib import Path

import pytest

from bridge.core.journal import layout
from hil.load import judge, shape
from hil.load.logs import write_log
from hil.load.replay import Replay
from vitalkeep.hub.sectors import OPEN, Place, Stored

WHO = shape.identity(5, 3)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    path: Path = tmp_path_factory.mktemp("load") / "log"
    path.write_bytes(write_log(WHO, 40))
    made = Replay(path)
    made.advance(made.length_ms)
    return made


def compare(log: Replay, length: int, data: bytes | None) -> judge.Findings:
    place = Place(WHO.id, WHO.log, 0, 0)
    stored = {place: None if data is None else Stored(data, OPEN)}
    return judge.compare(WHO, log, {(0, 0): length}, stored)


def test_what_was_sent_is_good(log: Replay) -> None:
    found = compare(log, 200, log.prefix(0, 0, 200))
    assert found.good
    assert (found.sectors, found.bytes) == (1, 200)


def test_more_than_was_receipted_is_good(log: Replay) -> None:
    assert compare(log, 150, log.prefix(0, 0, 200)).good


@pytest.mark.parametrize("data", [None, b""])
def test_sector_that_is_not_there_is_missing(log: Replay, data: bytes | None) -> None:
    assert "200 bytes receipted, 0 stored" in compare(log, 200, data).missing[0]


def test_one_byte_less_is_missing(log: Replay) -> None:
    found = compare(log, 200, log.prefix(0, 0, 199))
    assert "199 stored" in found.missing[0]
    assert not found.changed


def test_one_other_bit_is_changed(log: Replay) -> None:
    data = bytearray(log.prefix(0, 0, 200))
    data[123] ^= 4
    found = compare(log, 200, bytes(data))
    assert "byte 123 is not what was sent" in found.changed[0]


def test_observations_are_counted_by_what_was_receipted(log: Replay) -> None:
    newest, end = log.newest(0)
    assert newest == 0
    # 40 commits of the monitor, behind one of the boot.
    assert log.observations(0, 0, end) == 40
    assert log.observations(0, 0, end - 1) == 39
    assert log.observations(0, 0, layout.HEADER_SIZE) == 0
    assert judge.observations([(log, {(0, 0): end, (1, 0): log.newest(1)[1]})]) == 48
