"""What a gateway said of itself as a report for people: one item a fact, with its state. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from vitalkeep.diagnose import meanings
from vitalkeep.diagnose.meanings import BAD, OK, STATES, WARN, Meaning
from vitalkeep.shown import shown

SHAPE = 1  # of a report as JSON (docs/guides/diagnose.md); a field more is no new shape

_HEAP_LOW, _HEAP_OUT = 16 * 1024, 6 * 1024
_FILES_LOW = 16 * 1024
_HOURS_LOW, _HOURS_OUT = 24, 2
_CLOCK_OFF_MS = 2000
_CLOCKS = ("not set", "set by SNTP", "set by a site")
_DAYS_SOON = 28
_QUIET_MS = 10_000
_UNTRIED = Meaning(
    WARN, "it has not been tried yet", "Look again in some seconds; then look at the links."
)
_UNNEEDED = Meaning(OK, "it is not needed now")


@dataclass(frozen=True)
class Item:
    """One fact: `name` for machines, its state of meanings.STATES, its value, and in words."""

    name: str
    state: str
    value: Any
    text: str
    meaning: str = ""
    action: str = ""


@dataclass
class Report:
    """How one gateway is.

    by    how that is known: "usb", "mqtt", or "prompt" for a board whose gateway does not run
    at_ms UTC of this computer
    found items that do not come from what a gateway said: what a board's prompt tells
    said  items that do
    raw   what the gateway said, as it came
    """

    gateway: str
    bed: str
    by: str
    at_ms: int
    found: list[Item] = field(default_factory=list)
    said: list[Item] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def items(self) -> list[Item]:
        return self.found + self.said

    @property
    def verdict(self) -> str:
        """The worst state of any item."""
        return max((item.state for item in self.items), key=STATES.index, default=OK)

    def item(self, name: str) -> Item:
        """Return an item by its name; raises KeyError."""
        for found in self.items:
            if found.name == name:
                return found
        raise KeyError(name)

    def as_dict(self) -> dict[str, Any]:
        return {
            "shape": SHAPE,
            "gateway": self.gateway,
            "bed": self.bed,
            "by": self.by,
            "at_ms": self.at_ms,
            "verdict": self.verdict,
            "items": [vars(item) for item in self.items],
            "raw": self.raw,
        }


def build(said: dict[str, Any], by: str, at_ms: int) -> Report:
    """Return the report of what a gateway answered to `report`, or said on its console.

    What an older or newer firmware leaves out has no item.
    """
    report = Report(str(said.get("gateway", "")), str(said.get("bed", "")), by, at_ms, raw=said)
    report.said = [item for part in _PARTS for item in _items(part, said)]
    return report


def _items(part: Callable[[dict[str, Any]], Iterator[Item]], said: dict[str, Any]) -> list[Item]:
    """Return what a part of the report says; one that cannot be read costs no other."""
    try:
        return list(part(said))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        name = part.__name__.strip("_")
        return [
            Item(
                f"unread {name}", WARN, None, f"{name}: what it says of this cannot be read",
                "its firmware says this in another way, or it is no gateway",
                "Use the release of the gateway.",
            )
        ]  # fmt: skip


def meant(name: str, value: Any, text: str, meaning: Meaning) -> Item:
    """Return an item whose state and advice are a meaning's."""
    return Item(name, meaning.state, value, text, meaning.text, meaning.action)


def _versions(said: dict[str, Any]) -> Iterator[Item]:
    if "firmware" in said:
        yield Item("firmware", OK, said["firmware"], f"firmware {said['firmware']}")
    if "micropython" in said:
        text = f"{said['micropython']} on {said.get('platform', '?')}"
        yield Item("micropython", OK, said["micropython"], text)


