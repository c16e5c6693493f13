"""The built-in `socket`, with a network of its own behind each of the board's links.

An address is reached over a link through that link's own proxy on 127.0.0.1, where the rig has
laid such a path (the switch `paths`, hil/paths.py), or not at all; 127.0.0.1 is the rig itself.
A socket goes over the link it was bound to (SO_BINDTODEVICE, ESP32 port only), else over the
default route, which is wrong as often as on the ports.

A proxy answers a connection with one byte once the far end has taken it, so that connecting takes
the time of SYN and SYN-ACK. The port's own getaddrinfo finds no names here.
"""

import sys

_path = list(sys.path)
sys.path[:] = []
from socket import *  # noqa: E402, F403
from socket import getaddrinfo as _getaddrinfo  # noqa: E402
from socket import socket as _Socket  # noqa: E402

sys.path[:] = _path

import errno  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import select  # noqa: E402
import time  # noqa: E402

import vboard  # noqa: E402

_POLL = 3  # requests of MicroPython's stream protocol (py/stream.h)
_CLOSE = 4
_FILENO = 10
_POLL_HUP = 0x10
_POLL_ERR = 0x08

SOL_SOCKET = 1
if vboard.settings["port"] == "esp32":
    SO_BINDTODEVICE = 0x100B
_BIND = 0x100B
_UNREACHABLE = 113  # EHOSTUNREACH
_NO_DEVICE = 19  # ENODEV

_NEW, _CONNECTING, _CONNECTED, _REFUSED = 0, 1, 2, 3
_SWALLOWED = 4  # whatever is sent


def getaddrinfo(host, port, *more):
    """Return addresses given in numbers; for a name the port would stop for seconds."""
    for part in host.split("."):
        if not part.isdigit():
            raise OSError(-2)
    return [(AF_INET, SOCK_STREAM, 0, "", (host, port))]  # noqa: F405


def _real(host, port):
    return _getaddrinfo(host, port)[0][-1]


def _plain(address):
    """Return (host, port) of what a firmware may give as an address."""
    return address[0], int(address[1])


class socket(io.IOBase):
    """socket.socket over a link of the board."""

    def __init__(self, family=AF_INET, type=SOCK_STREAM, proto=0, _made=None):  # noqa: F405
        self._kind = "udp" if type == SOCK_DGRAM else "tcp"  # noqa: F405
        self._sock = _made or _Socket(family, type)
        self._state = _CONNECTED if _made else _NEW
        self._interface = None
        self._waits = True
        self._nic = None
        self._is_far = False  # behind a proxy
        self._asked = {}  # real port of a proxy to the address that was meant

    # --- choosing the way ---

    def setsockopt(self, level, option, value):
        if option != _BIND:
            self._sock.setsockopt(level, option, value)
        elif vboard.settings["port"] == "esp32":
            self._interface = value
        else:
            print("Warning: lwip.setsockopt() not implemented")

    def _way(self, address):
        """Return the real address to use, None where everything is swallowed."""
        import network

        host, port = _plain(address)
        if host == "127.0.0.1":
            return _real(host, port)  # the rig itself, which no link leads to
        paths = json.loads(vboard.read_switch("paths") or "{}")
        if self._interface is not None:
            self._nic = network.by_ifname(self._interface)
            if self._nic is None:
                raise OSError(_NO_DEVICE)
        else:
            self._nic = network.default()
        if self._nic is None or not self._nic.isconnected():
            raise OSError(_UNREACHABLE)
        self._is_far = True
        near = paths.get(self._nic.kind, {}).get("%s %s:%d" % (self._kind, host, port))
        if near is None:
            return None
        self._asked[near] = (host, port)
        return _real("127.0.0.1", near)

    # --- the socket's own words ---

    def connect(self, address):
        if self._state == _CONNECTED:
            raise OSError(errno.EISCONN)
        if self._state == _CONNECTING:
            raise OSError(errno.EALREADY)
        target = self._way(address)
        if self._kind == "udp":
            self._state = _CONNECTED if target else _SWALLOWED
            if target:
                self._sock.connect(target)
            return
        self._state = _CONNECTING
        if target is not None:
            self._sock.setblocking(False)
            try:
                self._sock.connect(target)
            except OSError as error:
                if error.errno != errno.EINPROGRESS:
                    raise
        else:
            self._state = _SWALLOWED
        if not self._waits:
            raise OSError(errno.EINPROGRESS)
        while not self._look():
            time.sleep_ms(1)
        self._sock.setblocking(True)

    def _look(self):
        """Say whether the far end has taken the connection; raises OSError when it has not."""
        if self._state == _REFUSED:
            raise OSError(errno.ECONNREFUSED)
        if self._state != _CONNECTING:
            return self._state != _SWALLOWED
        poll = select.poll()
        poll.register(self._sock, select.POLLIN if self._is_far else select.POLLOUT)
        for _, flags in poll.poll(0):
            self._state = _CONNECTED if self._is_taken(flags) else _REFUSED
            return self._look()
        return False

    def _is_taken(self, flags):
        if flags & (_POLL_HUP | _POLL_ERR):
            return False
        try:
            return not self._is_far or bool(self._sock.recv(1))
        except OSError:
            return False

    def readinto(self, buffer, size=None):
        if not self._look():
            return None
        return self._sock.readinto(buffer, len(buffer) if size is None else size)

    def read(self, size=-1):
        if not self._look():
            return None
        return self._sock.read() if size < 0 else self._sock.read(size)

    def recv(self, size):
        if not self._look():
            raise OSError(errno.EAGAIN)
        return self._sock.recv(size)

    def write(self, data):
        if self._state == _SWALLOWED and self._kind == "udp":
            return len(data)
        return self._sock.write(data) if self._look() else None

    def send(self, data):
        if self._state == _SWALLOWED and self._kind == "udp":
            return len(data)
        if not self._look():
            raise OSError(errno.EAGAIN)
        if self._kind == "udp" and self._nic is not None and not self._nic.isconnected():
            raise OSError(_UNREACHABLE)
        return self._sock.send(data)

    sendall = send

    def sendto(self, data, address):
        target = self._way(address)
        return len(data) if target is None else self._sock.sendto(data, target)

    def recvfrom(self, size):
        data, address = self._sock.recvfrom(size)
        host = "%d.%d.%d.%d" % tuple(address[4:8])
        port = address[2] << 8 | address[3]
        return data, self._asked.get(port, (host, port))

    def bind(self, address):
        self._sock.bind(_real(*_plain(address)))

    def listen(self, backlog=2):
        self._sock.listen(backlog)

    def accept(self):
        made, address = self._sock.accept()
        host = "%d.%d.%d.%d" % tuple(address[4:8])
        return socket(_made=made), (host, address[2] << 8 | address[3])

    def setblocking(self, waits):
        self._waits = bool(waits)
        self._sock.setblocking(waits)

    def settimeout(self, seconds):
        self._waits = seconds != 0
        self._sock.settimeout(seconds)

    def close(self):
        self._sock.close()

    def ioctl(self, request, argument):
        if request == _CLOSE:
            self._sock.close()
            return 0
        if request == _FILENO:
            # While it connects, the kernel knows less than this object does.
            is_simple = self._state == _NEW or self._state == _CONNECTED
            return self._sock.fileno() if is_simple else -errno.EINVAL
        if request != _POLL:
            return -errno.EINVAL
        try:
            if not self._look():
                return 0
        except OSError:
            return argument | _POLL_HUP
        poll = select.poll()
        poll.register(self._sock, argument)
        for _, flags in poll.poll(0):
            return flags
        return 0
