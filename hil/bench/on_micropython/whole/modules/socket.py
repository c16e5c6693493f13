"""`socket` whose far ends are functions of the world: bytes in, bytes out, no network."""

import errno
import io

from hil.bench.on_micropython.whole import world

AF_INET = 2
SOCK_STREAM = 1
SOCK_DGRAM = 2
SOL_SOCKET = 1
SO_REUSEADDR = 4
SO_BINDTODEVICE = 25
IPPROTO_TCP = 6
TCP_NODELAY = 1

_POLL = 3  # requests of MicroPython's stream protocol (py/stream.h)
_POLL_WRITE = 4


def getaddrinfo(host, port, *hints):
    return [(AF_INET, SOCK_STREAM, 0, "", (host, port))]


class socket(io.IOBase):
    def __init__(self, family=AF_INET, kind=SOCK_STREAM, protocol=0):
        self._kind = kind
        self._far = None
        self.waiting = None  # asyncio.Event of who waits for bytes

    def setblocking(self, on):
        pass

    def settimeout(self, seconds):
        pass

    def setsockopt(self, level, option, value):
        pass

    def bind(self, address):
        pass

    def connect(self, address):
        if self._kind == SOCK_STREAM:
            open_far = world.hosts.get(address)
            if open_far is None or not world.cable:
                raise OSError(errno.ECONNREFUSED)
            self._far = open_far(self)

    def readinto(self, buffer, size=0):
        """Return the number of bytes, None for none yet, 0 at the end."""
        return self._far.readinto(buffer) if self._far else None

    def write(self, data):
        if self._far is None:
            raise OSError(errno.ENOTCONN)
        return self._far.take(data)

    send = write

    def sendto(self, data, address):
        return len(data)

    def recvfrom_into(self, buffer, size=0):
        raise OSError(errno.EAGAIN)

    def ioctl(self, request, argument):
        """Say to a poll that it may write; readers of a stream wait by themselves."""
        return argument & _POLL_WRITE if request == _POLL else 0

    def close(self):
        far, self._far = self._far, None
        if far is not None:
            far.closed = True
