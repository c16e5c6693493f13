"""What the rig tells a virtual board, read once: the firmware never sees this file.

{"uarts": {"1": <open descriptor of a pseudo-terminal>},
 "flash": {"path": "...", "size": n, "program_unit": 1, "partitions": {"journal": [offset, size]}},
 "switches": "<folder>", "ticks_start_ms": n, "reset_cause": "power-on", "unique_id": "<hex>",
 "port": "esp32" or "rp2", "name_server": "<address>", "path": ["<firmware>", "<board>"],
 "host": where this computer's files are, once the board has its own at "/",
 "epoch_s": <what time.time() counts from>, "power_on_s": <what the clock shows then>,
 "radio": {"port": n, "name": "..."} where there is an air,
 "stalls": {"handshake_ms": [n, ...], "collect_ms": n, "collect_each_ms": n}}

A switch is a small file that the rig writes and the board looks at: `link-lan` and its like hold
what `network` describes, `paths` what `socket` does, `pin-9` what is on a pin, `power` holds
"cut <operations> <seed>".
What the board has to say is in files said-<name>.
"""

import json
import os

with open(os.getenv("VITALKEEP_BOARD")) as _file:
    settings = json.load(_file)

pins = {}  # pin number to a function that is told each level which the firmware gives it

_switches = settings["switches"] + "/"


def read_switch(name):
    """Return what the rig has written into one of its switches, "" when there is nothing."""
    try:
        with open(_switches + name) as file:
            return file.read()
    except OSError:
        return ""


def take_switch(name):
    """Return what the rig has written into a switch that works once, and put it back."""
    text = read_switch(name)
    if text:
        os.remove(_switches + name)
    return text


def tell(name, text):
    """Leave word for the rig."""
    # Whole at once: the rig looks at any moment.
    with open(_switches + name + ".new", "w") as file:
        file.write(text)
    os.rename(_switches + name + ".new", _switches + "said-" + name)
