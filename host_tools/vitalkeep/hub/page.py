"""The live page: read-only HTTP. Static files, JSON views, and server-sent events.

Each browser has a bounded queue; one that does not keep up is dropped and reconnects by itself,
which costs it one snapshot and the ward nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any, Protocol

from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from vitalkeep.hub.cards import TRENDS_MAX
from vitalkeep.hub.serving import HEADERS, dumps, static_routes
from vitalkeep.hub.trends import TrendError

QUEUE_MAX = 256  # events a browser may be behind
CLIENTS_MAX = 64
ACCOUNT_MINUTES_MAX = 24 * 60
_PING_S = 10
_SEND_S = 10.0
_LATER = {"retry-after": "10"}
DAYS = ("1", "7", "30")
HISTORY_DAYS_MAX = 400
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_FILES = ("index.html", "style.css", "dom.js", "card.js", "page.js")

Endpoint = Callable[[Request], Awaitable[Response]]


class View(Protocol):
    """What the page asks of the hub."""

    def snapshot(self) -> Awaitable[str]: ...
    def trends(self, gateways: Sequence[bytes]) -> dict[str, Any]: ...
    def health(self) -> dict[str, Any]: ...
    def account(self, minutes: int) -> Awaitable[dict[str, Any]]: ...
    def attained(self, days: int) -> dict[str, Any] | None: ...
    def history(self, gateway: bytes, days: int) -> Awaitable[list[dict[str, Any]] | None]: ...
    def trend(self, query: Mapping[str, str]) -> Awaitable[dict[str, Any]]: ...
    def foreign_trend(self, query: Mapping[str, str]) -> Awaitable[dict[str, Any]]: ...
    def not_ready(self) -> list[str]: ...
    def metrics(self) -> bytes: ...
    def sheds(self, work: str) -> bool: ...


class Feed:
    """Events to every connected browser."""

    def __init__(self) -> None:
        self.dropped = 0
        self._queues: set[asyncio.Queue[bytes | None]] = set()

    def __len__(self) -> int:
        return len(self._queues)

    def publish(self, event: str, value: Any) -> None:
        """Queue an event for everyone; who has no room for it is cut off."""
        if self._queues:
            self.send(event, dumps(value))

    def send(self, event: str, text: str) -> None:
        """Queue an event that is JSON already."""
        item = _encode(event, text)
        for queue in list(self._queues):
            try:
                queue.put_nowait(item)
            except asyncio.QueueFull:
                self.dropped += 1
                self._end(queue)

    def is_full(self) -> bool:
        return len(self._queues) >= CLIENTS_MAX

    def join(self) -> asyncio.Queue[bytes | None]:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_MAX)
        self._queues.add(queue)
        return queue

    def leave(self, queue: asyncio.Queue[bytes | None]) -> None:
        self._queues.discard(queue)

    def close(self) -> None:
        """End every stream."""
        for queue in list(self._queues):
            self._end(queue)

    def _end(self, queue: asyncio.Queue[bytes | None]) -> None:
        self._queues.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)


def _encode(event: str, text: str) -> bytes:
    """Return an event as every browser gets it; JSON has no line breaks."""
    return f"event: {event}\r\ndata: {text}\r\n\r\n".encode()


def make_app(view: View, feed: Feed) -> Starlette:
    """Return the ASGI application."""
    folder = files("vitalkeep.hub") / "page"
    contents = {name: (folder / name).read_bytes() for name in _FILES}

    async def ward(_: Request) -> Response:
        text = await view.snapshot()
        return Response(text, media_type="application/json", headers=HEADERS)

    async def trends(request: Request) -> Response:
        try:
            gateways = [*map(bytes.fromhex, request.query_params.get("gateway", "").split(","))]
        except ValueError:
            gateways = []
        if not (all(gateways) and 1 <= len(gateways) <= TRENDS_MAX):
            text = f"want gateway=ID,ID in hex, 1 to {TRENDS_MAX}\n"
            return PlainTextResponse(text, 400, headers=HEADERS)
        if view.sheds("page"):
            return busy()
        return JSONResponse(view.trends(gateways), headers=HEADERS)

    async def health(_: Request) -> Response:
        found = view.health()
        return JSONResponse(found, 200 if found["receipting"] else 503, headers=HEADERS)

    async def account(request: Request) -> Response:
        try:
            minutes = int(request.query_params.get("minutes", "60"))
        except ValueError:
            minutes = 0
        if not 1 <= minutes <= ACCOUNT_MINUTES_MAX:
            text = f"minutes: want 1 to {ACCOUNT_MINUTES_MAX}\n"
            return PlainTextResponse(text, 400, headers=HEADERS)
        if view.sheds("api"):
            return busy()
        return JSONResponse(await view.account(minutes), headers=HEADERS)

    async def attained(request: Request) -> Response:
        days = request.query_params.get("days", "7")
        found = view.attained(int(days)) if days in DAYS else None
        if days not in DAYS:
            return PlainTextResponse(f"days: want {', '.join(DAYS)}\n", 400, headers=HEADERS)
        if found is None:
            return PlainTextResponse("not summed yet\n", 503, headers=HEADERS | _LATER)
        return JSONResponse(found, headers=HEADERS)

    async def history(request: Request) -> Response:
        try:
            gateway = bytes.fromhex(request.query_params.get("gateway", ""))
            days = int(request.query_params.get("days", "7"))
        except ValueError:
            gateway, days = b"", 0
        if not gateway or not 1 <= days <= HISTORY_DAYS_MAX:
            text = f"want gateway=ID and days, 1 to {HISTORY_DAYS_MAX}\n"
            return PlainTextResponse(text, 400, headers=HEADERS)
        if view.sheds("api"):
            return busy()
        rows = await view.history(gateway, days)
        if rows is None:
            return PlainTextResponse("the store does not answer\n", 503, headers=HEADERS | _LATER)
        return JSONResponse({"gateway": gateway.hex(), "hours": rows}, headers=HEADERS)

    def course(ask: Callable[[Mapping[str, str]], Awaitable[dict[str, Any]]]) -> Endpoint:
        async def send(request: Request) -> Response:
            if view.sheds("api"):
                return busy()
            try:
                return JSONResponse(await ask(request.query_params), headers=HEADERS)
            except TrendError as error:
                found = {"error": error.name, "why": str(error)}
                more = _LATER if error.status >= 500 else {}
                return JSONResponse(found, error.status, headers=HEADERS | more)

        return send

    def busy() -> Response:
        return PlainTextResponse("under load: ask again later\n", 503, headers=HEADERS | _LATER)

    def crowded() -> Response:
        return PlainTextResponse("too many viewers\n", 503, headers=HEADERS)

    async def alive(_: Request) -> Response:
        return PlainTextResponse("alive\n", headers=HEADERS)

    async def ready(_: Request) -> Response:
        why = view.not_ready()
        found = {"ready": not why, "why": why}
        return JSONResponse(found, 503 if why else 200, headers=HEADERS)

    async def metrics(_: Request) -> Response:
        return Response(view.metrics(), media_type=METRICS_TYPE, headers=HEADERS)

    async def events(_: Request) -> Response:
        if feed.is_full():
            return crowded()
        first = _encode("snapshot", await view.snapshot())
        if feed.is_full():
            return crowded()  # by those who came meanwhile
        queue = feed.join()  # in the same turn of the loop: nothing is missed, nothing is old

        async def stream() -> AsyncIterator[bytes]:
            try:
                yield first
                while (item := await queue.get()) is not None:
                    yield item
            finally:
                feed.leave(queue)

        return EventSourceResponse(
            stream(), ping=_PING_S, send_timeout=_SEND_S, headers={"cache-control": "no-store"}
        )

    return Starlette(
        routes=[
            *static_routes(contents),
            Route("/events", events, methods=["GET"]),
            Route("/api/attained", attained, methods=["GET"]),
            Route("/api/history", history, methods=["GET"]),
            Route("/api/trend", course(lambda query: view.trend(query)), methods=["GET"]),
            Route(
                "/api/trend/foreign",
                course(lambda query: view.foreign_trend(query)),
                methods=["GET"],
            ),
            Route("/healthz", alive, methods=["GET"]),
            Route("/readyz", ready, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
            Route("/api/ward", ward, methods=["GET"]),
            Route("/api/ward/trends", trends, methods=["GET"]),
            Route("/api/health", health, methods=["GET"]),
            Route("/api/account", account, methods=["GET"]),
        ]
    )
