"""A dump tells what it holds, what proves it, what is missing and why."""

import csv
import json
import struct
from dataclasses import dataclass
from decimal import Decimal
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.core.events import NO_SAMPLE, Wave
from bridge.core.journal import layout
from bridge.core.journal.layout import SECTOR_SIZE
from hil.virtual_board.nor import NorChip, Partition, PowerCut
from tests.support.gateway import GATEWAY, LOG_ID, SITE, Flash, observation, values_of
from vitalkeep.commands.journal import journal
from vitalkeep.journal import chain
from vitalkeep.journal.dump import Dump
from vitalkeep.journal.inspect import Inspection
from vitalkeep.keys import derive
from vitalkeep.keys.provision import key_region
from vitalkeep.keys.vault import Vault

_ROOT = b"r" * 32
_KEY_BLOCKS = 4


@dataclass
class Bedside:
    """A gateway of a vault, on a chip: keys first, then the log."""

    vault: Path
    flash: Flash
    expected: dict[int, list[Any]]  # by step

    def dump(self, path: Path) -> Path:
        path.write_bytes(self.flash.chip.store)
        return path


def gateway(folder: Path, sectors: int = 12) -> Bedside:
    vault = Vault.create(folder / "vault")
    vault.add_gateway(GATEWAY, "ICU 4", _ROOT, LOG_ID)

    def make_chip(store: bytearray, size: int) -> NorChip:
        return NorChip(store, size)

    flash = Flash(sectors, _KEY_BLOCKS, make_chip)
    size = _KEY_BLOCKS * SECTOR_SIZE
    flash.chip.store[:size] = key_region(_ROOT, GATEWAY, LOG_ID, [SITE], _KEY_BLOCKS)
    return Bedside(folder / "vault", flash, {})


def fill(bedside: Bedside, steps: int, first: int = 0, utc_ms: int = 0) -> None:
    journal, clock = bedside.flash.boot()
    for step in range(first, first + steps):
        clock.now_ms += 1000
        made, values = observation(step)
        journal.observation(0, 0, made, clock.now_ms)
        journal.commit(0)
        bedside.expected[step] = values
        journal.idle()
    if utc_ms:
        clock.state = layout.CLOCK_SITE
        journal.clock_set(utc_ms, 20)


def inspect(dump: Path, vault: Path | None, **place: int) -> tuple[Inspection, list[Any]]:
    records: list[Any] = []
    opened = Dump(dump, **place)
    inspection = Inspection(
        opened,
        Vault.open(vault) if vault else None,
        lambda place, sector, proof: records.extend(proof.records),
    )
    inspection.run()
    opened.close()
    return inspection, records


def states(inspection: Inspection, cls: int = 0) -> list[str]:
    return [proof.state for proof in inspection.classes[cls].proofs]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(journal, ["inspect", *map(str, arguments)])


@pytest.fixture
def bedside(tmp_path: Path) -> Bedside:
    made = gateway(tmp_path)
    fill(made, 460, utc_ms=1790000000000)
    return made


def test_a_sound_dump_is_proven_and_read_whole(bedside: Bedside, tmp_path: Path) -> None:
    inspection, records = inspect(bedside.dump(tmp_path / "flash.bin"), bedside.vault)
    assert [finding for finding in inspection.findings if finding.damage] == []
    assert states(inspection) == [chain.VERIFIED] * (len(states(inspection)) - 1) + [chain.OPEN]
    assert len(states(inspection)) > 2
    found = [values_of(record) for record in records if record.kind == 1]
    assert found == list(bedside.expected.values())
    assert inspection.classes[0].bed == "ICU 4"
    (region,) = inspection.key_regions
    assert (region.gateway, region.live, region.spares) == (GATEWAY, 3, 8)


def test_a_power_cut_is_worth_knowing_and_no_damage(bedside: Bedside, tmp_path: Path) -> None:
    bedside.flash.chip.cut_after(40, 7)
    with pytest.raises(PowerCut):
        fill(bedside, 60, 460)
    bedside.flash.chip.power_on()
    fill(bedside, 5, 600)
    inspection, records = inspect(bedside.dump(tmp_path / "flash.bin"), bedside.vault)
    assert not inspection.is_damaged
    found = [values_of(record) for record in records if record.kind == 1]
    assert [values for values in bedside.expected.values() if values not in found] == []


