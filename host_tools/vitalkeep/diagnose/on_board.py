"""Runs at a board's prompt, where no gateway runs: says why it may not. Prints one literal."""

import gc
import json
import os
import sys

import machine


def _from(module, name):
    return getattr(__import__(module, None, None, (name,)), name)


def _tried(job):
    """Return ("", what a job returns) or (its error in words, None)."""
    try:
        return "", job()
    except Exception as error:
        return type(error).__name__ + ": " + str(error), None


def _config():
    with open("config.json") as file:
        data = json.load(file)
    _from("bridge.core.config", "Config")(data)
    return data["bed"]


def _keys():
    medium = _from("bridge.storage.medium", "open_medium")(_from("wiring", "KEYS"))
    ring = _from("bridge.core.journal.keyring", "KeyRing")(medium)
    ring.recover()
    return ring.identity.gateway.hex()


def _release():
    return _from("bridge.release", "VERSION")


def _wiring():
    return _from("wiring", "BOARD")


def _main():
    return os.stat("main.py")[6]


def _app():
    return _from("bridge.app", "VERSION")


def _space():
    row = os.statvfs("/")
    return row[0] * row[2], row[0] * row[3]


_causes = {}
for _name in ("PWRON_RESET", "HARD_RESET", "WDT_RESET", "DEEPSLEEP_RESET", "SOFT_RESET"):
    if hasattr(machine, _name):
        _causes[getattr(machine, _name)] = _name
gc.collect()
_said = {
    "micropython": sys.version,
    "platform": sys.platform,
    "cause": _causes.get(machine.reset_cause(), "?"),
    "unique_id": machine.unique_id().hex(),
    "heap": {"used": gc.mem_alloc(), "free": gc.mem_free()},
    "files": _tried(_space)[1],
}
for _name, _job in (
    ("release", _release),
    ("wiring", _wiring),
    ("main", _main),
    ("config", _config),
    ("keys", _keys),
    ("app", _app),
):
    _said[_name] = _tried(_job)
print(_said)
