"""What may leave the house: no secret, and nothing that a device said of a patient.

What is known to be harmless is let through by name; all else stays. Texts that may quote something
(an error, an event) lose what stands in quotes and whatever looks like a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from bridge.core.config import FIELDS
from bridge.core.journal import records

HIDDEN = "(hidden)"

# Of a report: numbers, names of parts, and texts that the firmware makes
_REPORT = {
    "gateway", "bed", "log", "boot", "mono", "utc", "clock", "clock_error", "heads", "pool",
    "backlog", "hours_left", "counters", "last_error", "lines", "links", "classes",
    "certificate_days", "micropython", "firmware", "heap", "platform", "reset", "unique_id",
    "on_trial", "console", "files", "umqtt", "devices", "sites", "prompt",
}  # fmt: skip
_CONFIG = {"bed", "sites", "lines", "ntp", "console", "radio", *(field[0] for field in FIELDS)}
_SITE = {
    "name", "id", "host", "port", "tls", "server_name", "time_port", "up", "session",
    "round_trip_ms", "overdue_ms", "backlog", "fault",
}  # fmt: skip
_LINE = {"uart", "protocol", "baud", "bits", "parity", "stop", "rs485", "tcp", "devices"}
_DEVICE = {"name", "class", "unit", "quiet_ms", "state"}
_RADIO = {"region", "khz", "sf", "bandwidth_khz", "dbm"}

# Events whose text is the firmware's own; what a device says of itself is not.
_EVENTS = set(records.EVENT_NAMES.values()) - {"identity"}

_QUOTED = re.compile(r"""b?'(?:[^'\\]|\\.)*'|b?"(?:[^"\\]|\\.)*\"""")
_KEYLIKE = re.compile(r"\b[0-9a-fA-F]{24,}\b|[A-Za-z0-9+/]{28,}={0,2}|-----BEGIN.*", re.S)
_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")


class Redactor:
    """secrets: texts that are replaced wherever they stand, such as the Wi-Fi's key."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longer first: one may be in another.
        self._secrets = sorted({text for text in secrets if text}, key=len, reverse=True)

    def text(self, text: Any) -> str:
        """Return a text of the firmware without what it may quote."""
        shown = str(text)
        for secret in self._secrets:
            shown = shown.replace(secret, HIDDEN)
        return _KEYLIKE.sub(HIDDEN, _QUOTED.sub(HIDDEN, shown))

    def report(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Return what a gateway said of itself."""
        return {name: self._value(name, raw[name]) for name in sorted(_REPORT & raw.keys())}

    def configuration(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return a config.json: of links only which there are, of lines no options."""
        kept = {name: self._value(name, config[name]) for name in sorted(_CONFIG & config.keys())}
        links = config.get("links")
        if isinstance(links, dict):
            kept["links"] = {self.text(kind): HIDDEN for kind in links if kind != "dns"}
            if "dns" in links:
                kept["links"]["dns"] = self.plain(links["dns"])
        return kept

    def event(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return an event of the log, as events.Entry.as_dict has it."""
        text = self.text(entry["text"]) if entry["event"] in _EVENTS else HIDDEN
        return entry | {"text": text}

    def plain(self, value: Any) -> Any:
        """Return JSON whose texts are redacted: of a probe, or an item of a board's prompt."""
        if isinstance(value, dict):
            return {self.text(name): self.plain(part) for name, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.plain(part) for part in value]
        if value is None or isinstance(value, (int, float)):
            return value
        return self.text(value)

    def _value(self, name: str, value: Any) -> Any:
        tables = {"sites": _SITE, "lines": _LINE | _DEVICE, "devices": _DEVICE}
        if name in tables and isinstance(value, list):
            return [self._row(row, tables[name]) for row in value if isinstance(row, dict)]
        if name == "radio" and isinstance(value, dict):
            return self._row(value, _RADIO)
        if name == "counters" and isinstance(value, dict):
            return {
                key: count
                for key, count in value.items()
                if _NAME.fullmatch(key) and isinstance(count, int)
            }
        return self.plain(value)

    def _row(self, row: dict[str, Any], names: set[str]) -> dict[str, Any]:
        return {name: self._value(name, row[name]) for name in sorted(names & row.keys())}


def secrets_of(config: dict[str, Any]) -> list[str]:
    """Return the texts of a config.json that no other text may show."""
    found = []
    links = config.get("links", {})
    for settings in links.values() if isinstance(links, dict) else ():
        if isinstance(settings, dict):
            found += [value for value in settings.values() if isinstance(value, str)]
    return found
