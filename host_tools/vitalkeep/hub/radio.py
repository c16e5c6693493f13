"""Frames that gateways sent by radio: whose they are, whether they are news, what they say. Pure.

A base station relays them sealed; it holds no key, and nothing is believed because it says so. The
frame's own tag, and an order that never goes back, decide. Each refusal has a name and a count.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bridge.core import radio_wire
from bridge.core.errors import FormatError, TagError
from bridge.core.radio_wire import Content, Frame
from vitalkeep.hub.decode import Row
from vitalkeep.hub.heartbeat import Heartbeat
from vitalkeep.hub.values import readings
from vitalkeep.keys import derive
from vitalkeep.keys.vault import Gateway

Order = tuple[int, int, int]  # sector, offset, number of the frame

_VALUES_MAX = 256  # of one gateway
_ALARMS_MAX = 64


@dataclass(frozen=True)
class Heard:
    """A frame that is authentic, from the gateway's current log, and was not here before.

    first  since the gateway spoke by IP
    """

    station: bytes
    gateway: bytes
    log: bytes
    frame: Frame
    content: Content
    rssi: int
    snr: float
    first: bool

    @property
    def order(self) -> Order:
        order: Order = self.frame.order
        return order


class RadioDesk:
    """What the hub knows of the air.

    counters  of the hub; those of here begin with "radio_"
    """

    def __init__(self, cipher: Callable[[bytes], Any], counters: Counter[str]) -> None:
        self._cipher = cipher
        self._counters = counters
        self._gateways: dict[bytes, list[Gateway]] = {}  # by what they are called on the air
        self._keys: dict[bytes, bytes] = {}
        self._last: dict[bytes, tuple[bytes, Order]] = {}  # log, order
        self._heads: dict[bytes, tuple[bytes, int, int]] = {}  # log, sector, bytes, of class A
        self._names: dict[bytes, list[str]] = {}
        self._state: dict[bytes, dict[str, Any]] = {}
        self._on_air: set[bytes] = set()

    def set_gateways(self, gateways: Iterable[Gateway]) -> None:
        self._gateways.clear()
        for gateway in gateways:
            if gateway.logs:
                self._gateways.setdefault(radio_wire.short_id(gateway.id), []).append(gateway)
                uplink = derive.uplink_key(gateway.root, gateway.id)
                self._keys[gateway.id] = radio_wire.radio_key(uplink, gateway.logs[-1])

    def remember(self, heads: Iterable[Row], rows: Iterable[Row]) -> list[Row]:
        """Take what the store has: the gateways' last words by IP, and by radio.

        Returns the rows of gateways that have said nothing by IP since.
        """
        heard_ms = {}
        for head in heads:
            fields = head["fields"]
            gateway, log = bytes(head["gateway"]), bytes(head["log"])
            heard_ms[gateway] = head["at_ms"]
            place = fields.get("heads", {}).get("0")
            if place:
                self._heads[gateway] = (log, place[1], place[2])
            self._names[gateway] = list(fields.get("devices", ()))
        current = []
        for row in rows:
            gateway = bytes(row["gateway"])
            order = (row["sector"], row["offset"], row["counter"])
            self._last[gateway] = (bytes(row["log"]), order)
            self._state[gateway] = json.loads(row["content"])
            if row["at_ms"] > heard_ms.get(gateway, 0):
                self._on_air.add(gateway)
                current.append(row)
        return current

    def hear(self, beat: Heartbeat) -> None:
        """Take an authenticated heartbeat: what the radio said before it is no news any more."""
        self._on_air.discard(beat.gateway)
        _, sector, end = beat.heads.get(0, (-1, -1, 0))
        self._heads[beat.gateway] = (beat.log, sector, end)
        self._names[beat.gateway] = [name for name, _ in beat.lines]

    # --- frames ---

    def parse(self, station: bytes, payload: bytes) -> Heard | None:
        """Return a frame that a base station heard, None where it is refused, which is counted."""
        found = self._open(station, payload)
        if isinstance(found, str):
            self._counters["radio_" + found] += 1
            return None
        self._counters["radio_frames"] += 1
        self._last[found.gateway] = (found.log, found.order)
        self._on_air.add(found.gateway)
        return found

    def _open(self, station: bytes, payload: bytes) -> Heard | str:
        try:
            rssi, snr, data = radio_wire.parse_heard(payload)
            frame = radio_wire.parse_frame(data)
        except FormatError:
            return "malformed"
        known = self._gateways.get(bytes(frame.short), ())
        if not known:
            return "stranger"
        for gateway in known:
            try:
                key = self._keys[gateway.id]
                content = radio_wire.open_frame(self._cipher, key, gateway.id, frame)
            except TagError:
                continue
            except FormatError:
                return "malformed"
            first = gateway.id not in self._on_air
            log = gateway.logs[-1]
            heard = Heard(station, gateway.id, log, frame, content, rssi, snr, first)
            return self._refusal(heard) or heard
        return "forged"

    def _refusal(self, heard: Heard) -> str:
        """Say why an authentic frame is no news, "" when it is."""
        log, last = self._last.get(heard.gateway, (b"", (-1, 0, 0)))
        if log == heard.log and heard.order <= last:
            # Two base stations heard it, or someone recorded it.
            return "duplicate" if heard.order == last else "replayed"
        log, sector, end = self._heads.get(heard.gateway, (b"", -1, 0))
        if log == heard.log and heard.order[:2] <= (sector, end):
            return "late"  # the gateway has spoken by IP since
        return ""

    # --- what they say ---

    def row(self, heard: Heard, now_ms: int) -> Row:
        """Return what is stored of a gateway's radio: its last values and alarms, all merged."""
        content = heard.content
        empty: dict[str, Any] = {"values": [], "alarms": []}
        state = empty if heard.first else self._state.get(heard.gateway, empty)
        values = {(entry[0], entry[1]): entry for entry in state["values"]}
        for value in content.values:
            # `readings` has a label for each parameter, also for one it does not know.
            labelled = _Value(value.parameter, value.value, value.decimals, value.state)
            ((label, reading),) = readings((labelled,)).items()
            name = self._name(heard, value.device)
            values[name, label] = [name, label, *reading, now_ms - 1000 * value.age_s]
        alarms = {(entry[0], entry[1], entry[2]): entry for entry in state["alarms"]}
        for alarm in content.alarms:
            name = self._name(heard, alarm.device)
            entry = [name, alarm.page, alarm.code, alarm.priority, alarm.active, alarm.text]
            alarms[name, alarm.page, alarm.code] = [*entry, now_ms - 1000 * alarm.age_s]
        kept = list(values.values())
        if len(kept) > _VALUES_MAX:  # more than any bed has: the newest
            kept = sorted(kept, key=lambda entry: entry[-1])[-_VALUES_MAX:]
        active = [entry for entry in alarms.values() if entry[4]][-_ALARMS_MAX:]
        state = {
            "values": kept,
            "alarms": active,
            "left": [content.alarms_left, content.values_left],
        }
        self._state[heard.gateway] = state
        sector, offset, counter = heard.order
        return {
            "gateway": heard.gateway,
            "log": heard.log,
            "sector": sector,
            "offset": offset,
            "counter": counter,
            "at_ms": now_ms,
            "rssi": heard.rssi,
            "content": json.dumps(state),
        }

    def story(self, heard: Heard) -> list[tuple[str, str]]:
        """Return (tone, text) of what people must be told of a frame."""
        lines = []
        if heard.first:
            content = heard.content
            text = f"Heard by radio, {heard.rssi} dBm: no network there"
            lines.append(("warn", f"{text}; {len(content.values)} last values"))
        for alarm in heard.content.alarms:
            word = "Alarm" if alarm.active else "Alarm over"
            tone = ("bad" if alarm.priority >= 2 else "warn") if alarm.active else "info"
            name = self._name(heard, alarm.device)
            lines.append((tone, f"{name}: {word} by radio: {alarm.text} ({alarm.age_s} s ago)"))
        return lines

    def _name(self, heard: Heard, device: int) -> str:
        names = self._names.get(heard.gateway, [])
        if device < len(names) and radio_wire.names_check(names) == heard.content.names:
            return names[device]
        # A wrong name would be worse than none.
        return f"device {device + 1}"


@dataclass(frozen=True)
class _Value:
    parameter: int
    value: int | None
    decimals: int
    state: int
    label: str = ""
    unit: str = ""
