"""Heap that is kept for TLS sessions on ports whose mbedTLS takes it from Python's heap (RP2).

A session needs one piece of 16.4 KB and some 9 KB more. After weeks of work no hole may be that
large, and a gateway that then loses its session would never get another. So the room for each
session is taken at boot, before anything else, given up in the moment that mbedTLS asks for it,
and taken back when the session is over.
"""

import gc

from micropython import const

_PIECE = const(16896)  # bytes: the receive buffer with what the ports put around it
_STEP = const(1024)


class TlsRoom:
    """Room for `count` sessions of `size` bytes each; a size of 0 keeps none.

    missing  how often a block could not be taken back when a session was over
    """

    def __init__(self, size, count):
        self.missing = 0
        self._size = size
        self._kept = []
        self._wanted = count
        self.keep()

    def around(self, context):
        """Return what wraps sockets as the tls.SSLContext `context` does, in the room kept."""
        return _Secured(self, context)

    def keep(self):
        """Take all blocks that no session has; those that do not fit are tried again next time."""
        if self._size and len(self._kept) < self._wanted:
            gc.collect()
            while len(self._kept) < self._wanted:
                block = self._take()
                if block is None:
                    self.missing += 1
                    return
                self._kept.append(block)

    def _take(self):
        # Small things may have come to lie at the end of where a session was: a smaller block
        # there, as long as it holds the one large piece, is better than none.
        for size in range(self._size, _PIECE - _STEP, -_STEP):
            try:
                return bytearray(max(size, _PIECE))
            except MemoryError:
                pass
        return None

    def lend(self):
        self._wanted -= 1
        if self._kept:
            self._kept.pop()
            gc.collect()

    def back(self):
        self._wanted += 1
        self.keep()


class _Secured:
    def __init__(self, room, context):
        self._room = room
        self._context = context
        self._lent = False

    def wrap_socket(self, sock, **options):
        """As tls.SSLContext.wrap_socket; nothing else runs between lending and taking."""
        self._room.lend()
        self._lent = True
        return self._context.wrap_socket(sock, **options)

    def close(self):
        """Say that the session is over and its stream closed."""
        if self._lent:
            self._lent = False
            self._room.back()
