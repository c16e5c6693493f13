"""The guided page's HTTP: static files, what is shown, and one order: begin a run.

Whoever may start a run has the token, which only the page's address holds, in its fragment: so it
is in no request line, no log and no referrer. Other pages in the same browser and other users of
this computer do not have it. Nothing secret is in any answer.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import Counter
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from vitalkeep.board.errors import BoardError
from vitalkeep.errors import ToolError
from vitalkeep.hub.serving import HEADERS, static_routes
from vitalkeep.provision.guide import Guide
from vitalkeep.provision.moves import Moves
from vitalkeep.provision.runs import Asked

TOKEN = "x-vitalkeep-token"
POLL_S = 20.0  # for how long an answer waits for news
_BODY_MAX = 4096


class Door:
    """Lets in who asks for this very address, from no other page, and with the token for /api/.

    refused  how often and why not
    """

    def __init__(self, app: ASGIApp, host: str, token: str) -> None:
        self.refused: Counter[str] = Counter()
        self._app = app
        self._host = host
        self._origin = f"http://{host}"
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        why = self._why_not(scope) if scope["type"] == "http" else "protocol"
        if not why:
            await self._app(scope, receive, send)
            return
        self.refused[why] += 1
        if scope["type"] == "http":
            hint = "Open the address that the terminal shows."
            answer = _failed("refused", f"not let in: {why}", hint, 403)
            await answer(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    def _why_not(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        if headers.getlist("host") != [self._host]:
            return "host"  # a name that somebody has lead here
        origins = headers.getlist("origin")
        if origins != [self._origin] and (origins or scope["method"] not in ("GET", "HEAD")):
            return "origin"
        said = "".join(headers.getlist(TOKEN)).encode()
        if scope["path"].startswith("/api/") and not hmac.compare_digest(said, self._token):
            return "token"
        return ""


def make_app(guide: Guide, moves: Moves) -> Starlette:
    """Return the ASGI application; a Door belongs before it."""
    own = files("vitalkeep.provision") / "page"
    contents = {name: (own / name).read_bytes() for name in ("index.html", "page.js", "page.css")}
    shared = files("vitalkeep.hub") / "page"
    contents |= {name: (shared / name).read_bytes() for name in ("style.css", "dom.js")}

    async def state(request: Request) -> Response:
        """Answer when there is more than was seen, or after POLL_S."""
        seen = request.query_params.get("seen", "0")
        number = await moves.after(int(seen) if seen.isdecimal() else 0, POLL_S)
        return JSONResponse({"number": number, **guide.snapshot()}, headers=HEADERS)

    async def runs(request: Request) -> Response:
        try:
            asked = _asked(await _body(request))
            await asyncio.to_thread(guide.start, asked)
        except ValueError as error:
            return _failed("error", f"not an order: {error}", "Load the page again.", 400)
        except ToolError as error:
            cause = error.cause if isinstance(error, BoardError) else "error"
            return _failed(cause, error.message, error.hint, 409)
        return JSONResponse({"outcome": "begun"}, 202, headers=HEADERS)

    async def label(request: Request) -> Response:
        made = await asyncio.to_thread(guide.label, request.query_params.get("bed", ""))
        if made is None:
            return _failed("error", "this bed has no label yet", "Set it up first.", 404)
        return Response(made, media_type="image/svg+xml", headers=HEADERS)

    return Starlette(
        routes=[
            *static_routes(contents),
            Route("/api/state", state, methods=["GET"]),
            Route("/api/runs", runs, methods=["POST"]),
            Route("/api/label", label, methods=["GET"]),
        ]
    )


async def _body(request: Request) -> bytes:
    said = b""
    async for piece in request.stream():
        said += piece
        if len(said) > _BODY_MAX:
            raise ValueError("too long")
    return said


def _asked(body: bytes) -> Asked:
    found: Any = json.loads(body)
    if not isinstance(found, dict) or set(found) != {"bed", "board", "silent"}:
        raise ValueError("want bed, board and silent")
    bed, board, silent = found["bed"], found["board"], found["silent"]
    if not (isinstance(bed, str) and isinstance(board, str) and isinstance(silent, bool)):
        raise ValueError("want two names, and true or false")
    return Asked(bed, board, silent)


def _failed(outcome: str, message: str, hint: str, status: int) -> Response:
    found = {"outcome": outcome, "message": message, "hint": hint}
    return JSONResponse(found, status, headers=HEADERS)
