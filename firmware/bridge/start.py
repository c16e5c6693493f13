"""From a configuration on the board to the App; a new one on trial may go back here."""

import json
import sys

import machine
import wiring

from bridge.app import App
from bridge.core.config import Config
from bridge.health import trial


def make_app(loader):
    """Return the App.

    loader  the module that chose this firmware
    Raises  what stops the firmware from starting with a configuration that held before
    """
    on_trial = trial.start()
    try:
        with open(trial.NOW) as file:
            config = Config(json.load(file))
        return App(config, wiring, on_trial, loader)
    except Exception as error:
        if not on_trial:
            raise
        sys.print_exception(error)
        trial.go_back()
        machine.reset()
