"""A board with an ESP32-S3 module of 16 MB and 8 MB of octal external RAM (N16R8), console on USB.

The cable is a W5500 on SPI, since the S3 has no Ethernet of its own. Pins 26 to 37 belong to flash
and external RAM, 19 and 20 to USB; 0, 3, 45 and 46 decide how the chip starts.
"""

BOARD = "ESP32_GENERIC_S3"
FLASH = 16 * 1024 * 1024  # bytes, of the chip that holds the image
HEAP = 2 * 1024 * 1024  # bytes, a part of the external RAM
LINKS = (
    {
        "kind": "w5500", "bind": True, "spi": 1,
        "sck": 12, "mosi": 11, "miso": 13, "cs": 10, "int": 14, "reset": 9,
    },
    {"kind": "wifi", "bind": True},
    {"kind": "cellular", "bind": True, "uart": 0, "tx": 43, "rx": 44, "reset": 5},
)  # fmt: skip
RXBUF_MAX = 65535  # of a UART, bytes
JOURNAL = {"medium": "partition", "label": "journal"}
KEYS = {"medium": "partition", "label": "keys"}
UARTS = {
    0: {"tx": 43, "rx": 44},
    1: {"tx": 17, "rx": 18},
    2: {"tx": 15, "rx": 16},
}
RS485_ENABLE = {1: 8, 2: 21}
CONTACTS = {0: 6, 1: 7}
CONSOLE_BUTTON = 0  # BOOT; only after the start: held at power-on it means the chip's loader
