"""A gateway at the end of a USB cable, asked on its console while it goes on reading its lines.

It is never interrupted: what is sent are lines that it answers (docs/formats/console.md).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import operator
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import serial

from bridge.core import command_wire
from bridge.core.command_wire import Command, ReplyPart
from bridge.core.errors import FormatError, TagError
from bridge.core.journal.layout import CLASSES
from vitalkeep.errors import ToolError
from vitalkeep.keys import derive
from vitalkeep.keys.vault import Gateway
from vitalkeep.remote.reply import is_whole, parse_object, read_reply

_TRIES = 3
QUIET_S = 5.0  # a stall of the gateway is shorter
_PIECE, _PACE_S = 32, 0.02  # a console has a small buffer and no flow control
_LINE = re.compile(rb"vk([?:]) (\d{1,4})/(\d{1,4}) ([A-Za-z0-9+/=]{1,64})")
_WHOLE_S = 60.0  # for one answer: the longest is that of a whole log's piece, 20 s
_TAIL = 4096  # bytes that are kept of what is no line of an answer
_IDS = {"gateway": 8, "log": 8, "nonce": 8}  # bytes
_PROMPT = re.compile(rb"(?:^|\n)>>> |raw REPL; CTRL-B")


class NoGateway(ToolError):
    """Nobody answers as a gateway does.

    at_prompt  whether MicroPython's prompt is there: no program runs
    """

    def __init__(self, device: str, at_prompt: bool) -> None:
        self.at_prompt = at_prompt
        if at_prompt:
            super().__init__(
                f"{device}: MicroPython is there and no gateway runs",
                "vitalkeep diagnose --interrupt looks at what is on the board.",
            )
        else:
            super().__init__(
                f"{device}: no answer from a gateway",
                "It hangs, or its firmware is older than this, or it is another board. "
                "--interrupt stops its program and looks at the board.",
            )


class Usb:
    """One console.

    gateways  {id: Gateway} of a vault, for whom commands can be sent; may be empty
    quiet_s   after so much silence a request is sent again, or given up
    """

    def __init__(
        self,
        device: str,
        gateways: Mapping[bytes, Gateway] | None = None,
        quiet_s: float = QUIET_S,
    ) -> None:
        self.device = device
        self.status: dict[str, Any] | None = None  # what it said last of itself
        self.gateways = gateways or {}
        self._number = 0
        self._quiet_s = quiet_s
        try:
            self._port = serial.Serial(device, 115200, timeout=0.05, exclusive=True)
        except (OSError, ValueError) as error:
            raise ToolError(
                f"{device}: {error}",
                "Is it the board's port, and does no other program have it open?",
            ) from None

    def close(self) -> None:
        self._port.close()

    def __enter__(self) -> Usb:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Send a command and return the reply; "report" needs no key.

        Raises  ToolError when there is none, the vault has no key for it, or it refuses
                NoGateway when nobody answers as a gateway does
        """
        return await asyncio.to_thread(self._ask, do, fields)

    def _ask(self, do: str, fields: dict[str, Any]) -> dict[str, Any]:
        if do == "report":
            return self.greet()
        if self.status is None:
            self.greet()
        return self._order(do, fields)

    def greet(self, tries: int = _TRIES) -> dict[str, Any]:
        """Begin a conversation and return what the gateway says of itself; raises NoGateway."""
        for _ in range(tries):
            with self._closing_errors():
                found = self._exchange(b"vk?", b"?", self._said)
            if found is not None:
                self.status = found
                self._number = 0
                return found
        raise NoGateway(self.device, False)

    def _said(self, message: bytes) -> dict[str, Any] | None:
        found = parse_object(message)
        return found if found is not None and _is_status(found) else None

    def _order(self, do: str, fields: dict[str, Any]) -> dict[str, Any]:
        assert self.status is not None
        gateway = self._known()
        key = derive.command_key(gateway.root, gateway.id)
        for _ in range(_TRIES):
            self._number += 1
            number = self._number
            nonce = bytes.fromhex(self.status["nonce"])
            command = Command(nonce, number, {"do": do, **fields})
            payload = bytes(command_wire.pack_command(command, key, gateway.id))

            parts: dict[int, ReplyPart] = {}

            def take(
                message: bytes, number: int = number, parts: dict[int, ReplyPart] = parts
            ) -> dict[str, Any] | None:
                # What has a wrong tag is somebody else's.
                with contextlib.suppress(FormatError, TagError):
                    part = command_wire.parse_reply(message, key, gateway.id)
                    if part.number == number:
                        parts[part.part] = part
                return read_reply(do, parts) if is_whole(parts) else None

            with self._closing_errors():
                reply = self._exchange(b"vk:" + base64.b64encode(payload), b":", take)
            if reply is None:
                self.greet()  # it may have started anew
                continue
            return reply
        raise ToolError(
            f"{self.device}: the gateway does not answer {do}",
            "Does the vault have its key? Its counters say what it refused (command_forged).",
        )

    def _known(self) -> Gateway:
        assert self.status is not None
        id = bytes.fromhex(self.status["gateway"])
        if id not in self.gateways:
            raise ToolError(
                f"gateway {id.hex()} is not in the vault",
                "Only a holder of its keys may ask for more than a report: name its --vault.",
            )
        return self.gateways[id]

    @contextlib.contextmanager
    def _closing_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, serial.SerialException) as error:
            raise ToolError(f"{self.device}: {error}", "Plug the board in again.") from None

    def _exchange(
        self,
        request: bytes,
        kind: bytes,
        take: Callable[[bytes], dict[str, Any] | None],
    ) -> dict[str, Any] | None:
        """Send a line and return what `take` makes of the messages of a kind, None for silence.

        Raises NoGateway where a prompt answers.
        """
        port = self._port
        port.reset_input_buffer()
        line = b"\n" + request + b"\n"
        for at in range(0, len(line), _PIECE):
            port.write(line[at : at + _PIECE])
            port.flush()
            time.sleep(_PACE_S)
        heard = rest = b""
        pieces: dict[int, bytes] = {}
        is_answered = False
        end = time.monotonic() + _WHOLE_S
        until = time.monotonic() + self._quiet_s
        while time.monotonic() < min(until, end):
            data = port.read(max(1, port.in_waiting))
            heard = (heard + data)[-_TAIL:]
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[-_TAIL:]
            for text in lines:
                found = _LINE.search(text)
                if found is None or found[1] != kind:
                    continue
                is_answered = True
                until = time.monotonic() + self._quiet_s
                number, count = int(found[2]), int(found[3])
                if number == 1:
                    pieces.clear()
                with contextlib.suppress(binascii.Error):
                    pieces[number] = base64.b64decode(found[4])
                if number == count and len(pieces) == count:
                    reply = take(b"".join(pieces[n] for n in sorted(pieces)))
                    if reply is not None:
                        return reply
            if not is_answered and _PROMPT.search(heard):
                raise NoGateway(self.device, True)
        return None


def _is_status(found: dict[str, Any]) -> bool:
    """Say whether an answer has what is relied on: who it is, and how far its log goes."""
    try:
        sizes = {name: len(bytes.fromhex(found[name])) for name in _IDS}
        heads = [found["heads"][name] for name in CLASSES]
        rows = [[operator.index(number) for number in head] for head in heads]
    except (KeyError, TypeError, ValueError):
        return False
    return sizes == _IDS and isinstance(found["bed"], str) and all(len(row) == 3 for row in rows)
