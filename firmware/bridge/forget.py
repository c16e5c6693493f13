"""Modules that are rarely needed, given up again: code from .mpy files lies in the heap."""

import sys


def forget(name):
    """Give up the module `bridge.<name>`; the next import loads it again.

    One that a patch put there stays: the next import would load the image's own.
    """
    full = "bridge." + name
    package, _, leaf = full.rpartition(".")
    if full in sys.modules and not getattr(sys.modules[full], "__patch__", False):
        del sys.modules[full]
        if hasattr(sys.modules[package], leaf):
            delattr(sys.modules[package], leaf)