def _start(said: dict[str, Any]) -> Iterator[Item]:
    if "reset" in said:
        cause = str(said["reset"])
        unknown = Meaning(WARN, "a cause that this release does not know")
        text = f"last reset: {cause}, {_span(said.get('mono', 0))} ago"
        yield meant("reset", cause, text, meanings.RESETS.get(cause, unknown))
    if said.get("on_trial"):
        yield Item(
            "trial", WARN, True, "a new configuration is on trial",
            "it is kept once a site receipts, else the old one comes back", "Wait; ask again.",
        )  # fmt: skip
    if "console" in said:
        is_closed = said["console"] == "closed"
        yield Item(
            "console", OK if is_closed else WARN, said["console"],
            "the prompt on USB is closed" if is_closed
            else "the prompt on USB is open" if said["console"] == "open"
            else f"the prompt on USB is open for {said['console']} s",
            "" if is_closed else "whoever has a cable can stop and change the gateway",
            "" if is_closed else "vitalkeep gateway close-console, when you are done.",
        )  # fmt: skip


def _clock(said: dict[str, Any]) -> Iterator[Item]:
    if "clock" not in said:
        return
    state, error = said["clock"], said.get("clock_error")
    name = _CLOCKS[state] if state in range(3) else f"state {state}"
    if not state:
        yield Item(
            "clock", WARN, None, "clock: " + name, "values get their times later",
            "Does a site answer on time_port, or an SNTP server of ntp?",
        )  # fmt: skip
        return
    off = error is not None and error > _CLOCK_OFF_MS
    yield Item(
        "clock", WARN if off else OK, error, f"clock: {name}, to {error} ms",
        "nobody has answered for long" if off else "",
        "Does a site answer on time_port?" if off else "",
    )  # fmt: skip


def _memory(said: dict[str, Any]) -> Iterator[Item]:
    heap = said.get("heap")
    if isinstance(heap, dict):
        free = heap.get("free", 0)
        state = BAD if free < _HEAP_OUT else WARN if free < _HEAP_LOW else OK
        yield Item(
            "heap", state, free, f"memory: {free // 1024} KB free",
            "" if state == OK else "little is left: TLS and commands may fail",
            "" if state == OK else "Fewer lines or sites; an image with the code in flash.",
        )  # fmt: skip
    files = said.get("files")
    if files:
        is_low = files[1] < _FILES_LOW
        yield Item(
            "files", WARN if is_low else OK, files[1], f"files: {files[1] // 1024} KB free",
            "a new configuration or certificate may not fit" if is_low else "",
            "Take away what the gateway does not need." if is_low else "",
        )  # fmt: skip


def _journal(said: dict[str, Any]) -> Iterator[Item]:
    if "hours_left" in said:
        hours = said["hours_left"]
        if hours is None:
            yield Item("hours_left", OK, None, "log: too young to say how long it lasts")
        else:
            state = BAD if hours < _HOURS_OUT else WARN if hours < _HOURS_LOW else OK
            yield Item(
                "hours_left", state, hours, f"log: {hours:.1f} hours until it is full",
                "" if state == OK else "after that the oldest values that no site has are lost",
                "" if state == OK else "Bring a site back, or carry the board to one.",
            )  # fmt: skip
    if "pool" in said:
        count, free = said["pool"]
        yield Item("pool", OK, free, f"log: {free} of {count} sectors blank")
    for cls, head in sorted(said.get("heads", {}).items()):
        oldest, newest, end = head
        is_shut = newest < 0
        text = f"log {cls}: " + ("shut" if is_shut else f"sectors {oldest} to {newest}, at {end}")
        shut = meanings.COUNTERS["key_lost"]
        yield (
            meant(f"log {cls}", newest, text, shut)
            if is_shut
            else Item(f"log {cls}", OK, newest, text)
        )


def _certificate(said: dict[str, Any]) -> Iterator[Item]:
    days = said.get("certificate_days")
    if days is None:
        return
    state = BAD if days < 0 else WARN if days <= _DAYS_SOON else OK
    yield Item(
        "certificate", state, days,
        f"certificate: {days} days left" if days >= 0 else "certificate: it has ended",
        "" if state == OK else "brokers refuse the gateway once it has ended",
        "" if state == OK else "vitalkeep ca renew, and provision it.",
    )  # fmt: skip


