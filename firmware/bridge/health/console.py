"""The USB console while the gateway runs: it answers requests, and its prompt is closed.

A line that begins with "vk" is a request (docs/formats/console.md); all else is left alone.
Nothing stops for it: characters are taken as they come, and answers leave in short lines. The
prompt is closed by switching Ctrl-C off, which is hygiene and not security
(docs/guides/console.md).
"""

import asyncio
import select
import sys

import machine
import micropython
from micropython import const

_CTRL_C = const(3)
_NEVER = const(-1)
_IDLE_MS = const(100)
_BUSY_MS = const(20)
_SLICE = const(128)  # characters taken in one turn
_LINE_MAX = const(1300)  # the longest command, in base64
_HOLD_MS = const(3000)  # the button, so that no knock opens it
_MINUTE_MS = const(60000)


class Console:
    """The console of one gateway.

    gateway  has clock and notice_console(text), and what console_desk asks of it
    mode     "closed", or "open" for a gateway whose prompt is never closed
    minutes  for which the button opens it
    button   number of the pin that the wiring names, None for none; pressed, it reads 0
    """

    def __init__(self, gateway, mode, minutes, button):
        self.is_open = mode == "open"
        self.until_ms = None  # when the prompt closes again
        self.nonce = b""  # of the conversation that goes on
        self.desk = None
        self._gateway = gateway
        self._minutes = minutes
        self._button = None
        self._pressed_ms = None
        self._line = bytearray()
        self._skips = False  # the rest of a line that is no request
        if button is not None:
            self._button = machine.Pin(button, machine.Pin.IN, machine.Pin.PULL_UP)
        micropython.kbd_intr(_CTRL_C if self.is_open else _NEVER)

    def open(self, minutes, by):
        """Open the prompt for some minutes; `by` says who did, for the log."""
        if self.is_open and self.until_ms is None:
            return  # it never closes
        self.until_ms = self._gateway.clock.mono_ms() + minutes * _MINUTE_MS
        self.is_open = True
        self._gateway.notice_console("opened for %d min by %s" % (minutes, by))
        micropython.kbd_intr(_CTRL_C)

    def close(self, why):
        self.until_ms = None
        self.is_open = False
        micropython.kbd_intr(_NEVER)
        self._gateway.notice_console("closed: " + why)

    def state(self):
        """Return "closed", "open", or for how many seconds it is still open."""
        if self.until_ms is None:
            return "open" if self.is_open else "closed"
        return max(0, self.until_ms - self._gateway.clock.mono_ms()) // 1000

    async def run(self, beat):
        """Listen for ever."""
        poll = select.poll()
        poll.register(sys.stdin, select.POLLIN)
        while True:
            beat()
            now_ms = self._gateway.clock.mono_ms()
            if self.until_ms is not None and now_ms >= self.until_ms:
                self.close("its time is over")
            if self._button is not None:
                self._watch_button(now_ms)
            taken = self._take(poll) if poll is not None else 0
            if taken < 0:
                poll = None  # nobody will ever speak here
            await asyncio.sleep_ms(_BUSY_MS if taken > 0 else _IDLE_MS)
            if taken > 0 and self._skips is None:
                await self._answer(beat)

    def _watch_button(self, now_ms):
        if self._button.value():
            self._pressed_ms = None
        elif self._pressed_ms is None:
            self._pressed_ms = now_ms
        elif now_ms - self._pressed_ms >= _HOLD_MS and not self.is_open:
            self.open(self._minutes, "the button")

    def _take(self, poll):
        """Take in what has come, up to a request's end; returns how much, -1 at the input's end.

        `_skips` is None once a request is whole.
        """
        for count in range(_SLICE):
            if not poll.poll(0):
                return count
            char = sys.stdin.buffer.read(1)
            if not char:
                return -1
            code = char[0]
            line = self._line
            if code == 10 or code == 13:
                if not self._skips and line.startswith(b"vk") and len(line) > 2:
                    self._skips = None
                    return count + 1
                self._forget()
            elif not self._skips:
                line.append(code)
                size = len(line)
                if size > _LINE_MAX or (size < 3 and line != b"vk"[:size]):
                    self._forget()
                    self._skips = True
        return _SLICE

    def _forget(self):
        self._line = bytearray()
        self._skips = False

    async def _answer(self, beat):
        line = self._line
        self._forget()
        await self._gateway.answer_console(self, bytes(line), beat)
