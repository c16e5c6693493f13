"""HMAC-SHA256 from `hashlib` alone: boards have no `hmac` module."""

import hashlib

try:
    from hmac import digest as _digest  # hosts have it in C
except ImportError:
    _digest = None

_BLOCK = 64


class Hmac:
    """HMAC-SHA256 of the parts given one after another (RFC 2104).

    key  bytes-like, at most 64 bytes: all our keys have 32
    """

    def __init__(self, key):
        inner = bytearray(_BLOCK)
        outer = bytearray(_BLOCK)
        for index in range(_BLOCK):
            byte = key[index] if index < len(key) else 0
            inner[index] = byte ^ 0x36
            outer[index] = byte ^ 0x5C
        self._hash = hashlib.sha256(inner)
        self._outer = outer

    def update(self, part):
        self._hash.update(part)

    def digest(self):
        """Return the 32 bytes; the object is spent then, as MicroPython's hashes are."""
        outer = hashlib.sha256(self._outer)
        outer.update(self._hash.digest())
        return outer.digest()


def hmac_sha256(key, *parts):
    """Return the 32-byte HMAC-SHA256 of the joined parts."""
    if _digest:
        return _digest(key, b"".join(parts), "sha256")
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
