"""One measurement: a load for some seconds, what it saw, and what the processes took."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from hil.bench.figures import MORE, Figure, Report
from hil.load.meters import Meter
from hil.load.process import Load

PEER = "paho-mqtt, an insert a message"

P99_MAX_MS = 50.0  # at the ward's own rate
WORST_MS = 200.0
VALUES_MIN = 20_000.0

_DECODED = "vitalkeep_hub_decoded_seconds"
_TIMEOUT_S = 30

# What may never be counted in a gateway
_WRONG = ("receipts_forged", "receipts_of_strangers", "receipt_mismatches")


@dataclass
class Seen:
    """What a load saw in `seconds`, and what the processes took meanwhile."""

    seconds: float
    tally: dict[str, Any]
    meter: Meter

    @property
    def values_per_s(self) -> float:
        return float(self.tally["counts"].get("values", 0)) / self.seconds

    @property
    def runs_per_s(self) -> float:
        return float(self.tally["counts"].get("landed", 0)) / self.seconds

    def note(self) -> str:
        """Return what a reader should know of the moment."""
        words = [f"{self.runs_per_s:,.0f} runs a second receipted"]
        late = self.tally["late_ms"].get("p99")
        if late is not None:
            words.append(f"the load itself late by {late:.1f} ms (p99)")
        words.append(f"load average {self.meter.load:.1f}")
        return "; ".join(words)


async def watch(load: Load, pids: Mapping[str, int], seconds: float) -> Seen:
    """Look on for so long."""
    await load.tally()
    async with Meter({**pids, "load": load.pid}) as meter:
        await asyncio.sleep(seconds)
        tally = await load.tally()
    return Seen(meter.seconds, tally, meter)


def get_json(url: str) -> Any:
    """Return what a hub's API says; raises OSError when it does not answer."""
    with urlopen(url, timeout=_TIMEOUT_S) as answer:
        return json.load(answer)


def decoding(pages: Iterable[str]) -> tuple[float, float]:
    """Return (seconds, rounds) that hubs took from commits to their values since they started.

    Raises  OSError when a hub does not answer
    """
    found = {"_sum": 0.0, "_count": 0.0}
    for page in pages:
        with urlopen(f"{page}/metrics", timeout=_TIMEOUT_S) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name, _, part = sample.name.partition(_DECODED)
                if not name and part in found:
                    found[part] += sample.value
    return found["_sum"], found["_count"]


def check(report: Report, what: str, seen: Seen) -> None:
    """Say what went wrong, if anything did."""
    counts = seen.tally["counts"]
    for name in _WRONG:
        if counts.get(name):
            report.failures.append(f"{what}: {counts[name]} {name}")
    if counts.get("logs_at_their_end"):
        report.failures.append(
            f"{what}: {counts['logs_at_their_end']} logs came to their end: --seconds fewer"
        )


def add_waits(
    report: Report, name: str, seen: Seen, note: str, promised: bool, peer: Seen | None
) -> None:
    """Add p50, p99 and max from publish to receipt, and p99 from commit to receipt.

    promised  the design's limits hold for this
    """
    waits, ages = seen.tally["wait_ms"], seen.tally["age_ms"]
    theirs = peer.tally["wait_ms"] if peer else {}
    add = report.figures.append
    for part, limit in (("p50", None), ("p99", P99_MAX_MS), ("max", WORST_MS)):
        figure = Figure(
            f"hub.{part}_ms.{name}",
            waits.get(part),
            "ms",
            peer=PEER if peer else None,
            peer_value=theirs.get(part),
            limit=limit if promised else None,
            note=note if part == "p50" else "",
        )
        add(figure)
    add(Figure(f"hub.age_p99_ms.{name}", ages.get("p99"), "ms"))


def add_uses(report: Report, name: str, seen: Seen) -> None:
    """Add what each process took; the load is not part of a site and is said for comparison."""
    for process, use in seen.meter.uses.items():
        word = process.replace(" ", "")
        report.figures.append(Figure(f"hub.cpu_percent.{word}.{name}", use.percent, "%"))
        report.figures.append(Figure(f"hub.memory_mb.{word}.{name}", use.peak_mb, "MB"))


def add_values(report: Report, name: str, seen: Seen, peer: Seen | None) -> None:
    """Add the values that were receipted a second."""
    note = seen.note() + (f"; the peer: {peer.note()}" if peer else "")
    report.figures.append(
        Figure(
            f"hub.values_per_s.{name}",
            seen.values_per_s,
            "/s",
            MORE,
            peer=PEER if peer else None,
            peer_value=peer.values_per_s if peer else None,
            limit=VALUES_MIN,
            note=note,
        )
    )
