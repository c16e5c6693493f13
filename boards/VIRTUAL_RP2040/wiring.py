"""The virtual board as an RP2040 with wired Ethernet: log and keys in its own flash (rp2.Flash).

A real one needs an image of its own: the stock image formats its whole storage area as files.
"""

BOARD = "VIRTUAL_RP2040"
LINKS = ({"kind": "w5500", "spi": 0, "sck": 18, "mosi": 19, "miso": 16, "cs": 17, "reset": 20},)
JOURNAL = {"medium": "rp2", "start": 0x000000, "size": 0x0FC000}
KEYS = {"medium": "rp2", "start": 0x0FC000, "size": 0x004000}
UARTS = {
    0: {"tx": 0, "rx": 1, "dma": "rp2040"},
    1: {"tx": 8, "rx": 9, "dma": "rp2040"},
}
RS485_ENABLE = {1: 10}
HEAP = 242 * 1024  # bytes, as an RPI_PICO has it free at start under emulation
TLS_ROOM = 26 * 1024  # bytes of a session, which this port takes from the Python heap
