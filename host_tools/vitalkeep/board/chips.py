"""What the chips of boards can do: UARTs, pins, where their images lie.

Sources: the chips' data sheets (ESP32 and ESP32-S3: pin lists and strapping pins; RP2040 and
RP2350: GPIO functions), MicroPython's ports, the UF2 specification's list of families.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Chip:
    """One chip.

    port        MicroPython's: "esp32" or "rp2"
    architecture  of its machine code, as mpy-cross names it
    uarts       numbers of its UARTs
    pins        that a board may use; those of its own flash are left out
    inputs      among them those that cannot be driven
    image_id    of ESP32 images' headers; family: of UF2 blocks
    image_at    where an ESP32's image begins
    uart_pins   {uart: (transmit, receive)} where they are not free
    spi_pins    {spi: (sck, mosi, miso)} where they are not free
    """

    port: str
    architecture: str
    uarts: tuple[int, ...]
    pins: frozenset[int]
    inputs: frozenset[int] = frozenset()
    image_id: int = 0
    family: int = 0
    image_at: int = 0
    uart_pins: dict[int, tuple[set[int], set[int]]] = field(default_factory=dict)
    spi_pins: dict[int, tuple[set[int], set[int], set[int]]] = field(default_factory=dict)


_RP2_PINS = frozenset(range(23)) | {26, 27, 28}
_RP2_UARTS = {0: ({0, 12, 16, 28}, {1, 13, 17}), 1: ({4, 8, 20}, {5, 9, 21})}
_RP2_SPIS = {
    0: ({2, 6, 18, 22}, {3, 7, 19}, {0, 4, 16, 20}),
    1: ({10, 14, 26}, {11, 15, 27}, {8, 12, 28}),
}

CHIPS = {
    "esp32": Chip(
        "esp32",
        "xtensawin",
        (0, 1, 2),
        frozenset({0, 2, 4, 5, 36, 39}) | frozenset(range(12, 20)) | {21, 22, 23}
        | frozenset(range(25, 28)) | frozenset(range(32, 36)),
        inputs=frozenset(range(34, 40)),
        image_id=0,
        image_at=0x1000,
    ),
    "esp32s3": Chip(
        "esp32",
        "xtensawin",
        (0, 1, 2),
        frozenset(range(19)) | {21} | frozenset(range(38, 49)),
        image_id=9,
        image_at=0,
    ),
    "rp2040": Chip(
        "rp2", "armv6m", (0, 1), _RP2_PINS, family=0xE48BFF56, uart_pins=_RP2_UARTS,
        spi_pins=_RP2_SPIS,
    ),
    "rp2350": Chip(
        "rp2", "armv7emsp", (0, 1), _RP2_PINS, family=0xE48BFF59, uart_pins=_RP2_UARTS,
        spi_pins=_RP2_SPIS,
    ),
}  # fmt: skip
