"""The end that answers: an HTTPS port of its own, for the hubs that the settings name."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from vitalkeep.hub.exchange import wire
from vitalkeep.hub.exchange.doorstep import Doorstep
from vitalkeep.hub.exchange.tls import Doorkeeper
from vitalkeep.hub.exchange.wire import PeerError
from vitalkeep.hub.serving import QuietServer
from vitalkeep.hub.store import StoreError

log = logging.getLogger(__name__)

_STOP_S = 2
_CONNECTIONS_MAX = 8  # of one peer, which needs two
_BINARY = "application/octet-stream"

Answer = Callable[[str, bytes], Awaitable[bytes]]  # (peer's name, body) to the answer's body


def _protocol(door: Doorkeeper, refused: Callable[[str], None]) -> type[H11Protocol]:
    open_: defaultdict[str, list[Any]] = defaultdict(list)

    class KnownPeers(H11Protocol):
        """HTTP for connections whose certificate is let in; others are cut at once."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            shown = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
            self.app_state = dict(self.app_state, shown=shown)
            try:
                name = door.name(shown)
            except PeerError as error:
                refused(str(error))
                transport.abort()
                return
            if (peer := transport.get_extra_info("peername")) is not None:
                door.friends.note(peer[0])
            of_peer = open_[name] = [one for one in open_[name] if not one.is_closing()]
            of_peer.append(transport)
            # The oldest may be what is left of a power cut over there: it is no reason to refuse.
            for oldest in of_peer[:-_CONNECTIONS_MAX]:
                oldest.abort()

    return KnownPeers


class Server:
    """Serves one path for each answer, on a socket that is bound already.

    answers  by path, for example "summary"
    refused  told of each connection that was cut, and why
    unfinished  told of each that showed no certificate: why, in the doorstep's words
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        door: Doorkeeper,
        answers: dict[str, Answer],
        refused: Callable[[str], None],
        unfinished: Callable[[str], None],
    ) -> None:
        self._door = door
        self._refused = refused
        routes = [
            Route(f"/v{wire.VERSION}/{path}", self._route(answer), methods=["POST"])
            for path, answer in answers.items()
        ]
        self._protocol = _protocol(door, refused)
        config = uvicorn.Config(
            Starlette(routes=routes),
            http=self._protocol,
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        config.load()
        self._server = QuietServer(config)
        self._doorstep = Doorstep(context, self._connection, door.friends, unfinished)

    def _connection(self) -> asyncio.Protocol:
        return self._protocol(self._server.config, self._server.server_state, {})

    def _route(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            try:
                # Again for each: a certificate may be revoked while its connection lasts.
                name = self._door.name(request.state.shown)
            except PeerError as error:
                self._refused(str(error))
                return Response(str(error), 403)
            try:
                body = await _read(request)
                return Response(await answer(name, body), media_type=_BINARY)
            except PeerError as error:
                log.warning("%s: %s: %s", name, request.url.path, error)
                return Response(str(error), 400)
            except StoreError as error:
                return Response(f"the store does not answer: {error}", 503)

        return handle

    async def serve(self, sock: Any) -> None:
        """Serve until cancelled."""
        # Uvicorn listens to nothing: the doorstep hands it connections.
        task = asyncio.create_task(self._server.serve(sockets=[]))
        try:
            await self._doorstep.run(sock)
        finally:
            self._server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task], timeout=_STOP_S)
            task.cancel()


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > wire.REQUEST_MAX:
            raise PeerError(f"a question of more than {wire.REQUEST_MAX} bytes")
    return bytes(body)
