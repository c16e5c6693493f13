"""Counts of what went wrong, for people: damage, restarts, refusals. They only ever grow."""


class Counters:
    """Named counts since boot."""

    def __init__(self):
        self.values = {}
        self.last_error = ""

    def add(self, name, count=1):
        self.values[name] = self.values.get(name, 0) + count

    def add_restart(self, name, error):
        """Count the restart of a task and keep what stopped it."""
        self.add("restart_" + name)
        self.last_error = "%s: %s: %s" % (name, type(error).__name__, error)
