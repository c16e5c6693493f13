"""What our pages' servers have in common: a socket, Uvicorn without signals, files, JSON."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import Any, cast

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from vitalkeep.errors import ToolError

_BACKLOG = 128
CONNECTIONS_MAX = 256

HEADERS = {
    # Nothing from elsewhere, no inline code, in no frame: pages are shown next to patients.
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_JSON = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}


def dumps(value: Any) -> str:
    """Return JSON as browsers read it: NaN would break their parser, so it is an error here."""
    return _JSON.encode(value)


class QuietServer(uvicorn.Server):
    """Uvicorn without signal handlers: whoever runs it has some."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Config(uvicorn.Config):
    pushed_out: Callable[[], None]


class _Connection(H11Protocol):
    """One of CONNECTIONS_MAX: files and sockets for the hub's own work are not a crowd's to take.

    When there are more, the oldest goes that nothing is done for.
    """

    config: _Config

    def connection_made(self, transport: Any) -> None:
        self._began = monotonic()
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            everyone = cast("set[_Connection]", self.connections)
            idle = [one for one in everyone if one.cycle is None or one.cycle.response_complete]
            min(idle, key=lambda one: one._began).transport.abort()
            self.config.pushed_out()


def quiet_server(app: Any, pushed_out: Callable[[], None] = lambda: None) -> QuietServer:
    """Return a server of an ASGI application, which says nothing of its own.

    pushed_out  called for each connection that made room for another one
    """
    config = _Config(
        app,
        http=_Connection,
        log_config=None,  # its lines are ours, in our form
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
        lifespan="off",
    )
    config.pushed_out = pushed_out
    return QuietServer(config)


def static_routes(contents: Mapping[str, bytes]) -> list[Route]:
    """Return routes to the contents of files, by name; index.html is the root."""
    return [_static(name, content) for name, content in contents.items()]


def _static(name: str, content: bytes) -> Route:
    async def send(_: Request) -> Response:
        kind = _TYPES[name.rpartition(".")[2]]
        return Response(content, media_type=kind, headers=HEADERS)

    return Route("/" if name == "index.html" else f"/{name}", send, methods=["GET"])


def listen(host: str, port: int, who: str, hint: str) -> socket.socket:
    """Return a bound socket; raises ToolError that says who is asked to do what.

    who   cannot listen: "the page"
    hint  the next action
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        text = f"{who} cannot listen on {host}:{port}: {error.strerror or error}"
        raise ToolError(text, hint) from None
    return sock
