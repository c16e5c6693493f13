"""Observations as FHIR resources and as CSV: decimals, codes, states, times, ids."""

import csv
import json

from bridge.core.events import NO_VALUE, OVER_RANGE, QUESTIONABLE, VALID
from vitalkeep.hub.exports import lines
from vitalkeep.hub.exports.lines import Exported
from vitalkeep.journal import chain

ROW = {
    "gateway": b"GATEWAY1", "log": b"LOGLOGL1", "cls": 0, "sector": 7, "offset": 64, "idx": 1,
    "boot": 5, "mono_ms": 1_500, "device": "monitor", "protocol": "demo", "unit": 0, "grp": 0,
}  # fmt: skip
CLOCK = (1_700_000_000_000, 2, 20)
READINGS = {
    "SpO2": ["97.10", VALID, "%"],
    "PR": [None, NO_VALUE, "/min"],
    "HR": ["250", OVER_RANGE, "/min"],
    'Own "thing"': ["-3", QUESTIONABLE, ""],
}


def made(clock=CLOCK, **row):
    return Exported(ROW | {"readings": READINGS} | row, "Bed 1", clock, chain.VERIFIED)


def test_a_value_is_an_observation_with_its_own_decimals_code_and_unit():
    data, count = lines.fhir([made()])
    assert count == 4
    assert b'"value":97.10,' in data, "the device's decimals stay"
    saturation, pulse, heart, own = [json.loads(line) for line in data.decode().splitlines()]
    assert saturation["resourceType"] == "Observation"
    assert saturation["status"] == "final"
    assert saturation["code"]["coding"] == [
        {"system": lines.MDC, "code": "150456", "display": "MDC_PULS_OXIM_SAT_O2"}
    ]
    quantity = {"value": 97.1, "unit": "%", "system": lines.UCUM, "code": "%"}
    assert saturation["valueQuantity"] == quantity
    assert saturation["effectiveDateTime"] == "2023-11-14T22:13:21.500Z"
    assert saturation["subject"] == {"type": "Location", "display": "Bed 1"}
    assert "valueQuantity" not in pulse
    assert pulse["dataAbsentReason"]["coding"][0]["code"] == "unknown"
    assert heart["interpretation"][0]["coding"][0]["code"] == ">"
    assert own["note"] == [{"text": "questionable"}]
    assert own["code"] == {"text": 'Own "thing"'}
    assert own["valueQuantity"] == {"value": -3}


def test_an_id_is_the_positions_and_is_what_fhir_allows():
    first, _ = lines.fhir([made()])
    again, _ = lines.fhir([made()])
    other, _ = lines.fhir([made(offset=65)])
    assert first == again
    ids = [json.loads(line)["id"] for line in (first + other).decode().splitlines()]
    assert len(set(ids)) == 8
    assert all(len(one) <= 64 and one.isalnum() for one in ids)


def test_a_boot_whose_time_is_not_known_has_no_time_and_no_guess():
    data, _ = lines.fhir([made(clock=None)])
    assert b"effectiveDateTime" not in data
    data, _ = lines.rows([made(clock=None)])
    row = next(csv.DictReader(data.decode().splitlines()))
    assert (row["utc"], row["utc_quality"], row["mono_ms"]) == ("", "unknown", "1500")


def test_a_time_that_no_calendar_has_is_none_and_stops_nothing():
    for offset in (2**62, -(2**62), 2**48):
        data, count = lines.fhir([made(clock=(offset, 2, 20))])
        assert count == 4
        assert b"effectiveDateTime" not in data
        assert lines.rows([made(clock=(offset, 2, 20))])[1] == 4


def test_nothing_in_a_cell_is_calculated():
    readings = {"=1+2": ["-3.5", VALID, "@x"], "-a": ["+7", VALID, ""]}
    data, _ = lines.rows([made(device="=HYPERLINK(1)", readings=readings)])
    first, second = csv.DictReader(data.decode().splitlines())
    assert (first["device"], first["parameter"], first["ucum"]) == (
        "'=HYPERLINK(1)",
        "'=1+2",
        "'@x",
    )
    assert second["parameter"] == "'-a"
    assert (first["value"], second["value"]) == ("-3.5", "+7")


def test_csv_has_a_header_and_a_value_a_line():
    data, count = lines.rows([made()])
    found = list(csv.DictReader(data.decode().splitlines()))
    assert len(found) == count == 4
    assert found[0]["value"] == "97.10"
    assert found[0]["state"] == "valid"
    assert found[0]["proof"] == "verified"
    assert found[0]["mdc_code"] == "150456"
    assert found[1]["value"] == ""
