"""Checks of a configuration: each returns the value, or raises ConfigError saying where."""

# `where` names the place for the person who wrote it, such as "modbus_rtu: unit 17 block 0"

from bridge.core.errors import ConfigError


def only(options, names, where):
    """Refuse a field that nobody reads: it is a slip of the pen."""
    if not isinstance(options, dict):
        raise ConfigError("%s: %r, want an object" % (where, options))
    for name in options:
        if name not in names:
            raise ConfigError("%s: %s: no such field" % (where, name))


def number(options, name, low, high, where, default=None):
    """Return an integer from low to high."""
    value = options.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError("%s: %s is %r, want %d to %d" % (where, name, value, low, high))
    return value


def flag(options, name, default, where):
    """Return True or False."""
    value = options.get(name, default)
    if not isinstance(value, bool):
        raise ConfigError("%s: %s is %r, want true or false" % (where, name, value))
    return value


def text(options, name, size_max, where, default=None):
    """Return a string of 1 to size_max printable ASCII characters."""
    value = options.get(name, default)
    if (
        not isinstance(value, str)
        or not 1 <= len(value) <= size_max
        or any(not " " <= letter <= "~" for letter in value)
    ):
        raise ConfigError("%s: %s is %r, want 1 to %d letters" % (where, name, value, size_max))
    return value


def items(options, name, size_max, where, default=None):
    """Return a list of 1 to size_max entries."""
    value = options.get(name, default)
    if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= size_max:
        raise ConfigError("%s: %s: want a list of 1 to %d" % (where, name, size_max))
    return value


def choice(options, name, allowed, default, where):
    """Return the index of a word in `allowed`."""
    value = options.get(name, default)
    if value not in allowed:
        raise ConfigError(
            "%s: %s is %r, want one of %s" % (where, name, value, ", ".join(allowed))
        )
    return allowed.index(value)
