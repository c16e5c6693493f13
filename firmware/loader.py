"""Chooses which firmware runs: a bundle that is whole, or what the image itself has.

    bundles/a, b    the two bundles (docs/formats/bundle.md)
    bundles/state   which of them holds; replaced by one rename, so no cut leaves half of a change
    bundles/offer   what the slot that does not hold is being filled with, for the firmware
    bundles/wait    has the next start end at the prompt: somebody works on the files, and a
                    watchdog must not bite

A new bundle is on trial: it holds once the firmware in it says `keep`. When that cannot start, or
the board starts a third time within the trial, the one before comes back.

This file stays on the board as it was flashed, whichever bundles come and go. It imports nothing
of theirs, and what they call here keeps its meaning for ever.

A patch is a bundle with a few modules for an image that has the others, where the heap has no room
for all of them. It says for which version of the image's own firmware it is.
"""

import hashlib
import json
import os
import struct
import sys
from binascii import crc32

import vfs
from micropython import const

FOLDER = "bundles"
OFFER = FOLDER + "/offer"
_STATE = FOLDER + "/state"
_WAIT = FOLDER + "/wait"
_MOUNT = "/app"
_TRIES_MAX = const(2)  # a board that starts a third time did not come back
_WATCHDOG_MS = const(8300)  # for what hangs while it is imported; an RP2040 knows no longer

# docs/formats/bundle.md, as bridge.core.bundle
_HEAD = "<4sIHH"
_HEAD_SIZE = const(12)
_MAGIC = b"VKB1"
_ENTRY_SIZE = const(8)
_DIGEST_SIZE = const(32)
_SIGNATURE_SIZE = const(64)

image = ""  # version of the firmware that the image itself has, "" for none; set by `start`
_patch = ()  # what `enter` has to load
_unwritten = None  # the State after a way back that the flash did not take

_FOLDER_STAT = (0x4000,) + (0,) * 9
_FILE_STAT = (0x8000,) + (0,) * 9


class State:
    """What holds.

    now      "a", "b", or "" for what the image itself has
    before   what comes back when `now` does not start; "" as above
    tries    how often the board has started in this trial, -1 when there is none
    receipt  whether a site must receipt before the trial is over
    live     the devices that spoke before it: bit n for number n
    note     what the firmware has to tell the log
    """

    def __init__(self, now="", before="", tries=-1, receipt=False, live=0, note=""):
        self.now = now
        self.before = before
        self.tries = tries
        self.receipt = receipt
        self.live = live
        self.note = note

    @property
    def on_trial(self):
        return self.tries >= 0

    @property
    def spare(self):
        """The slot for the next bundle."""
        return "b" if self.now == "a" else "a"


def path(slot):
    return FOLDER + "/" + slot


def read():
    """Return the State."""
    if _unwritten is not None:
        return _unwritten
    try:
        with open(_STATE) as file:
            return State(**json.load(file))
    except OSError:
        return State()
    except (ValueError, TypeError):
        # No cut leaves that. Each slot is looked at before it is used.
        return State("a", "b", note="state: unreadable")


def write(state):
    """Replace the State; returns False where the flash takes nothing more. Raises nothing."""
    fresh = _STATE + ".new"
    try:
        with open(fresh, "w") as file:
            json.dump(state.__dict__, file)
        os.rename(fresh, _STATE)
    except OSError:
        return False
    global _unwritten
    _unwritten = None
    return True


def start():
    """Mount what shall run, as this boot of a trial; before anything of it is imported.

    Returns False when nothing shall run this time.
    """
    global _unwritten
    _unwritten = None
    try:
        os.remove(_WAIT)
        return False
    except OSError:
        pass  # nobody waits
    _look_at_image()
    state = read()
    if state.on_trial:
        state.tries += 1
        if state.tries > _TRIES_MAX:
            go_back(state, "did not come back")
        elif not write(state):
            go_back(state, "its starts cannot be counted")
    while state.now:
        try:
            mount(state.now)
            break
        except Exception as error:  # memory, for one: there is nobody else to catch it
            go_back(state, str(error))
    if state.on_trial:
        import machine

        machine.WDT(timeout=_WATCHDOG_MS)
    return True


def enter():
    """Put the modules of a patch in the place of the image's own, before others are imported."""
    for number, name in enumerate(_patch):
        package, _, leaf = name.rpartition(".")
        if package:
            __import__(package)
        alias = "p%d" % number
        module = __import__(alias)
        del sys.modules[alias]
        module.__patch__ = True  # for who gives modules up (bridge.forget)
        if leaf == "__init__":
            module.__path__ = sys.modules[package].__path__
            name = package
            package, _, leaf = name.rpartition(".")
        sys.modules[name] = module
        if package:
            setattr(sys.modules[package], leaf, module)


