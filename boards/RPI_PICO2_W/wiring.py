"""Raspberry Pi Pico 2 W, log and keys in its own flash, by Wi-Fi.

It needs the image built from this folder: the stock image formats its whole storage area as files.
Interrupts are off while the chip is written, so UARTs go by DMA. Pins 23, 24, 25 and 29 belong to
the radio.
"""

BOARD = "RPI_PICO2_W"
FLASH = 4 * 1024 * 1024  # bytes, of the chip that holds the image
STORAGE = 2560 * 1024  # bytes at its end, for files, log and keys
HEAP = 440 * 1024  # bytes; what the RP2040 has less of RAM added to what that has free
LINKS = ({"kind": "wifi", "bind": False},)
FILES = {"start": 0x000000, "size": 0x100000}
JOURNAL = {"medium": "rp2", "start": 0x100000, "size": 0x17C000}
KEYS = {"medium": "rp2", "start": 0x27C000, "size": 0x004000}
UARTS = {
    0: {"tx": 0, "rx": 1, "dma": "rp2350"},
    1: {"tx": 8, "rx": 9, "dma": "rp2350"},
}
RS485_ENABLE = {0: 2, 1: 10}
CONTACTS = {0: 14, 1: 15}
CONSOLE_BUTTON = 22
TLS_ROOM = 26 * 1024  # bytes of a session, which this port takes from the Python heap
