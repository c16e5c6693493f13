"""Entry: has the loader choose the firmware, and starts the gateway in it."""

import micropython

# Before anything else: from here on Ctrl-C is a character, and the prompt is closed. A gateway
# that cannot start ends this program, which leaves the prompt open for whoever comes to repair it.
micropython.kbd_intr(-1)

import asyncio
import gc
import sys

import machine

import loader

# Collecting early keeps what is alive together, so that large pieces stay free; on ESP32 it also
# keeps the heap from growing into what TLS needs.
gc.threshold(16384)


def run():
    try:
        loader.enter()
        from bridge.start import make_app

        app = make_app(loader)
    except Exception as error:
        if not loader.failed(error):
            raise
        sys.print_exception(error)
        machine.reset()
    try:
        asyncio.run(app.run())
    finally:
        app.end()


if loader.start():
    run()
