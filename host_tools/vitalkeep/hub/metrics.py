"""What Prometheus scrapes: all that the hub counts, by its rules for names (units, _total)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

import prometheus_client as prometheus
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from bridge.core.journal.layout import CLASSES
from vitalkeep.hub import readiness
from vitalkeep.hub.context import Context

_P = "vitalkeep_hub_"
_DAY_S = 86400
_RESTART = "restart_"
# Of Ingest.counters, what is no refusal; every other name is one.
_TAKEN = ("runs", "heartbeats", "radio_frames")
_NOTICED = (
    "duplicate",
    "out_of_order",
    "stale",
    "fenced",
    "store_refusals",
    "store_slow",
    "broker_open",
)


def add_to_registry(hub: Context) -> None:
    """Let the hub's registry have what is counted elsewhere, each time somebody asks."""
    hub.meters.registry.register(_Hub(hub))


def text(hub: Context) -> bytes:
    """Return all metrics in Prometheus' text format."""
    return prometheus.generate_latest(hub.meters.registry)


class _Hub(Collector):
    def __init__(self, hub: Context) -> None:
        self._hub = hub

    def describe(self) -> Iterable[Metric]:
        return ()  # names are made when somebody asks

    def collect(self) -> Iterator[Metric]:
        hub = self._hub
        yield InfoMetricFamily(
            _P[:-1],
            "This hub",
            {"version": version("vitalkeep"), "site": hub.vault.site_name},
        )
        yield from self._state(hub)
        yield from self._counted(hub)
        yield from self._gateways(hub)
        yield from self._room(hub)

    def _state(self, hub: Context) -> Iterator[Metric]:
        ready = not readiness.reasons(hub)
        yield _gauge("ready", "1 when gateways can rely on this hub", ready)
        yield _gauge("receipting", "1 while the store takes commits", hub.intake.receipting)
        yield _gauge("broker_connected", "1 within a session", hub.consumer.connected)
        yield _gauge("page_viewers", "Browsers that look on", len(hub.feed))
        yield _gauge("shedding", "1 while what can wait has to", hub.load.shedding)
        yield _gauges("load_ratio", "1 at a measure's limit", "measure", hub.load.measures)
        days = {name: count * _DAY_S for name, count in hub.certificates.days.items()}
        yield _gauges("certificate_remaining_seconds", "Until it ends", "certificate", days)

    def _counted(self, hub: Context) -> Iterator[Metric]:
        counters = dict(hub.intake.ingest.counters)
        restarts = {n: c for n, c in counters.items() if n.startswith(_RESTART)}
        taken = {name: counters.get(name, 0) for name in _TAKEN}
        noticed = {name: counters.get(name, 0) for name in _NOTICED}
        known = restarts | taken | noticed
        refused = {name: count for name, count in counters.items() if name not in known}
        yield _counters("messages", "Messages that were taken", "kind", taken)
        yield _counters("refusals", "Messages and bytes refused", "reason", refused)
        yield _counters("noticed", "What was noticed, with nothing refused", "what", noticed)
        bare = {name[len(_RESTART) :]: count for name, count in restarts.items()}
        yield _counters("job_restarts", "Jobs that stopped and began again", "job", bare)
        yield _counters("time_questions", "Questions for the time", "outcome", hub.time.counters)
        yield _counter("broker_sessions", "Sessions with the broker", hub.consumer.sessions)
        yield _counter("page_viewers_dropped", "Browsers too slow", hub.feed.dropped)
        stored = {CLASSES[cls]: count for cls, count in hub.meters.stored.items()}
        yield _counters("stored_bytes", "Bytes of logs committed", "class", stored)
        closed = {CLASSES[cls]: count for cls, count in hub.meters.closed.items()}
        yield _counters("sectors_closed", "Sectors that became whole", "class", closed)

    def _gateways(self, hub: Context) -> Iterator[Metric]:
        links = dict.fromkeys(("up", "down", "unknown", "never"), 0)
        backlog = dict.fromkeys(CLASSES, 0)
        for gateway in hub.ward.gateways():
            links[hub.ward.link(gateway)] += 1
            beat = hub.ward.facts(gateway)[0]
            for cls, size in beat.backlog.items() if beat else ():
                backlog[CLASSES[cls]] += size
        accounts = [hub.ward.account(gateway) for gateway in hub.ward.gateways()]
        owed = GaugeMetricFamily(
            _P + "account_seconds", "Of the last hour, all beds", labels=["class", "kind"]
        )
        for name in CLASSES:
            for kind in ("stored", "coming", "gap"):
                parts = [found[name][f"{kind}_s"] for found in accounts if name in found]
                owed.add_metric([name, kind], sum(parts))
        yield owed
        lag = {CLASSES[cls]: ms / 1000 for cls, ms in hub.outages.lag_ms.items()}
        yield _gauges("lag_seconds", "Age of the newest value, the worst bed", "class", lag)
        yield _gauge("outages", "Beds and classes without current values", len(hub.outages))
        if 1 in hub.attained:
            for what, text in (("rto", "The longest outage"), ("rpo", "The longest loss")):
                classes = hub.attained[1]["classes"]
                found = {
                    n: c[f"{what}_s"] for n, c in classes.items() if c[f"{what}_s"] is not None
                }
                yield _gauges(
                    f"{what}_attained_seconds", f"{text} of the last day", "class", found
                )
        yield _gauges("gateways", "Gateways by the state of their link", "link", links)
        yield _gauges("backlog_bytes", "What gateways have not sent yet", "class", backlog)

    def _room(self, hub: Context) -> Iterator[Metric]:
        room = hub.room
        if room is None:
            return
        yield _gauge("database_bytes", "What the database takes", room.size_bytes)
        if room.free_bytes is not None:
            yield _gauge("free_bytes", "What it may still take", room.free_bytes)
        if room.day_bytes is not None:
            yield _gauge("growth_bytes_per_second", "Lately", room.day_bytes / _DAY_S)
        if room.days is not None:
            yield _gauge("full_in_seconds", "At that growth", room.days * _DAY_S)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(_P + name, text, value=float(value))


def _gauges(name: str, text: str, label: str, values: Any) -> Metric:
    family = GaugeMetricFamily(_P + name, text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([str(key)], float(value))
    return family


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(_P + name, text, value=float(value))


def _counters(name: str, text: str, label: str, values: Any) -> Metric:
    family = CounterMetricFamily(_P + name, text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([str(key)], float(value))
    return family