def _links(said: dict[str, Any]) -> Iterator[Item]:
    for name, grade, median_ms, lost, fault in said.get("links", []):
        text = f"link {name}: {grade}"
        if grade not in ("down", "deaf") and median_ms is not None and median_ms >= 0:
            text += f", {median_ms} ms round trip, {lost} of 20 lost"
        meaning = meanings.GRADES.get(grade, Meaning(WARN, "a grade this release does not know"))
        if fault:
            text += f", {fault}"
            meaning = meanings.LINK_FAULTS.get(fault, meaning)
        yield meant(f"link {name}", median_ms, text, meaning)


def _sites(said: dict[str, Any]) -> Iterator[Item]:
    for site in said.get("sites", []):
        name = f"site {site['name']}"
        where = f"{site['host']}:{site['port']}"
        owed = f", {site['backlog']} bytes to send" if site.get("backlog") else ""
        if site["up"]:
            trip = site.get("round_trip_ms")
            took = "" if trip is None else f", {trip} ms round trip"
            yield Item(name, OK, trip, f"{name} ({where}): receipts{took}{owed}")
        elif site.get("session"):
            yield Item(
                name, BAD, None, f"{name} ({where}): a session, and no receipts{owed}",
                "link and broker may work; the hub behind it does not store, or is not there",
                "vitalkeep diagnose --probe tells which; vitalkeep hub doctor at the site.",
            )  # fmt: skip
        else:
            fault = site.get("fault") or ""
            meaning = _UNTRIED if site.get("wanted") else _UNNEEDED
            if fault:
                meaning = meanings.of_fault(fault)
            yield meant(
                name, None, f"{name} ({where}): no session {fault}".rstrip() + owed, meaning
            )


def _devices(said: dict[str, Any]) -> Iterator[Item]:
    for device in said.get("devices", []):
        name, quiet = f"device {device['name']}", device["quiet_ms"]
        if quiet is None:
            yield Item(
                name, BAD, None, f"{name}: silent", "no value comes from it",
                "Is it on, and its cable in? vitalkeep diagnose --sniff shows the line.",
            )  # fmt: skip
        else:
            yield Item(
                name, OK if quiet < _QUIET_MS else WARN, quiet,
                f"{name}: class {device['class']}, heard {quiet / 1000:.1f} s ago",
            )  # fmt: skip


def _counters(said: dict[str, Any]) -> Iterator[Item]:
    unknown = Meaning(WARN, "this release does not know it", "Use the release of the gateway.")
    for name, count in sorted(said.get("counters", {}).items()):
        meaning = meanings.of_counter(name) or unknown
        # What ended well is history: a session that breaks once a week is no finding of today.
        state = WARN if meaning.state == BAD and name.startswith(("session_", "link_")) else None
        if state:
            meaning = Meaning(state, meaning.text, meaning.action)
        yield meant(f"counter {name}", count, f"{name}: {count}", meaning)
    error = said.get("last_error")
    if error:
        meaning = meanings.of_error(error)
        shown = Meaning(WARN, meaning.text, meaning.action)
        yield meant("last_error", error, f"last error: {error}", shown)


def _probe(said: dict[str, Any]) -> Iterator[Item]:
    if "umqtt" in said and not said["umqtt"]:
        yield meant("umqtt", False, "probe: not possible", meanings.PROBE_FAULTS["no_umqtt"])


_PARTS = (
    _versions, _start, _clock, _memory, _journal, _certificate, _links, _sites, _devices,
    _counters, _probe,
)  # fmt: skip


def _span(ms: int) -> str:
    seconds = ms // 1000
    for name, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"


def lines_of(report: Report, everything: bool = False) -> Iterator[str]:
    """Yield a report for people, a line each; what is in order and only counts is left out.

    everything  with it
    """
    yield from map(shown, _lines_of(report, everything))


def _lines_of(report: Report, everything: bool) -> Iterator[str]:
    name = f"gateway {report.gateway}" if report.gateway else "no gateway"
    yield f"{name}{' at ' + report.bed if report.bed else ''}: {report.verdict} (by {report.by})"
    for item in report.items:
        if not everything and item.state == OK and item.name.startswith("counter "):
            continue
        yield f"{item.state:4} {item.text}"
        if item.state != OK:
            if item.meaning:
                yield f"       {item.meaning}"
            if item.action:
                yield f"       -> {item.action}"