def test_without_a_vault_the_structure_is_told(bedside: Bedside, tmp_path: Path) -> None:
    dump = bedside.dump(tmp_path / "flash.bin")
    inspection, records = inspect(dump, None)
    assert set(states(inspection)) == {chain.NO_KEY}
    assert records == []
    result = run(dump)
    assert result.exit_code == 0
    assert f"{GATEWAY.hex()}: the vault of that gateway would open them" in result.output


def test_a_vault_of_others_opens_nothing(bedside: Bedside, tmp_path: Path) -> None:
    Vault.create(tmp_path / "other").add_gateway(b"gateway2", "ICU 5", None, LOG_ID)
    inspection, records = inspect(bedside.dump(tmp_path / "flash.bin"), tmp_path / "other")
    assert set(states(inspection)) == {chain.NO_KEY}
    assert records == []


def test_another_root_key_fits_no_seal(bedside: Bedside, tmp_path: Path) -> None:
    Vault.create(tmp_path / "other").add_gateway(GATEWAY, "ICU 5", b"x" * 32, LOG_ID)
    inspection, _ = inspect(bedside.dump(tmp_path / "flash.bin"), tmp_path / "other")
    assert set(states(inspection)[:-1]) == {chain.BROKEN}
    assert inspection.is_damaged


def log_place(number: int, flash: Flash) -> int:
    """Return where in the chip the sector of class A with this number stands."""
    for block in range(flash.sectors):
        at = (_KEY_BLOCKS + block) * SECTOR_SIZE
        try:
            header = layout.parse_header(flash.chip.store[at : at + layout.HEADER_SIZE])
        except Exception:
            continue
        if (header.cls, header.number) == (0, number):
            return at
    raise AssertionError(number)


_SOUND: dict[str, Any] = {}


