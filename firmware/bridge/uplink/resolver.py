"""Names of sites to addresses, asked over the link that carries; what was known is never lost.

The ports' own getaddrinfo stops everything while it waits and cannot be bound to a link.
"""

import json
import os

from micropython import const

from bridge.core import dns
from bridge.core.address import is_address
from bridge.core.errors import FormatError
from bridge.uplink.datagram import exchange
from bridge.uplink.faults import NO_SUCH_HOST

_TIMEOUT_MS = const(1000)
_TRIES = const(2)
_SERVERS_MAX = const(3)
_TTL_MIN_S = const(60)
_TTL_MAX_S = const(86400)
_AGAIN_MS = const(15000)  # after servers that were silent
_FILE = "hosts.json"


class Resolver:
    """Knows the last address of every name, also after a reboot.

    gone  whether the name servers were silent, or of no use, when last asked
    """

    def __init__(self, clock, counters):
        self.gone = False
        self._clock = clock
        self._counters = counters
        self._known = _load()
        self._until_ms = {}

    async def address_of(self, host, servers, interface):
        """Return the address of a host; raises OSError(NO_SUCH_HOST) when there never was one.

        servers    addresses of name servers, the first that answers is believed
        interface  name of the link to ask over, None where it cannot be bound
        """
        now_ms = self._clock.mono_ms()
        if now_ms >= self._until_ms.get(host, 0):
            address, ttl_s = await self._ask(host, servers, interface)
            self._until_ms[host] = now_ms + (1000 * ttl_s if address else _AGAIN_MS)
            if address:
                self._keep(host, address)
        if host not in self._known:
            raise OSError(NO_SUCH_HOST)
        return self._known[host]

    async def _ask(self, host, servers, interface):
        try:
            question = dns.query(0, host)
        except FormatError:
            return None, 0
        for _ in range(_TRIES):
            for server in servers[:_SERVERS_MAX]:
                question = os.urandom(2) + question[2:]
                answer = await self._ask_server(server, question, interface)
                if answer is None:
                    continue
                self.gone = False
                address, ttl_s = answer
                if not address:
                    self._counters.add("dns_no_such_name")
                return address, min(max(ttl_s, _TTL_MIN_S), _TTL_MAX_S)
        self.gone = True
        self._counters.add("dns_silent")
        return None, 0

    async def _ask_server(self, server, question, interface):
        """Return (address or None, TTL), or None where the server is of no use."""
        try:
            found = await exchange(
                (server, dns.PORT),
                question,
                lambda payload: dns.is_answer(payload, question),
                _TIMEOUT_MS,
                interface,
                dns.MESSAGE_MAX,
            )
            return found and dns.parse_answer(found[0], question)
        except (OSError, FormatError):
            return None

    def _keep(self, host, address):
        if self._known.get(host) == address:
            return
        self._known[host] = address
        # Whole or not at all, and only when it changed: flash is not for every answer.
        try:
            with open(_FILE + ".new", "w") as file:
                json.dump(self._known, file)
            os.rename(_FILE + ".new", _FILE)
        except OSError:
            self._counters.add("hosts_not_kept")  # until the next boot it is known all the same


def _load():
    try:
        with open(_FILE) as file:
            known = json.load(file)
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {
        host: address
        for host, address in known.items()
        if isinstance(address, str) and is_address(address)
    }
