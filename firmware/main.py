"""Entry of the gateway: configuration, App, run."""

import asyncio
import json

import wiring

from bridge.app import App
from bridge.core.config import Config

with open("config.json") as file:
    config = Config(json.load(file))
app = App(config, wiring)
try:
    asyncio.run(app.run())
finally:
    app.end()
