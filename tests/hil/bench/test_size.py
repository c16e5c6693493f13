"""Bytes are only believed of what reads back exactly as it was written."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.core.journal import layout
from hil.bench import peers, size
from hil.bench.recording import Recording, model_recording, read_recording

SECTORS = 2


@pytest.fixture(scope="module")
def monitor() -> Recording:
    return model_recording(1)


@pytest.fixture
def waves(tmp_path: Path) -> Recording:
    """Two waveforms of 100 samples a second, one with blanks."""
    lines = ["time_s,ECG[adu],PLETH[adu]"]
    for step in range(1500):
        ecg = round(900 * math.sin(step / 7) ** 9) + step * 7919 % 13
        pleth = "" if step % 97 == 5 else round(500 * math.sin(step / 31))
        lines.append(f"{step / 100:.2f},{ecg},{pleth}")
    path = tmp_path / "waves.csv"
    path.write_text("\n".join(lines) + "\n")
    return read_recording(path)


def test_value_is_whole_closed_sectors_over_what_they_span(monitor: Recording) -> None:
    found = size.measure(monitor, 1, SECTORS, 1)
    assert found.sectors == SECTORS
    assert found.value == found.sectors * layout.SECTOR_SIZE / found.seconds
    # One row a second, so the closed sectors hold about as many rows as seconds.
    assert abs(found.events - found.seconds) < 3


def test_peers_get_the_messages_of_the_closed_sectors(monitor: Recording) -> None:
    found = size.measure(monitor, 1, SECTORS, 1)
    rows = [monitor.rows[index % len(monitor.rows)] for index in range(found.events)]
    least = sum(
        len(peers.to_json(peers.line("monitor", 0, size._values(monitor.columns, row))))
        for row in rows
    )
    theirs = found.peers[peers.JSON]
    assert theirs is not None
    assert theirs * found.seconds == pytest.approx(least)


def test_longer_commits_take_fewer_bytes(monitor: Recording) -> None:
    at_once = size.measure(monitor, 1, SECTORS, 1)
    later = size.measure(monitor, 5, SECTORS, 2)
    assert later.value < at_once.value
    assert (later.peers[peers.DEFLATED] or 0) < (at_once.peers[peers.DEFLATED] or 0)


@pytest.mark.parametrize(("commit_s", "seed"), [(2, 1), (3, 5)])
def test_the_last_commit_of_a_sector_reads_back_as_well(
    tmp_path: Path, commit_s: float, seed: int
) -> None:
    # These leave a sector's last commit so little room that its end has to share it.
    lines = ["time_s,SpO2[%],Temp[degC]"]
    for second in range(300):
        spo2 = "" if second % 9 == 4 else 90 + second % 7
        lines.append(f"{second},{spo2},{36 + second % 5 / 10:.1f}")
    path = tmp_path / "bed.csv"
    path.write_text("\n".join(lines) + "\n")
    assert size.measure(read_recording(path), commit_s, 1, seed).sectors == 1


def test_same_seed_gives_the_same_figure(monitor: Recording) -> None:
    assert size.measure(monitor, 1, 1, 3) == size.measure(monitor, 1, 1, 3)


def test_recording_begins_again_one_period_behind_its_end(monitor: Recording) -> None:
    short = Recording("short", monitor.columns, (5.0, 6.0, 7.0), monitor.rows[:3])
    rounds = size._rounds(short)
    assert [next(rounds)[0] for _ in range(5)] == [0, 1, 2, 3, 4]


def test_waves_are_counted_by_the_sample_and_read_back_exactly(waves: Recording) -> None:
    assert waves.has_waves
    found = size.measure(waves, 1, 1, 1)
    assert found.sectors >= 1
    assert found.value == found.sectors * layout.SECTOR_SIZE / found.events
    assert 0.2 < found.value < 4


def spoil(change: Callable[[Any], None]) -> Callable[[size._Log], list[size._Sector]]:
    """Return a `read_back` that changes the third record it found."""
    real = size._Log.read_back

    def read_back(log: size._Log) -> list[size._Sector]:
        kept = real(log)
        change(kept[0].records[2])
        return kept

    return read_back


def _move_value(record: Any) -> None:
    record.values[3].value += 1


def _move_state(record: Any) -> None:
    record.values[3].state = 2


def _move_time(record: Any) -> None:
    record.mono_ms += 10


def _rename(record: Any) -> None:
    record.device.name = "another"


@pytest.mark.parametrize("change", [_move_value, _move_state, _move_time, _rename])
def test_one_spoilt_record_is_found(
    monitor: Recording, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]
) -> None:
    monkeypatch.setattr(size._Log, "read_back", spoil(change))
    with pytest.raises(size.Inexact):
        size.measure(monitor, 1, 1, 1)


def _move_sample(record: Any) -> None:
    record.samples[-1] = (record.samples[-1] or 0) + 1


@pytest.mark.parametrize("change", [_move_sample, _move_time])
def test_one_spoilt_stretch_of_a_wave_is_found(
    waves: Recording, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]
) -> None:
    monkeypatch.setattr(size._Log, "read_back", spoil(change))
    with pytest.raises(size.Inexact):
        size.measure(waves, 1, 1, 1)


def test_a_record_too_few_is_found(monitor: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    real = size._Log.read_back

    def read_back(log: size._Log) -> list[size._Sector]:
        kept = real(log)
        del kept[-1].records[-1:]
        return kept

    monkeypatch.setattr(size._Log, "read_back", read_back)
    with pytest.raises(size.Inexact, match="written"):
        size.measure(monitor, 1, 1, 1)


def test_bytes_changed_on_flash_are_found(
    monitor: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = size.Gateway.boot

    def boot(gateway: size.Gateway) -> Any:
        journal, clock = real(gateway)
        read = journal.read

        def read_spoilt(cls: int, number: int, offset: int, buffer: bytearray) -> bool:
            held: bool = read(cls, number, offset, buffer)
            buffer[1000] ^= 1
            return held

        journal.read = read_spoilt
        return journal, clock

    monkeypatch.setattr(size.Gateway, "boot", boot)
    with pytest.raises(size.Inexact):
        size.measure(monitor, 1, 1, 1)
