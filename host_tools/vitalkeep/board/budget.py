"""What a kind of board has room for: computed from its partitions and wiring, never typed in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bridge.core.errors import ConfigError
from bridge.core.journal.layout import SECTOR_SIZE
from bridge.core.rings import GATEWAY_HEAP, check_rings, room_for_rings
from vitalkeep.board import partitions
from vitalkeep.board.kinds import Kind

MONITOR_BYTES_S = 5.0  # an 18-parameter monitor with a commit for each row (README)
HOURS_WANTED = 24.0
KEY_BLOCKS = 4
# Of the code, the loader's and a bundle's index when it is loaded and not frozen
# (docs/guides/heap.md)
CODE_HEAP = 159744
SESSIONS = 2
BUNDLE = 288 * 1024  # bytes of the firmware as a bundle, at most (tests/boards)
FILES_BESIDE = 64 * 1024  # of configurations, certificates, and what littlefs needs itself

_SPARE_SECTORS = 5  # two kept blank ahead, and the open one of each class
_POOL_BYTES = 3  # of heap for each sector
_MEASURED_SECTORS = 256  # in what GATEWAY_HEAP counts


@dataclass(frozen=True)
class Budget:
    """Bytes, but for `hours` of an 18-parameter monitor.

    image         room for the image; files: for the file system
    heap          what the board has; frozen, loaded: what the gateway takes of it with its code in
                  the image or from .mpy files, sessions included where they lie in the heap
    rings         what is left for the rings behind the UARTs, with the code frozen
    """

    image: int
    files: int
    journal: int
    keys: int
    hours: float
    heap: int
    frozen: int
    loaded: int
    rings: int

    @property
    def takes_mpy(self) -> bool:
        """Whether the firmware may be loaded from .mpy files."""
        return self.loaded <= self.heap

    @property
    def takes_bundles(self) -> bool:
        """Whether the file system has room for two bundles."""
        return self.files >= 2 * BUNDLE + FILES_BESIDE


def hours_of_log(size: int, bytes_a_second: float) -> float:
    """Return for how many hours a journal of `size` bytes keeps devices of that rate."""
    return max(0, size // SECTOR_SIZE - _SPARE_SECTORS) * SECTOR_SIZE / bytes_a_second / 3600


def budget(kind: Kind, bytes_a_second: float = MONITOR_BYTES_S) -> Budget:
    """Return what a kind of board has room for; raises ToolError for a table without a log."""
    wiring = kind.wiring
    journal = partitions.need(kind.partitions, "journal").size
    keys = partitions.need(kind.partitions, "keys").size
    files = partitions.by_label(kind.partitions, "vfs")
    app = partitions.by_label(kind.partitions, "factory")
    storage = getattr(wiring, "STORAGE", 0)
    pool = _POOL_BYTES * max(0, journal // SECTOR_SIZE - _MEASURED_SECTORS)
    frozen = GATEWAY_HEAP + pool + SESSIONS * getattr(wiring, "TLS_ROOM", 0)
    return Budget(
        image=app.size if app else wiring.FLASH - storage,
        files=files.size if files else storage,
        journal=journal,
        keys=keys,
        hours=hours_of_log(journal, bytes_a_second),
        heap=wiring.HEAP,
        frozen=frozen,
        loaded=frozen + CODE_HEAP,
        rings=max(0, room_for_rings(wiring, SESSIONS) - pool),
    )


def problems(kind: Kind) -> list[str]:
    """Return why a kind of board cannot be a gateway: one sentence each, [] when it can."""
    wiring, chip = kind.wiring, kind.chip
    room = budget(kind)
    size = {"partition": wiring.FLASH, "rp2": getattr(wiring, "STORAGE", 0)}
    end = max(part.end for part in kind.partitions)
    first = partitions.TABLE_AT + partitions.TABLE_SIZE if chip.port == "esp32" else 0
    found = partitions.problems(kind.partitions, size.get(kind.medium, end), first)
    if getattr(wiring, "STORAGE", 0) >= wiring.FLASH:
        found.append("STORAGE: leaves no room for an image")
    if room.hours < HOURS_WANTED:
        found.append(f"journal: {room.hours:.1f} h of a monitor, want {HOURS_WANTED:g}")
    if room.keys < KEY_BLOCKS * SECTOR_SIZE:
        found.append(f"keys: {room.keys // SECTOR_SIZE} blocks, want {KEY_BLOCKS}")
    if room.takes_mpy and not room.takes_bundles:
        found.append(f"files: {room.files} bytes, want room for two bundles")
    if room.frozen > room.heap:
        found.append(f"HEAP: {room.heap} bytes, want {room.frozen} with the code in the image")
    if chip.port == "esp32" and getattr(wiring, "RXBUF_MAX", 0) != 65535:
        found.append("RXBUF_MAX: want 65535, which this port takes")
    for label, place in (("journal", wiring.JOURNAL), ("keys", wiring.KEYS)):
        part = partitions.need(kind.partitions, label)
        if place["medium"] != "partition" and (place["start"], place["size"]) != (
            part.offset,
            part.size,
        ):
            found.append(f"{label}: the wiring and partitions.csv differ")
    if kind.medium == "rp2":
        vfs, files = partitions.need(kind.partitions, "vfs"), wiring.FILES
        if (files["start"], files["size"]) != (vfs.offset, vfs.size):
            found.append("files: the wiring and partitions.csv differ")
    return found + _pin_problems(kind) + _ring_problems(kind)


def _ring_problems(kind: Kind) -> list[str]:
    """Return nothing when each UART takes a 115,200 baud line at once with two TLS sessions."""
    lines: list[dict[str, Any]] = [
        {"uart": uart, "baud": 115200, "bits": 8, "parity": "N", "stop": 1}
        for uart in kind.wiring.UARTS
    ]
    try:
        check_rings(kind.wiring, lines, SESSIONS)
    except ConfigError as error:
        return [str(error)]
    return []


def _pins(row: dict[str, Any], names: Iterable[str]) -> list[int]:
    return [row[name] for name in names if name in row]


_LINK_PINS = ("sck", "mosi", "miso", "cs", "int", "reset", "mdc", "mdio", "power", "ref_clk")
_SPI_PINS = ("sck", "mosi", "miso")
_RMII = {"TXD0": 19, "TX_EN": 21, "TXD1": 22, "RXD0": 25, "RXD1": 26, "CRS_DV": 27, "CLK": 17}


def _pin_problems(kind: Kind) -> list[str]:
    """Return which pins are used twice, are not there, or cannot do what they should."""
    wiring, chip = kind.wiring, kind.chip
    found: list[str] = []
    users: dict[int, str] = {}

    def use(who: str, pins: Iterable[int], drives: bool = False) -> None:
        for pin in pins:
            if pin not in chip.pins:
                found.append(f"{who}: pin {pin} is not free on this chip")
            elif drives and pin in chip.inputs:
                found.append(f"{who}: pin {pin} is an input")
            if users.setdefault(pin, who) != who:
                found.append(f"{who}: pin {pin} is {users[pin]}'s")

    for uart, row in wiring.UARTS.items():
        if uart not in chip.uarts:
            found.append(f"uart {uart}: this chip has none")
        use(f"uart {uart}", [row["tx"]], drives=True)
        use(f"uart {uart}", [row["rx"]])
        sets = chip.uart_pins.get(uart)
        if sets and (row["tx"] not in sets[0] or row["rx"] not in sets[1]):
            found.append(f"uart {uart}: pins {row['tx']} and {row['rx']} are not its own")
    for uart, pin in wiring.RS485_ENABLE.items():
        use(f"driver enable of uart {uart}", [pin], drives=True)
        if uart not in wiring.UARTS:
            found.append(f"driver enable of uart {uart}: no such uart here")
    for number, pin in getattr(wiring, "CONTACTS", {}).items():
        # They need a pull-up, which inputs alone do not have.
        use(f"contact {number}", [pin], drives=True)
    button = getattr(wiring, "CONSOLE_BUTTON", None)
    if button is not None:
        use("console button", [button])
    buses: dict[int, str] = {}
    rows = [(row["kind"], row) for row in wiring.LINKS]
    rows += [("flash chip", wiring.JOURNAL)] if kind.medium == "spi_nor" else []
    for who, row in rows:
        if who == "cellular":
            modem = wiring.UARTS.get(row["uart"])
            if modem is None or (row["tx"], row["rx"]) != (modem["tx"], modem["rx"]):
                found.append("cellular: want the pins of its uart")
            use(who, _pins(row, ("reset",)), drives=True)
            continue
        use(who, _pins(row, _LINK_PINS))
        if who == "lan":
            use(who, _RMII.values())
        if "spi" in row:
            if buses.setdefault(row["spi"], who) != who:
                found.append(f"{who}: spi {row['spi']} is {buses[row['spi']]}'s")
            sets_of_bus = chip.spi_pins.get(row["spi"])
            if sets_of_bus and any(
                row[name] not in pins for name, pins in zip(_SPI_PINS, sets_of_bus, strict=True)
            ):
                found.append(f"{who}: these pins are not spi {row['spi']}'s")
    return found
