"""WIZnet W5500-EVB-Pico, log and keys on an external W25Q32 (or up to W25Q128), by cable.

The W5500 has SPI 0 for itself, the flash chip SPI 1. It leaves interrupts on during an erase, so
UARTs need no DMA.
"""

BOARD = "W5500_EVB_PICO"
FLASH = 2 * 1024 * 1024  # bytes, of the chip that holds the image
STORAGE = 1024 * 1024  # bytes at its end, for files; less than the stock image has
HEAP = 207 * 1024  # bytes, as a Pico W has it free at start under emulation; not measured here
LINKS = (
    {
        "kind": "w5500", "bind": False, "spi": 0,
        "sck": 18, "mosi": 19, "miso": 16, "cs": 17, "int": 21, "reset": 20,
    },
)  # fmt: skip
_FLASH = {"medium": "spi_nor", "spi": 1, "sck": 10, "mosi": 11, "miso": 12, "cs": 13}
JOURNAL = dict(_FLASH, start=0x000000, size=0x3FC000)
KEYS = dict(_FLASH, start=0x3FC000, size=0x004000)
UARTS = {
    0: {"tx": 0, "rx": 1},
    1: {"tx": 4, "rx": 5},
}
RS485_ENABLE = {0: 2, 1: 6}
CONTACTS = {0: 14, 1: 15}
CONSOLE_BUTTON = 22
TLS_ROOM = 26 * 1024  # bytes of a session, which this port takes from the Python heap
