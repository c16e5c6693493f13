"""Commands to one gateway through its site's broker, and what it answers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from bridge.core import command_wire, wire
from bridge.core.command_wire import Command, ReplyPart
from bridge.core.errors import FormatError, TagError
from vitalkeep.errors import ToolError
from vitalkeep.hub.address import Address
from vitalkeep.hub.consume import Consumer, Message, Publish
from vitalkeep.keys import derive
from vitalkeep.keys.vault import Gateway
from vitalkeep.remote.reply import is_whole, read_reply

HEARD_S = 15.0  # a gateway says something every two seconds
REPLY_S = 10.0
_PART = 300  # bytes of a configuration in one command, twice as many in hex
_POLL_S = 0.02

Told = Callable[[str], None]


class NoAnswer(ToolError):
    """The gateway said nothing in time; what it was asked may or may not have been done."""


class Desk:
    """A conversation with one gateway; make it with `at`.

    status  its last heartbeat, None before the first
    """

    def __init__(self, gateway: Gateway, address: Address) -> None:
        self.status: dict[str, Any] | None = None
        self._gateway = gateway
        self._uplink_key = derive.uplink_key(gateway.root, gateway.id)
        self._command_key = derive.command_key(gateway.root, gateway.id)
        self._parts: dict[int, ReplyPart] = {}
        self._number = 0
        topics = [wire.topic(gateway.id, leaf) for leaf in ("health", "reply")]
        self._consumer = Consumer(address, self._take, filters=topics)

    @classmethod
    @contextlib.asynccontextmanager
    async def at(cls, gateway: Gateway, address: Address) -> AsyncIterator[Desk]:
        """Yield a desk that hears the gateway; raises ToolError when nobody answers."""
        desk = cls(gateway, address)
        running = asyncio.create_task(desk._consumer.run())
        try:
            if not await _until(lambda: desk.status is not None, HEARD_S):
                raise desk._silence()
            yield desk
        finally:
            while not running.done():
                # Again and again: before Python 3.12 wait_for may swallow a cancellation.
                running.cancel()
                await asyncio.wait([running], timeout=1)

    def _silence(self) -> ToolError:
        consumer = self._consumer
        if not consumer.sessions:
            return ToolError(
                f"broker {consumer.address}: {consumer.last_error or 'no answer'}",
                "Is it the broker of a site of this gateway, and is the certificate a hub's?",
            )
        return ToolError(
            f"gateway {self._gateway.id.hex()} is not heard at {consumer.address}",
            "Is it on, and is this one of its sites? Try the other site's broker.",
        )

    async def ask(self, do: str, within_s: float = REPLY_S, **fields: Any) -> dict[str, Any]:
        """Send a command and return the reply.

        within_s  how long to wait for it
        Raises  ToolError when there is none in time, or the gateway says why it did not do it
        """
        assert self.status is not None
        self._parts.clear()
        self._number = max(self._number + 1, time.time_ns() // 1_000_000)
        nonce = bytes.fromhex(self.status["nonce"])
        command = Command(nonce, self._number, {"do": do, **fields})
        payload = command_wire.pack_command(command, self._command_key, self._gateway.id)
        self._consumer.publish(wire.topic(self._gateway.id, "command"), bytes(payload))
        if not await _until(lambda: is_whole(self._parts), within_s):
            raise NoAnswer(
                f"gateway {self._gateway.id.hex()} did not answer {do} within {within_s:g} s",
                "Its session may have changed: try again. Its counters say what it refused.",
            )
        return read_reply(do, self._parts)

    async def configure(self, config: bytes, told: Told = lambda text: None) -> None:
        """Put a config.json on trial and wait for what becomes of it; raises ToolError."""
        assert self.status is not None
        boot = self.status["boot"]
        for at in range(0, len(config), _PART):
            await self.ask("put", at=at, data=config[at : at + _PART].hex())
            told(f"sent {min(at + _PART, len(config))} of {len(config)} bytes")
        await self.ask("configure", digest=hashlib.sha256(config).hexdigest())
        told("taken; it starts anew")
        if not await _until(lambda: self._is_back(boot), 4 * HEARD_S):
            raise ToolError(
                f"gateway {self._gateway.id.hex()} is not heard since",
                "It takes the old configuration back by itself (trial_ms, five minutes).",
            )
        if not await _until(lambda: self._is_receipted(boot), 2 * HEARD_S):
            raise ToolError("it is back, and no site receipts yet", "It is still on trial.")
        report = await self.ask("report")
        told("on trial" if report["on_trial"] else "kept: a site receipts under it")

    def _is_back(self, boot: int) -> bool:
        return self.status is not None and self.status["boot"] != boot

    def _is_receipted(self, boot: int) -> bool:
        return self._is_back(boot) and self.status is not None and not self.status["ask"]

    async def _take(self, messages: Sequence[Message]) -> list[Publish]:
        gateway = self._gateway.id
        for message in messages:
            # What has a wrong tag is somebody else's.
            with contextlib.suppress(FormatError, TagError):
                if message.topic.endswith("/health"):
                    self.status = wire.parse_status(message.payload, self._uplink_key, gateway)
                    continue
                part = command_wire.parse_reply(message.payload, self._command_key, gateway)
                if part.number == self._number:
                    self._parts[part.part] = part
        return []


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until it holds; returns whether it did in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(_POLL_S)
    return True