@settings(max_examples=120, deadline=None)
@given(
    number=st.integers(0, 1),
    # Half of them in the header, where what a change means depends on the field.
    at=st.one_of(st.integers(0, layout.HEADER_SIZE - 1), st.integers(0, SECTOR_SIZE - 1)).filter(
        lambda at: at != layout.RELEASED_AT
    ),
    change=st.integers(1, 255),
)
@example(number=0, at=8, change=9)  # another gateway's id, with as many zeros
def test_any_changed_byte_of_a_sealed_sector_is_found_by_its_place(
    number: int, at: int, change: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if not _SOUND:
        folder = tmp_path_factory.mktemp("sound")
        made = gateway(folder)
        fill(made, 460)
        _SOUND.update(bedside=made, folder=folder, image=bytes(made.flash.chip.store))
    made = _SOUND["bedside"]
    place = log_place(number, made.flash)
    image = bytearray(_SOUND["image"])
    image[place + at] ^= change
    dump = _SOUND["folder"] / "changed.bin"
    dump.write_bytes(image)
    inspection, _ = inspect(dump, made.vault)
    places = [finding.offset for finding in inspection.findings if finding.damage]
    assert any(place <= offset < place + SECTOR_SIZE for offset in places), inspection.findings


def test_a_damaged_seal_is_told_from_damaged_bytes(bedside: Bedside, tmp_path: Path) -> None:
    store = bedside.flash.chip.store
    end, tag = layout.parse_seal(store[log_place(0, bedside.flash) :][:SECTOR_SIZE])
    wrong = layout.pack_seal(end, bytes((tag[0] ^ 3,)) + tag[1:])
    place = log_place(0, bedside.flash) + layout.SEAL_AT
    store[place : place + len(wrong)] = wrong
    inspection, _ = inspect(bedside.dump(tmp_path / "flash.bin"), bedside.vault)
    assert states(inspection)[:2] == [chain.BROKEN, chain.VERIFIED]
    assert any("confirms the bytes of the one before" in f.text for f in inspection.findings)


def test_a_dropped_sector_is_missed(bedside: Bedside, tmp_path: Path) -> None:
    place = log_place(1, bedside.flash)
    bedside.flash.chip.store[place : place + SECTOR_SIZE] = b"\xff" * SECTOR_SIZE
    inspection, _ = inspect(bedside.dump(tmp_path / "flash.bin"), bedside.vault)
    assert states(inspection)[:2] == [chain.VERIFIED, chain.UNPROVEN]
    assert any("sector 1: not here, and no gap record" in f.text for f in inspection.findings)


def test_a_replayed_sector_is_named(bedside: Bedside, tmp_path: Path) -> None:
    store = bedside.flash.chip.store
    first, last = log_place(0, bedside.flash), len(store) - SECTOR_SIZE
    store[last:] = store[first : first + SECTOR_SIZE]
    inspection, _ = inspect(bedside.dump(tmp_path / "flash.bin"), bedside.vault)
    damage = [finding for finding in inspection.findings if finding.damage]
    assert [finding.offset for finding in damage] == [last]
    assert f"its number is also at 0x{first:x}" in damage[0].text


def test_a_number_that_cannot_be_is_refused_and_costs_nothing(
    bedside: Bedside, tmp_path: Path
) -> None:
    store = bedside.flash.chip.store
    place = log_place(1, bedside.flash)
    header = layout.parse_header(store[place : place + layout.HEADER_SIZE])
    header.number = 0xFFFFFF00
    store[place : place + layout.HEADER_SIZE] = header.pack(header.random)
    inspection, _ = inspect(bedside.dump(tmp_path / "flash.bin"), bedside.vault)
    found = [finding for finding in inspection.findings if finding.offset == place]
    assert any("too_far_ahead" in finding.text for finding in found)


def test_what_was_overwritten_is_explained(tmp_path: Path) -> None:
    made = gateway(tmp_path, sectors=8)
    fill(made, 1200)
    inspection, _ = inspect(made.dump(tmp_path / "flash.bin"), made.vault)
    gaps = [finding.text for finding in inspection.findings if finding.code == "gap"]
    assert any("overwritten before a receipt came" in text for text in gaps)
    assert not inspection.is_damaged
    assert chain.UNPROVEN in states(inspection)


def test_other_bytes_are_not_taken_for_a_log(tmp_path: Path) -> None:
    file = tmp_path / "noise.bin"
    file.write_bytes(bytes(range(256)) * 64)
    result = run(file)
    assert "No log here." in result.output
    (tmp_path / "short.bin").write_bytes(b"x" * 100)
    assert run(tmp_path / "short.bin").exit_code != 0
    assert run(tmp_path / "absent.bin").exit_code != 0


def _partition_table(entries: list[tuple[str, int, int]]) -> bytes:
    table = b""
    for label, offset, size in entries:
        table += struct.pack("<2sBBII16sI", b"\xaa\x50", 1, 0x40, offset, size, label.encode(), 0)
    table += b"\xeb\xeb" + b"\xff" * 14 + md5(table).digest()
    return table + b"\xff" * (0xC00 - len(table))


def test_a_whole_chip_is_read_by_its_partition_table(bedside: Bedside, tmp_path: Path) -> None:
    store = bytes(bedside.flash.chip.store)
    keys = _KEY_BLOCKS * SECTOR_SIZE
    chip = bytearray(b"\x5a" * 0x10000) + store + b"\xa5" * 8192
    table = _partition_table(
        [("keys", 0x10000, keys), ("journal", 0x10000 + keys, len(store) - keys)]
    )
    chip[0x8000 : 0x8000 + len(table)] = table
    file = tmp_path / "chip.bin"
    file.write_bytes(chip)
    inspection, _ = inspect(file, bedside.vault)
    assert not inspection.is_damaged
    assert inspection.blocks["not a log's"] == 0
    assert len(inspection.key_regions) == 1
    whole = len(inspection.classes[0].sectors)
    chip[0x8000] ^= 1  # without its table every block is looked at
    file.write_bytes(chip)
    inspection, _ = inspect(file, bedside.vault)
    assert len(inspection.classes[0].sectors) == whole
    assert inspection.blocks["not a log's"] > 0


def test_a_dump_cut_short_says_so(bedside: Bedside, tmp_path: Path) -> None:
    file = bedside.dump(tmp_path / "flash.bin")
    file.write_bytes(file.read_bytes()[: 9 * SECTOR_SIZE + 77])
    inspection, records = inspect(file, bedside.vault)
    assert [finding.code for finding in inspection.findings if finding.damage] == ["cut-short"]
    assert records


def test_exports_give_back_every_value(bedside: Bedside, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    dump = bedside.dump(tmp_path / "flash.bin")
    files = {kind: tmp_path / f"rows.{kind}" for kind in ("csv", "jsonl", "parquet")}
    options = [part for kind, path in files.items() for part in (f"--{kind}", path)]
    result = run(dump, "--vault", bedside.vault, *options, "--json")
    assert result.exit_code == 0, result.output
    wanted = []
    for values in bedside.expected.values():
        for index, value in enumerate(values):
            scaled = None if value is None else Decimal(value).scaleb(-(index % 2))
            wanted.append(scaled)
    rows = list(csv.DictReader(files["csv"].open()))
    assert [Decimal(row["value"]) if row["value"] else None for row in rows] == wanted
    lines = [json.loads(line) for line in files["jsonl"].open()]
    assert [Decimal(row["value"]) if row["value"] else None for row in lines] == wanted
    table = parquet.read_table(files["parquet"]).to_pylist()
    exact = [
        None if row["value"] is None else Decimal(row["value"]).scaleb(-row["decimals"])
        for row in table
    ]
    assert exact == wanted
    assert rows[1]["parameter"] == "PR"
    assert rows[1]["mdc_code"] == "149530"
    assert lines[0]["utc"].endswith("Z")
    assert {row["utc_quality"] for row in lines} == {"site"}
    assert {row["proof"] for row in lines} == {"verified", "open"}
    # The clock record said 2026-09-21T14:13:20Z when the last observation was made.
    assert lines[-1]["utc"] == "2026-09-21T14:13:20.000Z"


def test_waveforms_are_exported_without_loss(tmp_path: Path) -> None:
    made = gateway(tmp_path)
    board, clock = made.flash.boot()
    clock.now_ms = 5000
    wave = Wave(8)
    wave.parameter, wave.decimals, wave.period_us, wave.count = 32, 1, 16000, 8
    samples = [0, 12, -7, None, 3000, -3000, 5, 5]
    for index, sample in enumerate(samples):
        wave.samples[index] = NO_SAMPLE if sample is None else sample
    board.wave(2, 0, wave, clock.now_ms)
    board.commit(2)
    file = tmp_path / "waves.jsonl"
    result = run(made.dump(tmp_path / "flash.bin"), "--vault", made.vault, "--waves", file)
    assert result.exit_code == 0, result.output
    (row,) = [json.loads(line) for line in file.open()]
    assert row["samples"] == samples
    assert (row["parameter"], row["period_us"], row["decimals"]) == ("Paw", 16000, 1)
    assert row["utc"] is None


def test_damage_ends_with_1_and_keys_are_never_shown(bedside: Bedside, tmp_path: Path) -> None:
    bedside.flash.chip.store[log_place(1, bedside.flash) + 200] ^= 0x10
    dump = bedside.dump(tmp_path / "flash.bin")
    for option in ((), ("--json",)):
        result = run(dump, "--vault", bedside.vault, *option)
        assert result.exit_code == 1
        for secret in (_ROOT, derive.chain_key(_ROOT, GATEWAY, LOG_ID, 0)):
            assert secret.hex() not in result.output
    found = json.loads(run(dump, "--vault", bedside.vault, "--json").stdout)
    assert found["damaged"]
    assert found["classes"][0]["sectors"][1]["state"] == "broken"


def test_exports_without_a_vault_are_a_usage_error(bedside: Bedside, tmp_path: Path) -> None:
    result = run(bedside.dump(tmp_path / "flash.bin"), "--csv", tmp_path / "rows.csv")
    assert result.exit_code == 2
    assert "--vault" in result.output


def test_the_partition_alone_is_found_by_offset_and_size(bedside: Bedside, tmp_path: Path) -> None:
    dump = bedside.dump(tmp_path / "flash.bin")
    start = _KEY_BLOCKS * SECTOR_SIZE
    inspection, _ = inspect(dump, bedside.vault, offset=start, size=12 * SECTOR_SIZE)
    assert inspection.key_regions == []
    assert not inspection.is_damaged
    assert Partition(bedside.flash.chip, start, 12 * SECTOR_SIZE).ioctl(4, 0) == 12
