"""A TCP connection over a link of our choice. Nothing here waits without an end, or leaks."""

import asyncio
import errno
import select
import socket
from asyncio import core

from micropython import const

_NOT_YET = (errno.EINPROGRESS, errno.EALREADY, errno.EAGAIN)

# Where the port has the option and not its name, as the unix port. Linux, lwIP and the BSDs agree.
_IPPROTO_TCP = const(6)
_TCP_NODELAY = const(1)


def _send_at_once(sock):
    """Have each packet leave at once: we write whole ones, and a live one must not wait for the
    acknowledgement of another (Nagle's algorithm)."""
    try:
        sock.setsockopt(
            getattr(socket, "IPPROTO_TCP", _IPPROTO_TCP),
            getattr(socket, "TCP_NODELAY", _TCP_NODELAY),
            1,
        )
    except OSError:
        pass  # this port cannot: packets leave a little later


async def dial(host, port, interface, timeout_ms):
    """Return a connected socket that does not block.

    host       an address in numbers: looking up a name would stop everything
    interface  name of the link (SO_BINDTODEVICE, the ESP32 port has it); None leaves the choice
               to the routes
    Raises     OSError, asyncio.TimeoutError
    """
    sock = socket.socket()
    connected = False
    try:
        sock.setblocking(False)
        _send_at_once(sock)
        if interface is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface)
        try:
            sock.connect(socket.getaddrinfo(host, port)[0][-1])
        except OSError as error:
            if error.errno not in _NOT_YET:
                raise
        await asyncio.wait_for_ms(_writable(sock), timeout_ms)
        _check(sock)
        connected = True
        return sock
    finally:
        if not connected:
            sock.close()


def open_stream(sock, context, server_name):
    """Return a stream over a connected socket; with a tls.SSLContext the first write shakes hands.

    Raises  OSError, ValueError, MemoryError; the socket is then closed
    """
    opened = False
    try:
        if context:
            sock_tls = context.wrap_socket(
                sock, server_hostname=server_name, do_handshake_on_connect=False
            )
            sock_tls.setblocking(False)
            stream = asyncio.StreamReader(sock_tls)
        else:
            stream = asyncio.StreamReader(sock)
        opened = True
        return stream
    finally:
        if not opened:
            sock.close()


def _writable(sock):
    # As asyncio.open_connection does it: a generator, which may be awaited.
    yield core._io_queue.queue_write(sock)


def _check(sock):
    """Raise the OSError of a connection that came to nothing: the loop does not look at it."""
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    for _, flags in poll.poll(0):
        if flags & (select.POLLERR | select.POLLHUP):
            sock.send(b"")
            raise OSError(errno.ECONNREFUSED)
