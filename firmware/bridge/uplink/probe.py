"""What a link's round trip is measured with where no site answers over UDP."""

import asyncio
import time

from micropython import const

from bridge.uplink.dial import dial

_LOST_MS = const(900)  # the first SYN is repeated after a second, at the earliest


class ConnectProbe:
    """Times the connection to a site's broker (SYN, SYN-ACK), and closes it again.

    sites   list of (host, port) in the order of preference
    lookup  async lookup(host, interface) returns an address; raises OSError
    """

    def __init__(self, sites, lookup):
        self._sites = sites
        self._lookup = lookup
        self._asked = {}  # by interface, the site that answered there last

    async def ask(self, interface):
        """Return the round trip in milliseconds, None when nobody answered."""
        number = self._asked.get(interface, 0)
        host, port = self._sites[number]
        try:
            address = await self._lookup(host, interface)
            sent_ms = time.ticks_ms()
            sock = await dial(address, port, interface, _LOST_MS)
        except (OSError, asyncio.TimeoutError):
            # A site that is gone must not make every link look dead.
            self._asked[interface] = (number + 1) % len(self._sites)
            return None
        trip_ms = time.ticks_diff(time.ticks_ms(), sent_ms)
        sock.close()
        return trip_ms
