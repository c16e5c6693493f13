"""From when to when a device had values, by class of urgency: the raw material of the account.

A span is a list [boot, first_ms, last_ms, count] in the monotonic time of that boot. A sector
keeps its spans beside its bytes, and they can always be made again from them.
"""

from __future__ import annotations

import json

# Two values of one device further apart than this leave a hole, by class. Within it a device is
# merely slow: an infusion pump answers every few seconds, an environment sensor every minute.
HOLE_MS = (5_000, 30_000, 120_000)

Span = list[int]


class Spans:
    """The spans of one sector, device by device."""

    def __init__(self, cls: int) -> None:
        self._hole_ms = HOLE_MS[cls]
        self.devices: dict[str, list[Span]] = {}

    def add(self, device: str, boot: int, mono_ms: int) -> None:
        """Note one observation; they come in the order of the log."""
        spans = self.devices.setdefault(device, [])
        if spans:
            last = spans[-1]
            if last[0] == boot and mono_ms - last[2] <= self._hole_ms:
                last[2] = max(last[2], mono_ms)
                last[3] += 1
                return
        spans.append([boot, mono_ms, mono_ms, 1])

    def dump(self) -> str:
        return json.dumps(self.devices, separators=(",", ":"))


def load(text: str) -> dict[str, list[Span]]:
    """Return {device: spans} as `Spans.dump` wrote it."""
    devices: dict[str, list[Span]] = json.loads(text)
    return devices
