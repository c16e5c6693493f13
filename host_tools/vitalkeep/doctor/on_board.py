"""Runs on a board: listens to one of its UARTs at one setting, and prints what it heard.

ORDER is put before it: {"uart", "pins", "baud", "bits", "parity", "stop", "inverted", "ms"}.
"""

import time

import machine

_PIECE = 256


def listen(order):
    """Print "idle LEVEL", then "piece MS HEX" for what comes, and "done"."""
    pins = {name: pin for name, pin in order["pins"].items() if name in ("tx", "rx")}
    level = 0
    if "rx" in pins:
        pin = machine.Pin(pins["rx"], machine.Pin.IN)
        for _ in range(200):
            level += pin.value()
            time.sleep_us(500)
        print("idle", 1 if level >= 100 else 0)
    options = {"invert": machine.UART.INV_RX} if order["inverted"] else {}
    uart = machine.UART(
        order["uart"],
        baudrate=order["baud"],
        bits=order["bits"],
        parity={"N": None, "E": 0, "O": 1}[order["parity"]],
        stop=order["stop"],
        rxbuf=8192,
        timeout=0,
        timeout_char=0,
        **pins,
        **options,
    )
    buffer = bytearray(_PIECE)
    start_ms = time.ticks_ms()
    now_ms = 0
    while now_ms < order["ms"]:
        count = uart.readinto(buffer)
        now_ms = time.ticks_diff(time.ticks_ms(), start_ms)
        if count:
            print("piece", now_ms, buffer[:count].hex())
        else:
            time.sleep_ms(5)
    print("done")


listen(ORDER)  # noqa: F821
