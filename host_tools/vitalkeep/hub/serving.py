"""What our pages' servers have in common: a socket, Uvicorn without signals, files, JSON."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vitalkeep.errors import ToolError

_BACKLOG = 128

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


def quiet_server(app: Any) -> QuietServer:
    """Return a server of an ASGI application, which says nothing of its own."""
    config = uvicorn.Config(
        app,
        log_config=None,  # its lines are ours, in our form
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
        lifespan="off",
    )
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
