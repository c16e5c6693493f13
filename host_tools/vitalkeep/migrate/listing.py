"""What is here of other systems, for people and for export: each value says where it came from."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, TextIO

from vitalkeep.hub.decode import Row
from vitalkeep.hub.store import Store
from vitalkeep.hub.values import cell, decimal

# `origin` says in words what these are not; `file`, `sha256` and `line` say where they stand.
_OF_VALUES = (
    "time", "value", "unit", "parameter", "mdc", "bed", "device", "origin", "file", "sha256",
    "line",
)  # fmt: skip
_OF_TRENDS = (
    "time", "least", "greatest", "count", "unit", "parameter", "mdc", "bed", "device", "origin",
)  # fmt: skip


def origin(system: str) -> str:
    """Return what stands beside every value of another system."""
    return f"not sealed: {system}"


def utc(at_ms: int) -> str:
    """Return UTC milliseconds as people and machines read them."""
    found = datetime.fromtimestamp(at_ms / 1000, timezone.utc)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def summary(store: Store) -> dict[str, Any]:
    """Return {system: its files, series, numbers}; raises StoreError."""
    systems: dict[str, Any] = {}
    rows = store.foreign_files()
    for row in rows:
        found = systems.setdefault(row["system"], {"values": 0, "files": {}, "series": []})
        found["values"] += row["imported"]
        counts = {n: row[n] for n in ("rows", "imported", "duplicates", "refused", "empty")}
        # The last time that a file was read is the one that counts.
        found["files"][row["name"]] = {
            "name": row["name"], "sha256": row["digest"].hex(), "size": row["size"],
            "read": row["offset"], "line": row["line"], "done": row["done_ms"] is not None,
        } | counts | {"skipped": row["skipped"]}  # fmt: skip
    for system, found in systems.items():
        found["files"] = list(found["files"].values())
        found["refused"] = store.foreign_refused(system)
        for row in store.foreign_series(system):
            span = store.foreign_span(row["id"])
            if span is not None:
                row = {n: row[n] for n in ("bed", "device", "label", "mdc", "unit")}
                found["series"].append(row | {"first": utc(span[0]), "last": utc(span[1])})
    return systems


def write_values(store: Store, series: Sequence[Row], span: tuple[int, int], file: TextIO) -> None:
    """Write values of some series as CSV; span: from when to before when, in UTC ms."""
    out = csv.writer(file, lineterminator="\n")
    out.writerow(_OF_VALUES)
    for one in store.foreign_values([row["id"] for row in series], *span):
        value = (utc(one.at_ms), decimal(one.value, one.decimals), one.unit, one.label, one.mdc)
        whence = (origin(one.system), one.file, one.digest.hex(), one.line)
        out.writerow(map(cell, (*value, one.bed, one.device, *whence)))


def write_trends(
    store: Store, series: Sequence[Row], span: tuple[int, int], buckets: int, file: TextIO
) -> None:
    """Write least and greatest values of parts of a span as CSV, each series for itself."""
    out = csv.writer(file, lineterminator="\n")
    out.writerow(_OF_TRENDS)
    for row in series:
        whole = store.foreign_span(row["id"])
        if whole is None:
            continue
        window = (max(span[0], whole[0]), min(span[1], whole[1] + 1), buckets)
        what = [row[name] for name in ("unit", "label", "mdc", "bed", "device")]
        for at_ms, low, high, count in store.foreign_trend(row["id"], window):
            cells = (utc(at_ms), low, high, count, *what, origin(row["system"]))
            out.writerow(map(cell, cells))
