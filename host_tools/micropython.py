"""What MicroPython's own `micropython` module offers, for CPython.

The firmware's core is one source for the board, the hub and the rig; this lets the latter two
import it. On a board the built-in module is used and this file is not there.
"""


def const(value):
    return value


def heap_lock():
    """CPython cannot forbid allocation: the tests that prove it run on MicroPython."""


def heap_unlock():
    return 0
