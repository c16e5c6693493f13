"""HMAC-SHA256 from `hashlib` alone: boards have no `hmac` module."""

import hashlib

_BLOCK = 64
_INNER = int.from_bytes(b"\x36" * _BLOCK, "little")
_OUTER = int.from_bytes(b"\x5c" * _BLOCK, "little")


class Hmac:
    """HMAC-SHA256 of the parts given one after another (RFC 2104).

    key  bytes-like, at most 64 bytes: all our keys have 32
    """

    def __init__(self, key):
        # As one long number: byte by byte it takes as long as all the rest of a short message.
        number = int.from_bytes(key, "little")
        self._hash = hashlib.sha256((number ^ _INNER).to_bytes(_BLOCK, "little"))
        self._outer = (number ^ _OUTER).to_bytes(_BLOCK, "little")

    def update(self, part):
        self._hash.update(part)

    def digest(self):
        """Return the 32 bytes; the object is spent then, as MicroPython's hashes are."""
        outer = hashlib.sha256(self._outer)
        outer.update(self._hash.digest())
        return outer.digest()


def hmac_sha256(key, *parts):
    """Return the 32-byte HMAC-SHA256 of the joined parts."""
    mac = Hmac(key)
    for part in parts:
        mac.update(part)
    return mac.digest()


def same(a, b):
    """Compare two byte strings in a time that depends on their length alone."""
    if len(a) != len(b):
        return False
    difference = 0
    for index in range(len(a)):
        difference |= a[index] ^ b[index]
    return difference == 0
