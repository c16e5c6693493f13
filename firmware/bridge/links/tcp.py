"""A device that is a server on the bedside network, as if it were on a UART.

Nothing here waits: the connection is begun and looked at again in the line's next turns.
"""

import errno
import socket
import time

from micropython import const

_AGAIN_MS = const(3000)  # between two attempts
_NOT_YET = (errno.EAGAIN, errno.EINPROGRESS, errno.EALREADY, 107, 119, 128)  # ENOTCONN by port


class TcpPort:
    """What UartLine needs of a UART.

    address  "host:port" with a numeric host, so that no name is looked up
    Raises   ValueError for another shape
    """

    def __init__(self, address):
        host, _, port = address.partition(":")
        self._address = socket.getaddrinfo(host, int(port))[0][-1]
        self._socket = None
        self._since_ms = time.ticks_add(time.ticks_ms(), -_AGAIN_MS)
        self._is_heard = False

    def readinto(self, buffer):
        """Return the number of bytes put into `buffer`, None when nothing has come."""
        now_ms = time.ticks_ms()
        age_ms = time.ticks_diff(now_ms, self._since_ms)
        if self._socket is None:
            if age_ms >= _AGAIN_MS:
                self._since_ms = now_ms
                self._connect()
            return None
        try:
            count = self._socket.readinto(buffer)
        except OSError as error:
            if error.errno not in _NOT_YET or (not self._is_heard and age_ms >= _AGAIN_MS):
                self._close()
            return None
        if count == 0:
            self._close()  # the device has hung up
        elif count:
            self._is_heard = True
        return count or None

    def write(self, data):
        """Send what the connection takes now; the rest is lost, as on a wire without a reader."""
        if self._socket is None:
            return 0
        try:
            return self._socket.write(data) or 0
        except OSError as error:
            if error.errno not in _NOT_YET:
                self._close()
            return 0

    def _connect(self):
        self._is_heard = False
        self._socket = socket.socket()
        self._socket.setblocking(False)
        try:
            self._socket.connect(self._address)
        except OSError as error:
            if error.errno not in _NOT_YET:
                self._close()

    def _close(self):
        self._socket.close()
        self._socket = None
