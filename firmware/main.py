"""Entry of the gateway: configuration, App, run."""

import asyncio
import gc
import json
import sys

import machine
import wiring

from bridge.app import App
from bridge.core.config import Config
from bridge.health import trial

# Collecting early keeps what is alive together, so that large pieces stay free; on ESP32 it also
# keeps the heap from growing into what TLS needs.
gc.threshold(16384)

on_trial = trial.start()
try:
    with open(trial.NOW) as file:
        config = Config(json.load(file))
    app = App(config, wiring, on_trial)
except Exception as error:
    if not on_trial:
        raise
    sys.print_exception(error)
    trial.go_back()
    machine.reset()
try:
    asyncio.run(app.run())
finally:
    app.end()
