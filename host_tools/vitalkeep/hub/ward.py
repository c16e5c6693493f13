"""What is known of each bed: devices, values, links, and the story. Fed after each commit; no I/O.

Times are the hub's UTC in milliseconds. An age is never shown from an arrival time: a backlog's
values are old even when they have just come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.core.journal.layout import CLASSES
from vitalkeep.hub.clocks import Anchor, best_offsets
from vitalkeep.hub.decode import RECENT, Row
from vitalkeep.hub.heartbeat import Heartbeat
from vitalkeep.hub.tls import WARN_DAYS, days_in_words
from vitalkeep.keys.vault import Gateway

LINK_DOWN_MS = 6_000  # without a heartbeat
# Seconds after which a value is late and lost, by class: half of the RPO, and the RPO.
STALE_S = {"A": (5, 10), "B": (30, 60), "C": (150, 300)}

_STORY = 200
_ALARMS_MAX = 32
_WORDS_MAX = 256  # alarms of a device of which the last word's position is remembered
_DEVICES_MAX = 64
_BOOTS = 15  # whose clocks are remembered, besides the current one
PRIORITIES = ("none", "low", "medium", "high")

_EVENTS = {
    "boot": ("warn", "Gateway started: {}"),
    "identity": ("info", "{}"),
    "site-up": ("good", "Gateway sees site {}"),
    "site-down": ("warn", "Gateway lost site {}"),
    "link-up": ("good", "Link up {}"),
    "link-down": ("bad", "Link down {}"),
    "device-silent": ("bad", "{} is silent"),
    "device-back": ("good", "{} is back"),
    "time": ("info", "Clock {}"),
    "set-aside": ("bad", "Unreadable flash was set aside: {}"),
    "key-epoch": ("bad", "Key epoch changed: {}"),
    "orphan": ("bad", "Closed by the change of key epoch: {}"),
    "radio": ("warn", "Radio {}"),
    "certificate": ("warn", "Certificate: {}"),
}
_QUIET = ("radio-choice",)  # in the log for whoever asks, too often for the story

Position = tuple[int, int, int]  # sector, offset, index


@dataclass
class Device:
    """The newest that is known of a device.

    values  by label: [decimal string or None, state, unit, monotonic ms]
    trends  by label: its last numbers, oldest first
    alarms  that are on, by (page, code): (priority, text)
    words   by (page, code): the log and position of the last word on an alarm, on or over
    """

    name: str
    protocol: str
    cls: int
    log: bytes
    position: Position
    boot: int
    mono_ms: int
    values: dict[str, list[Any]]
    trends: dict[str, deque[float]] = field(default_factory=dict)
    alarms: dict[tuple[int, int], tuple[int, str]] = field(default_factory=dict)
    words: dict[tuple[int, int], tuple[bytes, Position]] = field(default_factory=dict)


@dataclass
class Bed:
    """What is known of the gateway of a bed.

    link     "up", "down", "unknown" or "never"; heard_ms: 0 for never
    rates    by class: (UTC ms, backlog in bytes, by how many bytes a second it shrinks)
    account  by class, as the account says it; empty before the first
    radio    the store's row of what came last by radio, None for nothing
    """

    gateway: Gateway
    link: str = "never"
    beat: Heartbeat | None = None
    heard_ms: int = 0
    down_since_ms: int = 0
    anchor: Anchor = field(default_factory=Anchor)
    clocks: list[Row] = field(default_factory=list)
    devices: dict[str, Device] = field(default_factory=dict)
    rates: dict[int, tuple[int, int, float]] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=dict)
    radio: Row | None = None

    def offset(self, boot: int) -> int | None:
        """Return UTC minus monotonic ms of a boot, None while nobody can know."""
        anchored = self.anchor.offset(boot)
        if anchored is not None:
            return anchored
        best = best_offsets(self.clocks).get(boot)
        return best[0] if best else None


class Ward:
    """All beds of a site.

    dirty   gateways of beds that changed since whoever shows them took this set away
    serves  serves(gateway): this hub is the one that tells its story; others read it
    """

    def __init__(
        self, gateways: Iterable[Gateway], serves: Callable[[bytes], bool] = lambda _: True
    ) -> None:
        self._serves = serves
        self.dirty: set[bytes] = set()
        self.story: deque[dict[str, Any]] = deque(maxlen=_STORY)
        self.story_news: list[dict[str, Any]] = []
        self.unwritten: list[Row] = []  # story lines of the hub that the store does not have yet
        self._told = 0
        self._beds: dict[bytes, Bed] = {}
        self.set_gateways(gateways)

    def set_gateways(self, gateways: Iterable[Gateway]) -> None:
        """Follow the vault: new gateways appear, beds may be renamed."""
        for gateway in gateways:
            bed = self._beds.get(gateway.id)
            if bed is None:
                self._beds[gateway.id] = Bed(gateway)
            else:
                bed.gateway = gateway
            self.dirty.add(gateway.id)

    def gateways(self) -> list[bytes]:
        return list(self._beds)

    def name(self, gateway: bytes) -> str:
        """Return the bed at which a gateway stands."""
        return self._beds[gateway].gateway.bed

    def heard_ms(self) -> int:
        """Return when any gateway was last heard, 0 for never since the hub started."""
        return max((bed.heard_ms for bed in self._beds.values()), default=0)

    # --- what happened ---

    def hear(self, beat: Heartbeat, now_ms: int) -> None:
        """Take an authenticated heartbeat."""
        bed = self._beds[beat.gateway]
        before = bed.beat
        bed.anchor.hear(beat.boot, beat.mono_ms, now_ms)
        self._rate(bed, beat, now_ms)
        if bed.link == "down":
            away_s = (now_ms - bed.down_since_ms) / 1000
            rebooted = before is not None and before.boot != beat.boot
            why = "it was without power" if rebooted else "the network was cut"
            text = f"Heartbeats again after {away_s:.0f} s: {why}"
            self._notice(now_ms, beat.gateway, "good", text)
        elif bed.link == "never":
            self._notice(now_ms, beat.gateway, "good", "First heartbeat since the hub started")
        days = beat.certificate_days
        known = before.certificate_days if before else None
        if days is not None and days <= WARN_DAYS and days != known:
            text = f"The gateway's certificate {days_in_words(days)}: renew it"
            self._notice(now_ms, beat.gateway, "bad", text)
        bed.link, bed.beat, bed.heard_ms = "up", beat, now_ms
        self.dirty.add(beat.gateway)

    def tick(self, now_ms: int, hearing: bool) -> None:
        """Notice silence; `hearing` is False while the hub itself cannot hear anyone."""
        for gateway, bed in self._beds.items():
            silent = now_ms - bed.heard_ms > LINK_DOWN_MS
            if bed.link == "up" and silent:
                bed.link = "down" if hearing else "unknown"
                bed.down_since_ms = bed.heard_ms
                if hearing:
                    text = f"No heartbeat for {LINK_DOWN_MS // 1000} s: network cut or power lost"
                    self._notice(now_ms, gateway, "bad", text)
                self.dirty.add(gateway)
            elif bed.link == "unknown" and hearing:
                # One more period to be heard in, now that we listen again.
                bed.link, bed.heard_ms = "up", now_ms
                self.dirty.add(gateway)

    def stored(self, rows: Mapping[str, Iterable[Row]], now_ms: int) -> None:
        """Take the rows of a commit that has returned."""
        for row in rows.get("clocks", ()):
            if row["gateway"] in self._beds:
                self._clock(self._beds[row["gateway"]], row)
                self.dirty.add(row["gateway"])
        for row in rows.get("observations", ()):
            self._observation(row)
        for row in rows.get("alarms", ()):
            self._alarm(row, now_ms)
        for row in rows.get("events", ()):
            self._event(row)
        for row in rows.get("gaps", ()):
            name, first, last = CLASSES[row["gap_cls"]], row["first"], row["last"]
            text = f"Class {name}: sectors {first} to {last} were overwritten before their receipt"
            self.tell(self.utc(row), row["gateway"], "bad", text)

    def _notice(self, now_ms: int, gateway: bytes, tone: str, text: str) -> None:
        """Tell what was noticed of a gateway, if that is this hub's to tell."""
        if self._serves(gateway):
            self.say(now_ms, gateway, tone, text)

    def say(self, now_ms: int, gateway: bytes | None, tone: str, text: str) -> None:
        """Add a line of the hub's own to the story; tone is info, good, warn or bad."""
        row = {"at_ms": now_ms, "gateway": gateway, "tone": tone, "text": text}
        self.unwritten.append(row)
        del self.unwritten[:-_STORY]
        self.tell(now_ms, gateway, tone, text)

    def shows(self, row: Row) -> bool:
        """Return True when a line of the story in the store is on the page already."""
        bed = self._beds.get(bytes(row["gateway"])) if row["gateway"] else None
        wanted = (row["at_ms"], bed.gateway.bed if bed else None, row["text"])
        return any((line["at"], line["bed"], line["text"]) == wanted for line in self.story)

    def tell(self, at_ms: int | None, gateway: bytes | None, tone: str, text: str) -> None:
        """Add a line to the story that the store already has."""
        bed = self._beds.get(gateway) if gateway else None
        self._told += 1  # a line's number: a browser may get it with the snapshot and again
        line = {"n": self._told, "at": at_ms, "tone": tone, "text": text}
        line["bed"] = bed.gateway.bed if bed else None
        self.story.append(line)
        self.story_news.append(line)
        del self.story_news[:-_STORY]

    @staticmethod
    def _clock(bed: Bed, row: Row) -> None:
        same = [known for known in bed.clocks if known["boot"] == row["boot"]]
        others = [known for known in bed.clocks if known["boot"] != row["boot"]]
        best = max([*same, row], key=lambda known: (known["quality"], known["mono_ms"]))
        bed.clocks = [*others[-_BOOTS:], best]

    def utc(self, row: Row) -> int | None:
        """Return when a record was made, None while nobody can know."""
        bed = self._beds.get(row["gateway"])
        offset = bed.offset(row["boot"]) if bed else None
        return None if offset is None else offset + int(row["mono_ms"])

    def _observation(self, row: Row) -> None:
        bed = self._beds.get(row["gateway"])
        if bed is None:
            return
        position = (row["sector"], row["offset"], row["idx"])
        device = bed.devices.get(row["device"])
        if device is not None:
            current = bed.beat.log if bed.beat else None
            if device.log != row["log"] and row["log"] != current:
                return  # of a log that the gateway no longer writes
            if device.log == row["log"] and position <= device.position:
                return  # of the backlog: stored, but not news
        elif len(bed.devices) >= _DEVICES_MAX:
            return
        values = row["readings"]
        if device is None:
            device = Device("", "", 0, b"", (0, 0, 0), 0, 0, {})
            bed.devices[row["device"]] = device
        same = device.boot == row["boot"]
        device.name, device.protocol, device.cls = row["device"], row["protocol"], row["cls"]
        device.log, device.position = row["log"], position
        device.boot, device.mono_ms = row["boot"], row["mono_ms"]
        # Groups of one device come in turn: each refreshes its own labels, each has its own age.
        dated = {label: [*value, row["mono_ms"]] for label, value in values.items()}
        device.values = device.values | dated if same else dated
        for label, (text, _, _) in values.items():
            if text is not None:
                device.trends.setdefault(label, deque(maxlen=RECENT)).append(float(text))
        self.dirty.add(row["gateway"])

    def _alarm(self, row: Row, now_ms: int) -> None:
        bed = self._beds.get(row["gateway"])
        device = bed.devices.get(row["device"]) if bed else None
        word = "Alarm" if row["active"] else "Alarm over"
        tone = ("bad" if row["priority"] >= 2 else "warn") if row["active"] else "info"
        self.tell(self.utc(row), row["gateway"], tone, f"{row['device']}: {word}: {row['text']}")
        if device is None:
            return
        key = (row["page"], row["code"])
        position = (row["sector"], row["offset"], row["idx"])
        known = device.words.get(key)
        if known and known[0] == row["log"] and position <= known[1]:
            return  # of the backlog: more is known of this alarm by now
        device.words.pop(key, None)
        device.words[key] = (row["log"], position)
        while len(device.words) > _WORDS_MAX:
            del device.words[next(iter(device.words))]
        device.alarms.pop(key, None)
        if row["active"] and len(device.alarms) < _ALARMS_MAX:
            device.alarms[key] = (row["priority"], row["text"])
        self.dirty.add(row["gateway"])

    def _event(self, row: Row) -> None:
        if row["name"] in _QUIET or (row["name"] == "boot" and row["cls"]):
            return  # a boot is said in every class's log; once is enough for people
        tone, text = _EVENTS.get(row["name"], ("info", row["name"] + " {}"))
        self.tell(self.utc(row), row["gateway"], tone, text.format(row["text"]).strip())

    def by_radio(self, row: Row) -> None:
        """Take what a gateway said by radio: shown until it speaks by IP again."""
        bed = self._beds.get(bytes(row["gateway"]))
        if bed is not None and (bed.radio is None or bed.radio["at_ms"] != row["at_ms"]):
            bed.radio = row
            self.dirty.add(bed.gateway.id)

    @staticmethod
    def _rate(bed: Bed, beat: Heartbeat, now_ms: int) -> None:
        """Keep the backlog's shrinking in bytes a second, smoothed, by class."""
        for cls, size in beat.backlog.items():
            at_ms, before, rate = bed.rates.get(cls, (now_ms, size, 0.0))
            if now_ms - at_ms < 1000 and cls in bed.rates:
                continue
            if now_ms > at_ms:
                rate += 0.4 * ((before - size) * 1000 / (now_ms - at_ms) - rate)
            bed.rates[cls] = (now_ms, size, rate)

    # --- what is known ---

    def bed(self, gateway: bytes) -> Bed:
        """Return what is known of a gateway's bed; it is the ward's, to be read only."""
        return self._beds[gateway]

    def set_account(self, gateway: bytes, account: dict[str, Any]) -> None:
        self._beds[gateway].account = account
        self.dirty.add(gateway)

    def newest(self, gateway: bytes) -> dict[int, tuple[int, bool]]:
        """Return by class when the newest value was measured, and whether only silence is due.

        The best device of a class decides. Silence is due of devices that the gateway says are
        silent, or that it does not have any more.
        """
        bed = self._beds[gateway]
        states = dict(bed.beat.lines) if bed.beat and bed.link == "up" else {}
        found: dict[int, tuple[int, bool]] = {}
        for name, device in bed.devices.items():
            offset = bed.offset(device.boot)
            if offset is None:
                continue
            at_ms = offset + device.mono_ms
            silent = bool(states) and states.get(name) != "live"
            best_ms, all_silent = found.get(device.cls, (at_ms, True))
            found[device.cls] = (max(best_ms, at_ms), all_silent and silent)
        return found

    def link(self, gateway: bytes) -> str:
        """Return "up", "down", "unknown" or "never"."""
        return self._beds[gateway].link

    def account(self, gateway: bytes) -> dict[str, Any]:
        """Return the last loss account of a gateway by class, empty before the first."""
        return self._beds[gateway].account

    def facts(self, gateway: bytes) -> tuple[Heartbeat | None, bool, Anchor]:
        """Return (last heartbeat, link is up, anchor) for the account."""
        bed = self._beds[gateway]
        return bed.beat, bed.link == "up", bed.anchor
