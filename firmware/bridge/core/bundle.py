"""A bundle: the whole firmware of one kind of board in one file; the host tools import this file.

The drawing is docs/formats/bundle.md. The board's loader knows the head and the index as well, in
its own words: it stays as it was flashed, whatever becomes of this file.
"""

import json
import struct
from binascii import crc32

from micropython import const

from bridge.core.errors import BridgeError, FormatError

MAGIC = b"VKB1"
HEAD = "<4sIHH"  # magic, size of the whole file, of the manifest, entries of the index
HEAD_SIZE = const(12)
ENTRY = "<II"  # CRC-32 of the path, where the file begins; 0 for a folder
ENTRY_SIZE = const(8)
DIGEST_SIZE = const(32)
SIGNATURE_SIZE = const(64)
TAIL_SIZE = const(96)
BUNDLE_MAX = const(512 * 1024)
MANIFEST_MAX = const(2048)

# Why a bundle is refused, in the order in which it is looked at: each is counted by its name
REFUSALS = ("truncated", "damaged", "unsigned", "board", "mpy", "image", "config", "older")


class Refused(BridgeError):
    """A bundle that this gateway does not take.

    cause  one of REFUSALS
    """

    def __init__(self, cause, text):
        super().__init__("%s: %s" % (cause, text))
        self.cause = cause


class Manifest:
    """What a bundle is for.

    version  of the firmware, as in "0.2.0"
    board    the kind, a folder of boards/
    mpy      sys.implementation._mpy of the MicroPython that it was compiled for
    config   the oldest version of the configuration that this firmware reads
    base     of a patch: the version that the image must have of its own, "" for a whole firmware
    patch    names of its modules, in the order in which they are loaded
    """

    def __init__(self, version, board, mpy, config, base="", patch=()):
        self.version = version
        self.board = board
        self.mpy = mpy
        self.config = config
        self.base = base
        self.patch = patch

    def pack(self):
        fields = {
            "version": self.version,
            "board": self.board,
            "mpy": self.mpy,
            "config": self.config,
        }
        if self.base:
            fields["base"] = self.base
            fields["patch"] = self.patch
        return json.dumps(fields).encode()

    def check(self, running, older=False):
        """Raise Refused unless a gateway with the Manifest `running` may take this one.

        running  its `config` is the version of the configuration that it has, its `base` that of
                 the image's own firmware
        older    whether an older version was ordered
        """
        if self.board != running.board:
            raise Refused("board", "for %s, this is %s" % (self.board, running.board))
        if self.mpy != running.mpy:
            raise Refused("mpy", "for MicroPython %#x, want %#x" % (self.mpy, running.mpy))
        if self.base and self.base != running.base:
            text = "for an image with firmware %s, this one has %s"
            raise Refused("image", text % (self.base, running.base or "none"))
        if self.config > running.config:
            text = "wants a configuration of version %d, this one has %d"
            raise Refused("config", text % (self.config, running.config))
        if not older and parse_version(self.version) < parse_version(running.version):
            raise Refused("older", "%s, and %s runs" % (self.version, running.version))


def parse_manifest(data):
    """Return the Manifest in its bytes; raises FormatError."""
    try:
        fields = json.loads(data)
        found = [fields[name] for name in ("version", "board", "mpy", "config")]
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        # Of these the last is Python's for what nests too deep.
        raise FormatError("bundle: no manifest", error)
    if [type(value) for value in found] != [str, str, int, int]:
        raise FormatError("bundle: no manifest: want two texts and two numbers")
    parse_version(found[0])
    base, patch = fields.get("base", ""), fields.get("patch", ())
    names = patch if isinstance(patch, (list, tuple)) else (None,)
    if not all(isinstance(text, str) for text in (base,) + tuple(names)):
        raise FormatError("bundle: no manifest: want texts in base and patch")
    return Manifest(*found, base=base, patch=patch)


def parse_version(text):
    """Return a version's numbers, which compare; raises FormatError."""
    try:
        return tuple([int(part) for part in text.split(".")])
    except ValueError:
        raise FormatError("bundle: version %r, want numbers and dots" % text)


def parse_head(data):
    """Return (size, manifest size, entries); raises FormatError."""
    if len(data) < HEAD_SIZE:
        raise FormatError("bundle: %d bytes" % len(data))
    magic, size, manifest, entries = struct.unpack_from(HEAD, data, 0)
    least = HEAD_SIZE + manifest + entries * ENTRY_SIZE + TAIL_SIZE
    if magic != MAGIC or manifest > MANIFEST_MAX or not least <= size <= BUNDLE_MAX:
        raise FormatError("bundle: head %r" % bytes(data[:HEAD_SIZE]))
    return size, manifest, entries


def path_key(path):
    """Return what stands for a path in the index, as in "/bridge/core/mqtt.mpy"."""
    return crc32(path.encode())
