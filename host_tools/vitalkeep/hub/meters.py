"""What the write path measures of itself, kept as Prometheus wants it."""

from __future__ import annotations

from collections import Counter
from time import monotonic

import prometheus_client as prometheus

from bridge.core.journal.layout import CLASSES
from vitalkeep.hub.batch import Batch

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Meters:
    """Histograms and counters of one hub; a part of it may add its own to `registry`.

    stored_at   when the store last took something, by time.monotonic()
    stored      bytes of logs that were committed, by class number
    busy_s, filled_s   since the start: how long batches were handled, and that time weighted by
                how full each was (1 for one that held all it may)
    commits_s, commits  since the start
    """

    def __init__(self) -> None:
        registry = self.registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=registry)
        self.commit = prometheus.Histogram(
            "vitalkeep_hub_commit_seconds",
            "How long a durable commit took",
            buckets=_SECONDS,
            registry=registry,
        )
        self.receipt = prometheus.Histogram(
            "vitalkeep_hub_receipt_seconds",
            "From a batch's messages read from the broker to their receipts written to it",
            buckets=_SECONDS,
            registry=registry,
        )
        self.decoded = prometheus.Histogram(
            "vitalkeep_hub_decoded_seconds",
            "From the commit of what gateways write now to its values, the last of each round",
            buckets=_SECONDS,
            registry=registry,
        )
        self.shed = prometheus.Counter(
            "vitalkeep_hub_shed", "Work put off under load", ["work"], registry=registry
        )
        self.page_refused = prometheus.Counter(
            "vitalkeep_hub_page_refused", "Requests and connections", ["why"], registry=registry
        )
        self.exchange_unfinished = prometheus.Counter(
            "vitalkeep_hub_exchange_unfinished", "Connections", ["why"], registry=registry
        )
        self.unlocked = prometheus.Counter(
            "vitalkeep_hub_archive_unlocked",
            "Objects of the archive without the retention lock that they should have",
            registry=registry,
        )
        self.partitions_failed = prometheus.Counter(
            "vitalkeep_hub_partitions_failed",
            "Rounds in which partitions were not made, or not dropped",
            ["work"],
            registry=registry,
        )
        self.stored: Counter[int] = Counter(dict.fromkeys(range(len(CLASSES)), 0))
        self.closed: Counter[int] = Counter(dict.fromkeys(range(len(CLASSES)), 0))
        self.stored_at = monotonic()
        self.busy_s = self.filled_s = self.commits_s = 0.0
        self.commits = 0
        self._began: float | None = None

    def began(self) -> None:
        """A commit begins; it may take several tries."""
        self._began = monotonic()

    def committed(self, batch: Batch) -> float:
        """The commit that began has returned; returns how long it took in seconds."""
        now = self.stored_at = monotonic()
        took_s = now - (self._began if self._began is not None else now)
        self._began = None
        self.commit.observe(took_s)
        self.commits += 1
        self.commits_s += took_s
        for change in batch.changes:
            self.stored[change.place.cls] += change.length - change.old
            self.closed[change.place.cls] += change.whole is not None
        return took_s

    def under_way_s(self) -> float:
        """Return for how long a commit is on its way, 0 while none is."""
        began = self._began
        return 0.0 if began is None else monotonic() - began

    def answered(self, waited_s: float, busy_s: float, fill: float) -> None:
        """A batch's receipts were written, so long after it was read."""
        self.receipt.observe(waited_s)
        self.busy_s += busy_s
        self.filled_s += busy_s * fill
