"""A new configuration on trial: kept once a site receipts under it, else the old one comes back.

    config.json   what holds
    config.new    what was sent, before it is taken
    config.old    what held before, as long as the trial goes on
    config.tries  how often the board has started in this trial

Whatever is cut, the next boot finds one whole configuration. Each name changes by one rename.
"""

import os

from micropython import const

NOW = "config.json"
NEW = "config.new"
OLD = "config.old"
_TRIES = "config.tries"
_TRIES_MAX = const(2)  # a board that starts a third time did not come back


def exists(name):
    try:
        os.stat(name)
        return True
    except OSError:
        return False


def start():
    """Finish or undo what was begun; call it before `config.json` is read.

    Returns True while a new configuration is on trial.
    """
    if not exists(OLD):
        return False
    if not exists(NOW):
        os.rename(OLD, NOW)  # the power went between the two renames of `switch`
        return False
    tries = _tries() + 1
    if tries > _TRIES_MAX:
        go_back()
        return False
    try:
        with open(_TRIES, "w") as file:
            file.write(str(tries))
    except OSError:
        # Starts that cannot be counted are none: it would try for ever.
        go_back()
        return False
    return True


def switch():
    """Put `config.new` in the place of what holds. The board starts anew after it.

    One that is still on trial is given up for it: the way back leads to what was proved.
    """
    _forget(_TRIES)
    if not exists(OLD):
        os.rename(NOW, OLD)
    os.rename(NEW, NOW)


def keep():
    """End the trial: the new configuration is the one that holds."""
    os.remove(OLD)
    _forget(_TRIES)


def go_back():
    """End the trial: the old configuration holds again."""
    if exists(OLD):
        os.remove(NOW)
        os.rename(OLD, NOW)
    _forget(_TRIES)


def _tries():
    try:
        with open(_TRIES) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def _forget(name):
    try:
        os.remove(name)
    except OSError:
        pass  # it was not there
