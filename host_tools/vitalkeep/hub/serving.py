"""What a hub's servers have in common: a bound socket, and Uvicorn that leaves signals alone."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from vitalkeep.errors import ToolError

_BACKLOG = 128


class QuietServer(uvicorn.Server):
    """Uvicorn without signal handlers: the hub has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


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
