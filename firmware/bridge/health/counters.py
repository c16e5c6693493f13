"""Counts of what went wrong, for people: damage, restarts, refusals. They only ever grow."""

from micropython import const

_ERROR_MAX = const(96)


class Counters:
    """Named counts since boot."""

    def __init__(self):
        self.values = {}
        self.last_error = ""

    def add(self, name, count=1):
        self.values[name] = self.values.get(name, 0) + count

    def note(self, error):
        """Keep what went wrong last, in a few words."""
        self.last_error = error[:_ERROR_MAX]

    def add_restart(self, name, error):
        """Count the restart of a task and keep what stopped it."""
        self.add("restart_" + name)
        self.note("%s: %s: %s" % (name, type(error).__name__, error))