def failed(error):
    """Hear why the firmware does not start; returns whether another one will after a reset."""
    state = read()
    if not state.on_trial:
        return False
    go_back(state, "%s: %s" % (type(error).__name__, error))
    return True


def switch(receipt, live):
    """Put the bundle in the spare slot on trial, for the next start; returns whether it is."""
    state = read()
    return write(State(state.spare, state.now, 0, receipt, live))


def keep():
    """End the trial: what runs is what holds; returns whether it does."""
    state = read()
    state.tries = -1
    return write(state)


def go_back(state, why):
    """Have what was before hold again; it runs after a reset.

    Where that cannot be written down it holds until then, and each start comes to the same end.
    """
    global _unwritten
    state.note = "taken back: " + why
    state.now, state.before, state.tries = state.before, "", -1
    if not write(state):
        _unwritten = state


def take_note():
    """Return what the log has to be told, once it is asked; "" for nothing."""
    state = read()
    note, state.note = state.note, ""
    if note:
        write(state)
    return note


def is_busy():
    """Say whether the firmware has something to do: a trial, or a bundle that came."""
    try:
        os.stat(OFFER)
        return True
    except OSError:
        return read().on_trial


def clear_spare():
    """Make room for another bundle; from here on nothing falls back to the one that was there.

    Raises OSError where the flash takes nothing more
    """
    state = read()
    if state.before:
        state.before = ""
        if not write(state):
            raise OSError(28)  # ENOSPC
    for name in (OFFER, path(state.spare)):
        try:
            os.remove(name)
        except OSError:
            pass  # it was not there


def mount(slot):
    """Have what is imported come from a bundle first; the tools' scripts call this, too.

    Raises OSError or ValueError for one that is not whole or not for this MicroPython.
    """
    name = path(slot)
    with open(name, "rb") as file:
        head = file.read(_HEAD_SIZE)
        if len(head) < _HEAD_SIZE:
            raise ValueError("bundle %s: cut short" % slot)
        magic, size, manifest, entries = struct.unpack(_HEAD, head)
        if magic != _MAGIC or size != os.stat(name)[6]:
            raise ValueError("bundle %s: cut short" % slot)
        file.seek(0)
        digest = hashlib.sha256()
        left = size - _DIGEST_SIZE - _SIGNATURE_SIZE
        buffer = bytearray(1024)
        view = memoryview(buffer)
        while left > 0:
            count = file.readinto(view[: min(left, 1024)])
            if not count:
                raise ValueError("bundle %s: cut short" % slot)
            digest.update(view[:count])
            left -= count
        if digest.digest() != file.read(_DIGEST_SIZE):
            raise ValueError("bundle %s: damaged" % slot)
        file.seek(_HEAD_SIZE)
        about = json.loads(file.read(manifest))
        if about["mpy"] != sys.implementation._mpy:
            raise ValueError("bundle %s: for another MicroPython" % slot)
        if about.get("base", image) != image:
            raise ValueError("bundle %s: for another image" % slot)
        index = file.read(entries * _ENTRY_SIZE)
    global _patch
    _patch = about.get("patch", ())
    vfs.mount(_Files(name, index), _MOUNT, readonly=True)
    sys.path.insert(0, _MOUNT)


def _look_at_image():
    """Find out which firmware is there without any bundle."""
    global image
    try:
        image = __import__("bridge.release", None, None, ("VERSION",)).VERSION
    except ImportError:
        pass  # all there is comes in bundles
    # Forgotten also when it failed: a folder that was left of files is a package to the importer.
    for name in ("bridge.release", "bridge"):
        sys.modules.pop(name, None)


class _Files:
    """The modules in a bundle, as MicroPython's importer asks for them."""

    def __init__(self, name, index):
        self._name = name
        self._index = index

    def mount(self, readonly, mkfs):
        pass

    def umount(self):
        pass

    def stat(self, path):
        return _FILE_STAT if self._find(path) else _FOLDER_STAT

    def open(self, path, mode):
        # A file of the board's own, at the place of the module: .mpy files know their end.
        place = self._find(path)
        if not place:
            raise OSError(21)  # EISDIR
        file = open(self._name, "rb")  # noqa: SIM115  the importer closes it
        file.seek(place)
        return file

    def _find(self, path):
        """Return where a file begins, 0 for a folder; raises OSError."""
        wanted = struct.pack("<I", crc32(path.encode()))
        at = self._index.find(wanted)
        while at >= 0 and at % _ENTRY_SIZE:
            at = self._index.find(wanted, at + 1)
        if at < 0:
            raise OSError(2)  # ENOENT
        return struct.unpack_from("<I", self._index, at + 4)[0]
