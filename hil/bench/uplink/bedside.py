"""A gateway on a virtual board with oximeters whose every value is told apart from all others."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hil.board import VirtualBoard
from vitalkeep.keys.provision import key_region

GATEWAY = bytes.fromhex("24be9c0000000001")
LOG_ID = bytes.fromhex("10910000000000be")
ROOT = b"bench root key, thirty-two bytes"
FIRST_UART = 0

_LINE = (
    "03/14/26 09:26:53 SN=0000123456 SPO2={:03d}% BPM={:03d} PI=02.35% DESAT=00 "
    "PIDELTA=+00 ALARM=0000 EXC=000800\r\n"
)
_SPO2, _SPO2_COUNT = 60, 40
_BPM, _BPM_COUNT = 30, 200
MARKS_MAX = _SPO2_COUNT * _BPM_COUNT


def device_name(uart: int) -> str:
    return f"oximeter-{uart}"


def mark_of(spo2: str | None, bpm: str | None) -> int:
    """Return the number under which a pair of values was put on the wire."""
    return int(spo2 or _SPO2) - _SPO2 + (int(bpm or _BPM) - _BPM) * _SPO2_COUNT


@dataclass
class Bedside:
    """One gateway.

    root     folder of the board
    sites    (id, port) of each, in the order of preference
    classes  of the oximeters, on UART 0 and up: three at most
    more     of the configuration
    said_at  when the last byte of a value left its device: {(uart, number): time.monotonic()}
    """

    root: Path
    sites: Sequence[tuple[bytes, int]]
    classes: str = "A"
    more: dict[str, Any] = field(default_factory=dict)
    said_at: dict[tuple[int, int], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        uarts = range(FIRST_UART, FIRST_UART + len(self.classes))
        self.board = VirtualBoard(self.root, uarts=uarts, unique_id=GATEWAY[:6])
        self._next = dict.fromkeys(uarts, 0)
        ids = [id for id, _ in self.sites]
        _, size = self.board.partitions["keys"]
        self.board.write_partition("keys", key_region(ROOT, GATEWAY, LOG_ID, ids, size // 4096))
        self.board.write_partition("journal", b"")
        self.board.write_config(self.config())

    def config(self) -> dict[str, Any]:
        return {
            "bed": "bench",
            "sites": [
                {"name": name, "id": id.hex(), "host": "127.0.0.1", "port": port, "tls": False}
                for name, (id, port) in zip(("primary", "standby"), self.sites, strict=False)
            ],
            "lines": [
                {
                    "uart": uart,
                    "protocol": "masimo_set",
                    "baud": 9600,
                    "devices": [{"name": device_name(uart), "class": cls, "unit": 0}],
                }
                for uart, cls in enumerate(self.classes, FIRST_UART)
            ],
            **self.more,
        }

    def say(self, uart: int) -> int:
        """Put the next value of an oximeter on the wire and return its number."""
        number = self._next[uart]
        self._next[uart] += 1
        spo2 = _SPO2 + number % _SPO2_COUNT
        bpm = _BPM + number // _SPO2_COUNT % _BPM_COUNT
        os.write(self.board.lines[uart].master, _LINE.format(spo2, bpm).encode())
        self.said_at[(uart, number)] = time.monotonic()
        return number
