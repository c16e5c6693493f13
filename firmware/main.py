"""Entry of the gateway: configuration, App, run."""

import asyncio
import gc
import json

import wiring

from bridge.app import App
from bridge.core.config import Config

# Collecting early keeps what is alive together, so that large pieces stay free; on ESP32 it also
# keeps the heap from growing into what TLS needs.
gc.threshold(16384)

with open("config.json") as file:
    config = Config(json.load(file))
app = App(config, wiring)
try:
    asyncio.run(app.run())
finally:
    app.end()
