"""The board: as an RP2040's, whose heap holds what other ports keep elsewhere; a third UART."""

from hil.bench.on_micropython.whole import world

LINKS = ({"kind": "lan"},)
JOURNAL = {"medium": "rp2", "start": 0x4000, "size": 4096 * world.order["sectors"]}
KEYS = {"medium": "rp2", "start": 0, "size": 0x4000}
UARTS = {number: {"tx": 4 * number, "rx": 4 * number + 1} for number in range(3)}
RS485_ENABLE = {2: 10}
TLS_ROOM = world.order["tls_room"] or 0
