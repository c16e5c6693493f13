"""Where connections wait until they have shown a certificate: few, not for long, in fair shares.

Whoever connects and says nothing costs a socket and a buffer. So there is room for so many whose
handshake is not finished. Of one address there are fewer, and whoever is too many ends the
oldest of its own. When all the room is taken, the address with the most makes room, and one at
which a peer has shown its certificate before, as it came or as it was asked, is chosen last.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
import traceback
from collections import Counter
from collections.abc import Callable

log = logging.getLogger(__name__)

WAIT_S = 5.0  # a line with round trips of a second needs three; whoever asks waits no longer
WAITING_MAX = 64
OF_ADDRESS_MAX = 8  # hubs behind one address may all begin at once
_FRIENDS_MAX = 64
_PAUSE_S = 1.0  # without files there is no socket for the next one

CROWD, LATE, BROKEN = "crowd", "late", "handshake"

_V6_NETWORK = 64  # the least that one holder has of IPv6


class Friends:
    """Where peers are: the last addresses at which some showed a good certificate."""

    def __init__(self) -> None:
        self._networks: dict[str, None] = {}  # the last one at the end

    def note(self, address: str) -> None:
        self._networks.pop(_network(address), None)
        self._networks[_network(address)] = None
        if len(self._networks) > _FRIENDS_MAX:
            del self._networks[next(iter(self._networks))]

    def __contains__(self, network: str) -> bool:
        return network in self._networks


class Doorstep:
    """Takes connections from a socket and gives those that finish their handshake a protocol.

    context  of TLS; it decides who finishes
    make     returns the protocol of a connection
    friends  who makes room last
    refused  told of each one that did not finish: CROWD, LATE or BROKEN
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        make: Callable[[], asyncio.Protocol],
        friends: Friends,
        refused: Callable[[str], None],
    ) -> None:
        self._context = context
        self._make = make
        self._friends = friends
        self._refused = refused
        self._waiting: dict[socket.socket, str] = {}  # by network, the oldest first
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, sock: socket.socket) -> None:
        """Take connections until cancelled; none of those that wait is left then."""
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        try:
            while True:
                try:
                    connection, address = await loop.sock_accept(sock)
                except OSError as error:
                    log.warning("exchange: %s", error)
                    await asyncio.sleep(_PAUSE_S)
                    continue
                self._make_room(_network(address[0]))
                self._waiting[connection] = _network(address[0])
                task = asyncio.create_task(self._greet(connection))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                # The next one may be there already; all else has its turn all the same.
                await asyncio.sleep(0)
        finally:
            for connection in list(self._waiting):
                self._end(connection)
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _greet(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make, connection, ssl=self._context, ssl_handshake_timeout=WAIT_S
            )
        except OSError as error:
            if connection in self._waiting:  # nobody ended it
                self._refused(LATE if isinstance(error, ConnectionAbortedError) else BROKEN)
            # Its frames hold it, and a buffer of 256 KB, until the next collection.
            traceback.clear_frames(error.__traceback__)
        finally:
            self._waiting.pop(connection, None)

    def _make_room(self, network: str) -> None:
        crowd = Counter(self._waiting.values())
        if crowd[network] < OF_ADDRESS_MAX:
            if len(self._waiting) < WAITING_MAX:
                return
            strangers = Counter(n for n in self._waiting.values() if n not in self._friends)
            ((network, _),) = (strangers or crowd).most_common(1)
        self._end(next(one for one, of in self._waiting.items() if of == network))
        self._refused(CROWD)

    def _end(self, connection: socket.socket) -> None:
        # Its transport reads that it has ended, and closes it.
        del self._waiting[connection]
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def _network(address: str) -> str:
    """Return what counts as one address: of IPv6 all that its holder may choose from."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped or ipaddress.ip_network((int(found), _V6_NETWORK), strict=False))
    return str(found)
