"""What the rig tells a virtual board, read once: the firmware never sees this file.

{"uarts": {"1": "/dev/pts/5"}, "flash": {"path": "...", "size": n,
 "partitions": {"journal": [offset, size]}}, "switches": "<folder>",
 "ticks_start_ms": n, "reset_cause": "power-on", "path": ["<firmware>", "<board>"]}
"""

import json
import os

with open(os.getenv("VITALKEEP_BOARD")) as _file:
    settings = json.load(_file)


def read_switch(name):
    """Return what the rig has written into one of its switches, "" when there is none."""
    try:
        with open(settings["switches"] + "/" + name) as file:
            return file.read()
    except OSError:
        return ""


def take_switch(name):
    """Return what the rig has written into a switch that works once, and put it back."""
    text = read_switch(name)
    if text:
        os.remove(settings["switches"] + "/" + name)
    return text


def tell(name, text):
    """Leave word for the rig."""
    with open(settings["switches"] + "/said-" + name, "w") as file:
        file.write(text)
