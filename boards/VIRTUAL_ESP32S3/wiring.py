"""The virtual board: an ESP32-S3 (REPL on USB, so three UARTs are free) with wired Ethernet,
Wi-Fi, and a modem where UART 0 is not a line's.

A real S3 has no Ethernet MAC of its own: its cable is a W5500.
"""

BOARD = "VIRTUAL_ESP32S3"
LINKS = (
    {"kind": "lan", "bind": True},
    {"kind": "wifi", "bind": True},
    {"kind": "cellular", "bind": True, "uart": 0, "tx": 43, "rx": 44, "reset": 5},
)
RXBUF_MAX = 65535  # of a UART, bytes
JOURNAL = {"medium": "partition", "label": "journal"}
KEYS = {"medium": "partition", "label": "keys"}
UARTS = {
    0: {"tx": 43, "rx": 44},
    1: {"tx": 17, "rx": 18},
    2: {"tx": 15, "rx": 16},
}
RS485_ENABLE = {2: 21}
RADIO = {"spi": 2, "sck": 12, "mosi": 11, "miso": 13, "cs": 10, "reset": 14}
CONSOLE_BUTTON = 9
