"""The end that asks: one peer over HTTPS, whose certificate must be that hub's.

Everything is bounded: how long a peer may be silent, how long an answer may take, how long it may
be. A peer that breaks a bound is a PeerError.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

import httpx

from vitalkeep.hub.exchange import wire
from vitalkeep.hub.exchange.doorstep import WAIT_S
from vitalkeep.hub.exchange.settings import Peer
from vitalkeep.hub.exchange.tls import Doorkeeper
from vitalkeep.hub.exchange.wire import Frames, Item, PeerError, RefusedError
from vitalkeep.hub.within import within

_SILENT_S = 15.0
_WHOLE_S = 60.0
_REASON_MAX = 200


class Client:
    """Asks one peer. `async with` it."""

    def __init__(self, peer: Peer, context: ssl.SSLContext, door: Doorkeeper) -> None:
        self.peer = peer
        self._door = door
        self._http = httpx.AsyncClient(
            base_url=f"{peer.url.rstrip('/')}/v{wire.VERSION}/",
            verify=context,
            timeout=httpx.Timeout(_SILENT_S, connect=WAIT_S),
            limits=httpx.Limits(max_connections=2),
            trust_env=False,  # no proxy between two hubs, whatever the environment says
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def ask(self, path: str, body: bytes, most: int = wire.ANSWER_MAX) -> bytes:
        """Return the answer's body; raises PeerError, RefusedError."""
        answer = bytearray()

        async def read() -> None:
            async with self._post(path, body) as response:
                async for chunk in response.aiter_raw():
                    answer.extend(chunk)
                    if len(answer) > most:
                        raise PeerError(f"an answer of more than {most} bytes")

        await self._bounded(read())
        return bytes(answer)

    async def items(self, body: bytes) -> tuple[list[Item], int, PeerError | None]:
        """Ask for sectors; returns what came, its size, and what broke it off if anything did."""
        frames = Frames()
        found: list[Item] = []

        async def read() -> None:
            async with self._post("fetch", body) as response:
                async for chunk in response.aiter_raw():
                    found.extend(frames.feed(chunk))

        try:
            await self._bounded(read())
        except PeerError as error:
            return found, frames.total, error
        return found, frames.total, None

    async def _bounded(self, job: Coroutine[Any, Any, None]) -> None:
        try:
            await within(_WHOLE_S, job)
        except asyncio.TimeoutError:
            raise PeerError(f"no whole answer in {_WHOLE_S:g} s") from None
        except httpx.TimeoutException:
            raise PeerError(f"no answer in {_SILENT_S:g} s") from None
        except (httpx.HTTPError, httpx.StreamError, ssl.SSLError, OSError) as error:
            raise PeerError(str(error) or type(error).__name__) from None

    @asynccontextmanager
    async def _post(self, path: str, body: bytes) -> AsyncIterator[httpx.Response]:
        async with self._http.stream("POST", path, content=body) as response:
            stream = response.extensions["network_stream"]
            shown = stream.get_extra_info("ssl_object").getpeercert(binary_form=True)
            name = self._door.name(shown)
            if name != self.peer.name:
                raise PeerError(f"{name} answers where {self.peer.name} should")
            # It comes from there as well, most likely, and finds the door open in a crowd.
            self._door.friends.note(stream.get_extra_info("server_addr")[0])
            if response.status_code != httpx.codes.OK:
                words = bytearray()
                async for chunk in response.aiter_raw():
                    words += chunk
                    if len(words) > _REASON_MAX:
                        break
                text = words[:_REASON_MAX].decode(errors="replace")
                raise RefusedError(f"{response.status_code}: {text}")
            yield response
