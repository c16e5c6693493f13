"""The virtual RP2040 with an external W25Q80 chip for log and keys: it runs on a stock image."""

BOARD = "VIRTUAL_RP2040_W25Q"
LINKS = ({"kind": "w5500", "spi": 1, "sck": 14, "mosi": 15, "miso": 12, "cs": 13, "reset": 11},)
_FLASH = {"medium": "spi_nor", "spi": 0, "sck": 18, "mosi": 19, "miso": 16, "cs": 17}
JOURNAL = dict(_FLASH, start=0x000000, size=0x0FC000)
KEYS = dict(_FLASH, start=0x0FC000, size=0x004000)
UARTS = {
    0: {"tx": 0, "rx": 1, "dma": "rp2040"},
    1: {"tx": 8, "rx": 9, "dma": "rp2040"},
}
RS485_ENABLE = {1: 10}
HEAP = 242 * 1024  # bytes, as an RPI_PICO has it free at start under emulation
TLS_ROOM = 26 * 1024  # bytes of a session, which this port takes from the Python heap
