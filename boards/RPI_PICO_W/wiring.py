"""Raspberry Pi Pico W, log and keys on an external W25Q32 (or up to W25Q128), by Wi-Fi.

The chip leaves interrupts on during an erase, so UARTs need no DMA. Pins 23, 24, 25 and 29 belong
to the radio.
"""

BOARD = "RPI_PICO_W"
FLASH = 2 * 1024 * 1024  # bytes, of the chip that holds the image
STORAGE = 640 * 1024  # bytes at its end, for files; less than the stock image has
HEAP = 207 * 1024  # bytes, as this board has it free at start under emulation
LINKS = ({"kind": "wifi", "bind": False},)
_FLASH = {"medium": "spi_nor", "spi": 0, "sck": 18, "mosi": 19, "miso": 16, "cs": 17}
JOURNAL = dict(_FLASH, start=0x000000, size=0x3FC000)
KEYS = dict(_FLASH, start=0x3FC000, size=0x004000)
UARTS = {
    0: {"tx": 0, "rx": 1},
    1: {"tx": 8, "rx": 9},
}
RS485_ENABLE = {0: 2, 1: 10}
CONTACTS = {0: 14, 1: 15}
CONSOLE_BUTTON = 22
TLS_ROOM = 26 * 1024  # bytes of a session, which this port takes from the Python heap
