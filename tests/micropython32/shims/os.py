"""The built-in os with urandom, which this build of MicroPython lacks: the host's."""

# ruff: noqa: F403
import sys

_path = sys.path[:]
sys.path.clear()
from os import *  # noqa: E402

sys.path.extend(_path)

from binascii import unhexlify  # noqa: E402

import hostcrypto  # noqa: E402


def urandom(size):
    return unhexlify(hostcrypto.random(size))
