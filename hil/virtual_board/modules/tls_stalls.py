"""The built-in `tls`, whose handshakes take their time: what boot.py puts in its place.

A board computes for hundreds of milliseconds in a handshake, in a few steps, each begun by records
of the peer's; nothing else runs meanwhile. Here the computer is done in no time, so each record
of a handshake is followed by one of the rig's steps, and its last flight by all that are left.
"""

import io
import select

import uart
import vboard
from tls import *  # noqa: F403
from tls import SSLContext as _Context

_STEPS_MS = vboard.settings["stalls"]["handshake_ms"]
_POLL = 3  # requests of MicroPython's stream protocol (py/stream.h)
_CLOSE = 4
_CHANGE_CIPHER_SPEC = 20  # record types (RFC 5246, 6.2.1); what follows the first is encrypted
_HANDSHAKE = 22


class _Watched(io.IOBase):
    """The socket under mbedTLS, and how far a handshake has come by its records."""

    def __init__(self, sock):
        self._sock = sock
        self._poll = select.poll()
        self._poll.register(sock, 0)
        self._left_ms = list(_STEPS_MS)
        self._head = bytearray()
        self._body = 0  # bytes of a record still to come

    def readinto(self, buffer):
        count = self._sock.readinto(buffer)
        if count and self._left_ms:
            self._follow(memoryview(buffer)[:count])
        return count

    def _follow(self, data):
        at = 0
        while at < len(data):
            if self._body:
                count = min(self._body, len(data) - at)
                self._body -= count
                at += count
                if not self._body:
                    self._compute(self._head[0])
                    self._head = bytearray()
            else:
                self._head.append(data[at])
                at += 1
                if len(self._head) == 5:
                    self._body = self._head[3] << 8 | self._head[4]

    def _compute(self, kind):
        if kind == _HANDSHAKE and self._left_ms:
            uart.stand_still_ms(self._left_ms.pop(0))
        elif kind == _CHANGE_CIPHER_SPEC:
            uart.stand_still_ms(sum(self._left_ms))
            self._left_ms = []

    def write(self, data):
        return self._sock.write(data)

    def setblocking(self, value):
        self._sock.setblocking(value)

    def ioctl(self, operation, argument):
        if operation == _POLL:
            self._poll.modify(self._sock, argument)
            return sum(flags for _, flags in self._poll.ipoll(0))
        if operation == _CLOSE:
            self._sock.close()
            return 0
        return -22


class SSLContext:
    """tls.SSLContext"""

    def __init__(self, protocol):
        self._context = _Context(protocol)
        for name in ("get_ciphers", "set_ciphers", "load_cert_chain", "load_verify_locations"):
            setattr(self, name, getattr(self._context, name))

    @property
    def verify_mode(self):
        return self._context.verify_mode

    @verify_mode.setter
    def verify_mode(self, mode):
        self._context.verify_mode = mode

    @property
    def verify_callback(self):
        return self._context.verify_callback

    @verify_callback.setter
    def verify_callback(self, callback):
        self._context.verify_callback = callback

    def wrap_socket(self, sock, **options):
        return self._context.wrap_socket(_Watched(sock), **options)
