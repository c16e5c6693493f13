"""Observations of the store to what others read: FHIR R4 resources, or rows of CSV. Pure.

FHIR: one Observation a value, a line each (NDJSON). Its id is made from the value's position in
its gateway's log, which never has two meanings: who gets one twice can tell. It goes by HL7 FHIR
R4 (4.0.1), Observation; the patient is not known here, so the subject is the bed.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from bridge.core import codes
from bridge.core.events import NO_VALUE
from bridge.core.journal.layout import CLASSES
from vitalkeep.hub.clocks import utc_of
from vitalkeep.hub.decode import Row
from vitalkeep.hub.values import cell
from vitalkeep.journal.export import COLUMNS, QUALITIES, STATES

MDC = "urn:iso:std:iso:11073:10101"
UCUM = "http://unitsofmeasure.org"
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
POSITION = "urn:vitalkeep:position"
DEVICE = "urn:vitalkeep:device"

_BY_LABEL = {entry[1]: entry for entry in codes.PARAMETERS}
_OFF_SCALE = {"over-range": ">", "under-range": "<"}
_VITAL_SIGNS = [{"coding": [{"system": CATEGORY, "code": "vital-signs"}]}]
_ID_CHARS = 40


class Exported(NamedTuple):
    """One observation, with what the store has of it elsewhere.

    row     as the store has it
    bed     of its gateway
    clock   (UTC minus monotonic ms, quality, error in ms) of its boot, None while not known
    proof   as chain.Proof.state
    """

    row: Row
    bed: str
    clock: tuple[int, int, int] | None
    proof: str


def fhir(found: Iterable[Exported]) -> tuple[bytes, int]:
    """Return NDJSON of FHIR Observations, and how many."""
    lines = [line for one in found for line in _resources(one)]
    return "".join(lines).encode(), len(lines)


def rows(found: Iterable[Exported]) -> tuple[bytes, int]:
    """Return CSV with a header, and how many values it has."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    count = 0
    for one in found:
        for made in _rows(one):
            writer.writerow({name: cell(value) for name, value in made.items()})
            count += 1
    return file.getvalue().encode(), count


def _utc(one: Exported) -> str | None:
    utc = utc_of(one.row["mono_ms"], one.clock[0]) if one.clock else None
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z") if utc else None


def _position(row: Row) -> str:
    gateway, log = bytes(row["gateway"]).hex(), bytes(row["log"]).hex()
    return f"{gateway}-{log}-{row['cls']}-{row['sector']}-{row['offset']}-{row['idx']}"


def _resources(one: Exported) -> Iterator[str]:
    row, utc, position = one.row, _utc(one), _position(one.row)
    gateway = bytes(row["gateway"]).hex()
    for label, (text, state, unit) in row["readings"].items():
        where = f"{position}-{label}"
        code: dict[str, Any] = {"text": label}
        known = _BY_LABEL.get(label)
        if known is not None and known[3]:
            code["coding"] = [{"system": MDC, "code": str(known[3]), "display": known[2]}]
        made: dict[str, Any] = {
            "resourceType": "Observation",
            "id": hashlib.sha256(where.encode()).hexdigest()[:_ID_CHARS],
            "identifier": [{"system": POSITION, "value": where}],
            "status": "final",
            "category": _VITAL_SIGNS,
            "code": code,
            "subject": {"type": "Location", "display": one.bed},
            "device": {
                "identifier": {"system": DEVICE, "value": f"{gateway}/{row['device']}"},
                "display": row["device"],
            },
        }
        if utc is not None:
            made["effectiveDateTime"] = utc
        name = STATES[state] if state < len(STATES) else f"state {state}"
        if name in _OFF_SCALE:
            coding = {"system": INTERPRETATION, "code": _OFF_SCALE[name]}
            made["interpretation"] = [{"coding": [coding]}]
        elif state and state != NO_VALUE:
            made["note"] = [{"text": name}]
        if text is None:
            coding = {"system": ABSENT, "code": "unknown"}
            made["dataAbsentReason"] = {"coding": [coding]}
            yield _dump(made) + "\n"
        else:
            # The decimals are the device's own and stay: no float may come between.
            rest = {"unit": unit, "system": UCUM, "code": unit} if unit else {}
            quantity = f'{{"value":{text}{"," if rest else ""}{_dump(rest)[1:]}'
            yield f'{_dump(made)[:-1]},"valueQuantity":{quantity}}}\n'


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _rows(one: Exported) -> Iterator[Row]:
    row = one.row
    common = {
        "utc": _utc(one),
        "utc_quality": QUALITIES[one.clock[1] if one.clock else 0],
        "gateway": bytes(row["gateway"]).hex(),
        "log": bytes(row["log"]).hex(),
        "class": CLASSES[row["cls"]],
        "sector": row["sector"],
        "offset": row["offset"],
        "index": row["idx"],
        "proof": one.proof,
        "boot": row["boot"],
        "mono_ms": row["mono_ms"],
        "device": row["device"],
        "protocol": row["protocol"],
        "unit_address": row["unit"],
    }
    for label, (text, state, unit) in row["readings"].items():
        known = _BY_LABEL.get(label)
        yield common | {
            "parameter": label,
            "mdc": known[2] if known else "",
            "mdc_code": (known[3] or None) if known else None,
            "value": text,
            "ucum": unit,
            "state": STATES[state] if state < len(STATES) else f"state {state}",
        }
