"""Observations and waveforms of a log to CSV, JSON lines and Parquet.

One row is one value of one parameter. Values are the decimal strings that the device gave; Parquet
has them as an integer and a number of decimals, which is as exact.
"""

from __future__ import annotations

import csv
import json
import pickle
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from bridge.core import codes
from bridge.core.journal import records
from bridge.core.journal.layout import CLASSES
from vitalkeep.errors import ToolError
from vitalkeep.hub.clocks import best_offsets, utc_of
from vitalkeep.hub.sectors import Place
from vitalkeep.hub.values import cell, decimal
from vitalkeep.journal.chain import Proof
from vitalkeep.journal.survey import Sector

Row = dict[str, Any]

STATES = ("valid", "no-value", "questionable", "over-range", "under-range")
QUALITIES = ("unknown", "estimated", "site")
_PARAMETERS = {entry[0]: entry for entry in codes.PARAMETERS}
_ROWS_AT_ONCE = 20000

COLUMNS = (
    "utc", "utc_quality", "gateway", "log", "class", "sector", "offset", "index", "proof", "boot",
    "mono_ms", "device", "protocol", "unit_address", "parameter", "mdc", "mdc_code", "value",
    "ucum", "state",
)  # fmt: skip
WAVE_COLUMNS = (*COLUMNS[:17], "ucum", "period_us", "decimals", "samples")


class Spool:
    """Keeps the records of a dump on disk until the clocks of all boots are known."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the spool

    def take(self, place: Place, sector: Sector, proof: Proof) -> None:
        kept = [r for r in proof.records if r.kind in (records.OBSERVATION, records.WAVE)]
        if kept:
            pickle.dump((place, proof.state, kept), self._file, pickle.HIGHEST_PROTOCOL)

    def rows(self, kind: int, clocks: dict[bytes, list[dict[str, int]]]) -> Iterator[Row]:
        """Return the rows of all observations or waves, in order of class and sector."""
        offsets = {gateway: best_offsets(rows) for gateway, rows in clocks.items()}
        make = _values if kind == records.OBSERVATION else _wave
        self._file.seek(0)
        while True:
            try:
                place, proof, kept = pickle.load(self._file)
            except EOFError:
                return
            boots = offsets.get(place.gateway, {})
            for record in kept:
                if record.kind == kind:
                    yield from make(record, _common(place, proof, record, boots))


def clock_row(record: Any) -> dict[str, int]:
    """Return what a clock record says, as the hub's table has it."""
    row = {"boot": record.boot, "mono_ms": record.exact_ms, "utc_ms": record.utc_ms}
    return row | {"error_ms": record.error_ms, "quality": record.clock}


def _common(place: Place, proof: str, record: Any, boots: dict[int, tuple[int, int, int]]) -> Row:
    known = boots.get(record.boot)
    return {
        "utc": utc_of(record.mono_ms, known[0]) if known else None,
        "utc_quality": QUALITIES[known[1]] if known else QUALITIES[0],
        "gateway": place.gateway.hex(),
        "log": place.log.hex(),
        "class": CLASSES[place.cls],
        "sector": place.sector,
        "offset": record.offset,
        "index": record.index,
        "proof": proof,
        "boot": record.boot,
        "mono_ms": record.mono_ms,
        "device": record.device.name,
        "protocol": record.device.protocol,
        "unit_address": record.device.unit,
    }


def _named(parameter: int, label: str | None, unit: str | None) -> Row:
    known = _PARAMETERS.get(parameter)
    if known is not None:
        _, label, mdc, code, unit, _ = known
        return {"parameter": label, "mdc": mdc, "mdc_code": code or None, "ucum": unit}
    return {"parameter": label or f"#{parameter}", "mdc": "", "mdc_code": None, "ucum": unit or ""}


def _values(record: Any, common: Row) -> Iterator[Row]:
    for value in record.values:
        row = common | _named(value.parameter, value.label, value.unit)
        yield row | {"value": (value.value, value.decimals), "state": STATES[value.state]}


def _wave(record: Any, common: Row) -> Iterator[Row]:
    row = common | _named(record.parameter, record.label, record.unit)
    row |= {"period_us": record.period_us, "decimals": record.decimals}
    yield row | {"samples": record.samples}


def _text(row: Row) -> Row:
    row = dict(row)
    if row["utc"] is not None:
        row["utc"] = row["utc"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if "value" in row:
        row["value"] = decimal(*row["value"])
    return row


# --- files ---


def write_csv(path: Path, rows: Iterator[Row]) -> int:
    with _create(path) as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        count = 0
        for row in rows:
            writer.writerow({name: cell(value) for name, value in _text(row).items()})
            count += 1
        return count


def write_jsonl(path: Path, rows: Iterator[Row]) -> int:
    with _create(path) as file:
        count = 0
        for row in rows:
            file.write(json.dumps(_text(row), ensure_ascii=False, separators=(",", ":")) + "\n")
            count += 1
        return count


def _create(path: Path) -> Any:
    try:
        return path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise ToolError(f"{path}: {error.strerror}", "Name a file that can be written.") from None


def write_parquet(
    path: Path | BinaryIO, rows: Iterator[Row], kind: int = records.OBSERVATION
) -> int:
    """Write a Parquet file; raises ToolError when pyarrow is not installed."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise ToolError(
            f"{path}: Parquet needs pyarrow", "Install it: pip install 'vitalkeep[parquet]'."
        ) from None
    schema = _schema(arrow, kind)
    count = 0
    batch: list[Row] = []
    try:
        with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
            for row in rows:
                batch.append(_split(row))
                count += 1
                if len(batch) == _ROWS_AT_ONCE:
                    writer.write_table(arrow.Table.from_pylist(batch, schema))
                    batch = []
            writer.write_table(arrow.Table.from_pylist(batch, schema))
    except OSError as error:
        raise ToolError(f"{path}: {error.strerror}", "Name a file that can be written.") from None
    return count


def _split(row: Row) -> Row:
    if "value" in row:
        row["value"], row["decimals"] = row["value"]
    return row


def _schema(arrow: Any, kind: int) -> Any:
    integer, text = arrow.int64(), arrow.string()
    types = {
        "utc": arrow.timestamp("ms", tz="UTC"),
        "samples": arrow.list_(arrow.int32()),
    }
    names: tuple[str, ...] = WAVE_COLUMNS
    if kind == records.OBSERVATION:
        at = COLUMNS.index("value") + 1
        names = (*COLUMNS[:at], "decimals", *COLUMNS[at:])
    numbers = {
        "sector", "offset", "index", "boot", "mono_ms", "unit_address", "mdc_code", "value",
        "decimals", "period_us",
    }  # fmt: skip
    fields = [(name, types.get(name, integer if name in numbers else text)) for name in names]
    return arrow.schema(fields)


WRITERS: dict[str, Callable[[Path, Iterator[Row]], int]] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}
