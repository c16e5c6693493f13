"""One question over UDP and its answer; what is lost is lost, and the caller may ask again."""

import asyncio
import socket
import time

from micropython import const

_ANSWER_MAX = const(128)


async def exchange(address, request, accept, timeout_ms, interface=None, answer_max=_ANSWER_MAX):
    """Send `request` to `address` and return (payload, trip_ms) of the first accepted answer.

    address    (host, port), the host in numbers: looking up a name would stop everything
    accept     accept(payload) says whether a datagram, cut to `answer_max` bytes, is the answer;
               others are passed over, and come only from that address
    interface  name of the link to send through (SO_BINDTODEVICE, the ESP32 port has it); None
               leaves the choice to the routes
    Returns    None when no such answer came within timeout_ms
    Raises     OSError when it cannot be sent at all: no route, no such interface
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if interface is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface)
        sock.connect(socket.getaddrinfo(address[0], address[1])[0][-1])
        sent_ms = time.ticks_ms()
        sock.send(request)
        while True:
            left_ms = timeout_ms - time.ticks_diff(time.ticks_ms(), sent_ms)
            if left_ms <= 0:
                return None
            try:
                payload = await asyncio.wait_for_ms(_next(sock, answer_max), left_ms)
            except asyncio.TimeoutError:
                return None
            if payload is not None and accept(payload):
                return payload, time.ticks_diff(time.ticks_ms(), sent_ms)
    finally:
        sock.close()


def _next(sock, answer_max):
    """Wait for a datagram and return it, None for an error: a coroutine as asyncio's streams are.

    Their read() would go on into the next datagram until it has enough bytes.
    """
    yield asyncio.core._io_queue.queue_read(sock)
    try:
        return sock.recv(answer_max)
    except OSError:
        return None  # nobody listens there, says ICMP: anyone can say that
