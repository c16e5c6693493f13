"""A board with a plain ESP32 module (WROOM-32, 4 MB, no external RAM), by Wi-Fi or modem.

UART 0 is the console. Modules with external RAM (WROVER) keep pins 16 and 17 for it.
"""

BOARD = "ESP32_GENERIC"
FLASH = 4 * 1024 * 1024  # bytes, of the chip that holds the image
HEAP = 160 * 1024  # bytes, as far as it grows by itself; from others' reports
LINKS = (
    {"kind": "wifi", "bind": True},
    {"kind": "cellular", "bind": True, "uart": 2, "tx": 17, "rx": 16, "reset": 18},
)
RXBUF_MAX = 65535  # of a UART, bytes
JOURNAL = {"medium": "partition", "label": "journal"}
KEYS = {"medium": "partition", "label": "keys"}
UARTS = {
    1: {"tx": 25, "rx": 26},
    2: {"tx": 17, "rx": 16},
}
RS485_ENABLE = {1: 27, 2: 4}
CONTACTS = {0: 32, 1: 33}
CONSOLE_BUTTON = 0  # BOOT; only after the start: held at power-on it means the chip's loader
