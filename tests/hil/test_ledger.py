"""The ledger keeps what was on the wire, in order, and what was spoilt apart from it."""

import json
import time
from pathlib import Path

from hil.ledger import Ledger


def test_rows_keep_their_order_by_bed_device_and_group() -> None:
    ledger = Ledger()
    for number in range(3):
        ledger.record("bed-1", "ventilator", 0x24, {"VT": str(480 + number)})
    ledger.record("bed-1", "ventilator", 0x29, {"RR set": "15.0"})
    ledger.record("bed-2", "oximeter", 0, {"SpO2": None})
    rows = ledger.rows("bed-1")
    assert set(rows) == {("ventilator", 0x24), ("ventilator", 0x29)}
    assert [row.values["VT"] for row in rows[("ventilator", 0x24)]] == ["480", "481", "482"]
    assert (ledger.produced, ledger.damaged) == (5, 0)


def test_spoilt_messages_are_no_observations() -> None:
    ledger = Ledger()
    ledger.record_damaged("bed-1", "oximeter", 0, {"SpO2": "97"})
    assert (ledger.produced, ledger.damaged) == (0, 1)
    assert ledger.rows("bed-1") == {}
    assert ledger.damaged_rows("bed-1")[("oximeter", 0)][0].values == {"SpO2": "97"}


def test_time_is_when_it_was_recorded() -> None:
    ledger = Ledger()
    before_ms = int(time.time() * 1000)
    ledger.record("bed-1", "oximeter", 0, {"SpO2": "97"})
    after_ms = time.time() * 1000 + 1
    assert before_ms <= ledger.rows("bed-1")[("oximeter", 0)][0].utc_ms <= after_ms
    assert (ledger.produced_since(before_ms), ledger.produced_since(before_ms + 60_000)) == (1, 0)


def test_later_changes_of_the_values_do_not_reach_the_ledger() -> None:
    ledger, values = Ledger(), {"SpO2": "97"}
    ledger.record("bed-1", "oximeter", 0, values)
    values["SpO2"] = "12"
    ledger.rows("bed-1")[("oximeter", 0)].clear()
    assert ledger.rows("bed-1")[("oximeter", 0)][0].values == {"SpO2": "97"}


def test_dump_is_one_object_a_line(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.record("bed-1", "oximeter", 0, {"SpO2": "97", "PI": None})
    ledger.record_damaged("bed-1", "oximeter", 0, {"SpO2": "96"})
    ledger.dump(tmp_path / "ledger.jsonl")
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["damaged"] for entry in entries] == [False, True]
    assert entries[0]["values"] == {"SpO2": "97", "PI": None}
    assert (entries[0]["bed"], entries[0]["device"], entries[0]["group"]) == (
        "bed-1",
        "oximeter",
        0,
    )
