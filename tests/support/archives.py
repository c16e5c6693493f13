"""Archives of other systems, and the mappings that say what they mean."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

from vitalkeep.hub.store import Store
from vitalkeep.migrate.csv_rows import CsvRows
from vitalkeep.migrate.hl7_rows import Hl7Rows
from vitalkeep.migrate.importing import Import, Imported
from vitalkeep.migrate.mapping import HL7, Mapping, parse
from vitalkeep.migrate.readings import Row

NOW_MS = 1_800_000_000_000
UNTIL_MS = NOW_MS + 86_400_000

WIDE = """
system = "old-cis"
layout = "wide"
skip = ["note"]

[time]
format = "unix_ms"

[bed]
value = "Bed 1"

[device]
value = "monitor"

[[parameters]]
name = "SpO2"
parameter = "MDC_PULS_OXIM_SAT_O2"
unit = "%"
tolerance = 1

[[parameters]]
name = "Temp"
parameter = "Temp"
unit = "[degF]"
tolerance = 0.2
"""

LONG = """
system = "old-cis"
layout = "long"

[csv]
delimiter = ";"
decimal = ","

[time]
columns = ["date", "clock"]
format = "%d.%m.%Y %H:%M:%S"
zone = "Europe/Berlin"

[bed]
column = "place"
names = { "BETT04" = "ICU 4", "BETT05" = "ICU 5" }

[device]
column = "source"

[long]
parameter = "name"
value = "value"
unit = "unit"

[[parameters]]
name = "AF"
parameter = "151562"
unit = "/min"
written = "1/Min"

[[parameters]]
name = "XY"
parameter = "MDC_OF_ITS_OWN"
label = "XY"
unit = "1"
"""

ORU = 'system = "old-cis"\nlayout = "hl7"\n'


def rows(mapping: str, data: bytes, whole: bool = True, name: str = "a.csv") -> list[Row]:
    """Return the rows of a file's bytes, those of which something is to be told."""
    parsed = parse(mapping)
    kind: Callable[[Mapping, int], CsvRows | Hl7Rows] = CsvRows
    if parsed.layout == HL7:
        kind = Hl7Rows
    found = kind(parsed, UNTIL_MS).rows(io.BytesIO(data), name, (0, 0), len(data), whole)
    return [r for r in found if r.readings or r.refusals or r.empty or r.skipped]


def take(store: Store, mapping: str, *paths: Path, full: bool = False) -> Imported:
    """Import files into a store."""
    digest = hashlib.sha256(mapping.encode()).digest()
    job = Import(store, parse(mapping), mapping, digest, lambda: NOW_MS, full)
    for path in paths:
        job.run(path.name, path)
    return job.result


def kept(store: Store) -> list[tuple[str, str, int, str, int]]:
    """Return (bed, label, at_ms, decimal number, line) of all that a store has of others."""
    series = [row["id"] for row in store.foreign_series()]
    return [
        (v.bed, v.label, v.at_ms, f"{v.value / 10**v.decimals:g}", v.line)
        for v in store.foreign_values(series, 0, 2**62)
    ]


def oru(*results: str, location: str = "ICU^2^Bed 1", kind: str = "ORU^R01^ORU_R01") -> bytes:
    """Return one message with these OBX segments, from OBX-2 on."""
    segments = [
        f"MSH|^~\\&|MON^1|WARD|HUB|SITE|20260102030405+0000||{kind}|7|P|2.6",
        "PID|||4711^^^X||Nobody^No",
        f"PV1||I|{location}",
        "OBR|1|||x|||20260102030400+0000",
    ]
    segments += [f"OBX|{n}|{text}" for n, text in enumerate(results, 1)]
    return "".join(segment + "\r" for segment in segments).encode()
