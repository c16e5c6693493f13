"""Modules that are rarely needed, given up again: code from .mpy files lies in the heap."""

import sys


def forget(name):
    """Give up the module `bridge.<name>`; the next import loads it again."""
    full = "bridge." + name
    package, _, leaf = full.rpartition(".")
    if full in sys.modules:
        del sys.modules[full]
        if hasattr(sys.modules[package], leaf):
            delattr(sys.modules[package], leaf)
