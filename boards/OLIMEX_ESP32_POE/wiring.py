"""Olimex ESP32-POE and ESP32-POE-ISO (WROOM-32, 4 MB, no external RAM), by cable or Wi-Fi.

UART 0 is the console, on the USB plug. UART 1 is the one of the UEXT plug. The image for this
board drives the PHY's clock on pin 17. No pin is left that would keep an RS485 driver off while
the board starts: take a transceiver that switches by itself.
"""

BOARD = "OLIMEX_ESP32_POE"
FLASH = 4 * 1024 * 1024  # bytes, of the chip that holds the image
HEAP = 160 * 1024  # bytes, as far as it grows by itself; from others' reports
LINKS = (
    {"kind": "lan", "bind": True, "phy": "PHY_LAN8720", "mdc": 23, "mdio": 18, "power": 12},
    {"kind": "wifi", "bind": True},
)
RXBUF_MAX = 65535  # of a UART, bytes
JOURNAL = {"medium": "partition", "label": "journal"}
KEYS = {"medium": "partition", "label": "keys"}
UARTS = {
    1: {"tx": 4, "rx": 36},
    2: {"tx": 33, "rx": 32},
}
RS485_ENABLE = {}
CONTACTS = {0: 13, 1: 16}
CONSOLE_BUTTON = 34  # BUT1, which has a pull-up of its own
