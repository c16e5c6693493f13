"""Lets in who asks for this hub by its address or by one of its names.

Another site's page can lead a name of its own to the hub's address. To the browser both are then
one origin, and that page reads what ours reads. It cannot do so with an address, nor with a name
that is not its own.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from vitalkeep.hub.serving import HEADERS

_PORT = re.compile(r"(?<=[^:]):\d*$")
_LOCAL = "localhost"
_WHY = "this hub does not have that name: see names in [page] of hub.toml\n"


class Named:
    """An ASGI application before another one.

    names    by which people reach it, through a proxy or not; this machine's own is one of them
    refused  called once for each request that is turned away, with 421 Misdirected Request
    """

    def __init__(self, app: ASGIApp, names: Iterable[str], refused: Callable[[], None]) -> None:
        self._app = app
        self._names = {_LOCAL, socket.gethostname().lower(), *(name.lower() for name in names)}
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_meant(Headers(scope=scope)):
            self._refused()
            await PlainTextResponse(_WHY, 421, headers=HEADERS)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_meant(self, headers: Headers) -> bool:
        # Programs of HTTP/1.0 give none; a browser always does.
        return all(self._is_ours(host) for host in headers.getlist("host"))

    def _is_ours(self, host: str) -> bool:
        name = _PORT.sub("", host.lower()).strip("[]")
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True
