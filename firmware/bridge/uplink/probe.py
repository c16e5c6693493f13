"""A link's round trip where a site tells no time: how long its broker takes to be connected to."""

import asyncio
import time

from micropython import const

from bridge.uplink.dial import dial

_LOST_MS = const(900)  # the first SYN is repeated after a second, at the earliest


class ConnectProbe:
    """Times the connection to a site's broker (SYN, SYN-ACK), and closes it again.

    lookup  async lookup(host, interface) returns an address; raises OSError
    """

    def __init__(self, host, port, lookup):
        self._host = host
        self._port = port
        self._lookup = lookup

    async def ask(self, interface):
        """Return the round trip in milliseconds, None when nobody answered."""
        try:
            address = await self._lookup(self._host, interface)
            sent_ms = time.ticks_ms()
            sock = await dial(address, self._port, interface, _LOST_MS)
        except (OSError, asyncio.TimeoutError):
            return None
        trip_ms = time.ticks_diff(time.ticks_ms(), sent_ms)
        sock.close()
        return trip_ms
