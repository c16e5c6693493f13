"""Each bed as pages and programs get it: JSON that is made once and kept until the bed changes.

To make one takes some 60 microseconds, and a ward has a thousand. So they are made a slice at a
time, and between two slices the loop has its turn: no receipt waits for a page.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from bridge.core.journal.layout import CLASSES
from vitalkeep.hub.heartbeat import Heartbeat
from vitalkeep.hub.serving import dumps
from vitalkeep.hub.store import utc_now_ms
from vitalkeep.hub.ward import PRIORITIES, Bed, Ward

TRENDS_MAX = 32  # beds whose trends are asked for at once: some 8 ms
_SLICE = 100
_CLOCK_NAMES = ("unknown", "from SNTP, which nobody authenticates", "from a site")

Card = dict[str, str]  # JSON by the field's name: text, which no garbage collection walks through


class Cards:
    """The cards of a ward, for all who look at it.

    What was told is said to all of them alike: who came later has it from the whole ward's cards.
    """

    def __init__(self, ward: Ward) -> None:
        self._ward = ward
        self._made: dict[bytes, Card] = {}  # of beds that have not changed since
        self._told: dict[bytes, Card] = {}
        self._untold: set[bytes] = set()

    async def all(self) -> list[str]:
        """Return every card, by the beds' names, all of them as they are when this returns."""
        gateways = sorted(self._ward.gateways(), key=self._ward.name)
        # What changes while others are made is made at the end. The rounds are counted, since
        # on an overloaded hub it might change as quickly as that.
        for _ in range(2 * len(gateways) // _SLICE):
            self._sweep()
            missing = [gateway for gateway in gateways if gateway not in self._made]
            if len(missing) <= _SLICE:
                break
            for gateway in missing[:_SLICE]:
                self._card(gateway)
            await asyncio.sleep(0)
        self._sweep()
        return [_join(self._card(gateway)) for gateway in gateways]

    async def news(self) -> AsyncIterator[str]:
        """Yield {"now", "beds"}: a slice of the beds that changed, with what is new of each.

        Each is as it is when it is yielded: publish it at once.
        """
        self._sweep()
        changed = list(self._untold)
        for start in range(0, len(changed), _SLICE):
            found = [self._news_of(gateway) for gateway in changed[start : start + _SLICE]]
            if any(found):
                yield with_beds({"now": utc_now_ms()}, filter(None, found))
            await asyncio.sleep(0)

    def forget(self) -> None:
        """Nobody looks: whoever comes gets the whole ward first."""
        self._sweep()
        self._untold.clear()
        self._told.clear()

    def trends(self, gateways: Iterable[bytes]) -> dict[str, Any]:
        """Return the recent past of the values of some beds; those that are not here are left out.

        {gateway: {device: {label: {"at": UTC ms of the newest or None, "past": [numbers]}}}}
        """
        known = self._ward.gateways()
        return {g.hex(): _trends(self._ward.bed(g)) for g in gateways if g in known}

    def _sweep(self) -> None:
        """Drop what was made of beds that have changed since."""
        changed, self._ward.dirty = self._ward.dirty, set()
        for gateway in changed:
            self._made.pop(gateway, None)
        self._untold |= changed

    def _card(self, gateway: bytes) -> Card:
        made = self._made.get(gateway)
        if made is None:
            said = card(self._ward.bed(gateway))
            made = self._made[gateway] = {name: dumps(value) for name, value in said.items()}
        return made

    def _news_of(self, gateway: bytes) -> str:
        """Return a bed's id and its fields that are not as they were told, "" for none."""
        self._untold.discard(gateway)
        before, now = self._told.get(gateway, {}), self._card(gateway)
        self._told[gateway] = now
        changed = {name: text for name, text in now.items() if text != before.get(name)}
        return _join({"id": now["id"]} | changed) if changed else ""


def _join(fields: Card) -> str:
    return "{" + ",".join([f'"{name}":{text}' for name, text in fields.items()]) + "}"


def with_beds(fields: dict[str, Any], cards: Iterable[str]) -> str:
    """Return the JSON of an object of some fields, and of "beds", which are JSON already."""
    return f'{dumps(fields)[:-1]},"beds":[{",".join(cards)}]}}'


def card(bed: Bed) -> dict[str, Any]:
    """Return all that is said of a bed, but for its trends."""
    beat = bed.beat
    classes = {}
    for cls, name in enumerate(CLASSES):
        size = beat.backlog.get(cls, 0) if beat else 0
        rate = bed.rates.get(cls, (0, 0, 0.0))[2]
        eta = round(size / rate, 1) if size and rate > 1 else None
        classes[name] = {"backlog": size, "eta_s": eta}
    return {
        "id": bed.gateway.id.hex(),
        "bed": bed.gateway.bed,
        "link": bed.link,
        "heard": bed.heard_ms or None,
        "classes": classes,
        "clock": _clock(beat),
        "hours_left": beat.hours_left if beat else None,
        "certificate_days": beat.certificate_days if beat else None,
        "firmware": beat.firmware if beat else "",
        "counters": beat.counters if beat else {},
        "devices": _devices(bed) + _radio_devices(bed),
        "account": bed.account,
    }


def _devices(bed: Bed) -> list[dict[str, Any]]:
    states = dict(bed.beat.lines) if bed.beat else {}
    found: list[dict[str, Any]] = []
    for device in sorted(bed.devices.values(), key=lambda device: (device.cls, device.name)):
        offset = bed.offset(device.boot)
        values = [
            [label, text, state, unit, None if offset is None else offset + mono_ms]
            for label, (text, state, unit, mono_ms) in device.values.items()
        ]
        found.append(
            {
                "name": device.name,
                "protocol": device.protocol,
                "cls": CLASSES[device.cls],
                "state": states.pop(device.name, "unknown"),
                "at": None if offset is None else offset + device.mono_ms,
                "values": values,
                "alarms": [
                    [PRIORITIES[min(priority, 3)], text]
                    for priority, text in sorted(device.alarms.values(), reverse=True)
                ],
            }
        )
    for name, state in states.items():
        # Configured and never heard: it must not be missing from the page.
        found.append({"name": name, "cls": None, "state": state, "at": None, "values": []})
    return found


def _trends(bed: Bed) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for device in bed.devices.values():
        offset = bed.offset(device.boot)
        found[device.name] = {
            label: {
                "at": None if offset is None else offset + device.values[label][3],
                "past": list(past),
            }
            for label, past in device.trends.items()
            if label in device.values
        }
    return found


def _radio_devices(bed: Bed) -> list[dict[str, Any]]:
    """Return last values and alarms that came by radio, a device an entry of its own."""
    row = bed.radio
    if row is None or row["at_ms"] <= bed.heard_ms:
        return []
    content = json.loads(row["content"])
    found: dict[str, dict[str, Any]] = {}

    def device(name: str) -> dict[str, Any]:
        empty = {"name": f"{name}, by radio", "protocol": f"{row['rssi']} dBm", "cls": "A"}
        return found.setdefault(
            name, empty | {"state": "radio", "at": None, "values": [], "alarms": []}
        )

    for name, label, text, state, unit, at_ms in content["values"]:
        entry = device(name)
        entry["values"].append([label, text, state, unit, at_ms])
        entry["at"] = max(entry["at"] or 0, at_ms)
    for name, _, _, priority, _, text, at_ms in content["alarms"]:
        entry = device(name)
        entry["alarms"].append([PRIORITIES[min(priority, 3)], text])
        entry["at"] = max(entry["at"] or 0, at_ms)
    return [found[name] for name in sorted(found)]


def _clock(beat: Heartbeat | None) -> str:
    """Return where a gateway's clock is from and how far it may be off, in words."""
    if beat is None:
        return _CLOCK_NAMES[0]
    name = _CLOCK_NAMES[beat.clock]
    return name if beat.clock_error_ms is None else f"{name}, to {beat.clock_error_ms} ms"
