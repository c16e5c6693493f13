"""Where a recording comes from: a serial port of this computer, or a capture."""

from __future__ import annotations

import contextlib
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import serial

from vitalkeep.doctor.recording import Recording
from vitalkeep.doctor.setting import Setting
from vitalkeep.errors import ToolError

_MARK = 0xFF  # what the kernel puts before a marked character
_READ_S = 0.05


class Unmarked:
    """Takes the kernel's marks out of a stream and counts what they mark.

    FF 00 x is a character x with a wrong parity or no stop bit, FF FF is one FF.
    """

    def __init__(self) -> None:
        self.errors = 0
        self._rest = b""

    def take(self, data: bytes) -> bytes:
        """Return the characters of a piece; a mark that is cut in two waits for its other half."""
        data = self._rest + data
        out = bytearray()
        at = 0
        while at < len(data):
            if data[at] != _MARK:
                out.append(data[at])
                at += 1
            elif data[at : at + 2] == b"\xff\xff":
                out.append(_MARK)
                at += 2
            elif len(data) - at >= 3:
                self.errors += 1
                out.append(data[at + 2])
                at += 3
            else:
                break
        self._rest = data[at:]
        return bytes(out)


Asker = Callable[[int, bytes], "bytes | None"]


class Port:
    """A serial port: listens at any setting, and never sends unless it is told to ask."""

    def __init__(self, path: str) -> None:
        try:
            self._port: Any = serial.Serial(path, 9600, timeout=_READ_S, exclusive=True)
        except (OSError, ValueError) as error:
            raise ToolError(f"{path}: {error}", "Is it in use, or not yours to open?") from None

    def listen(self, setting: Setting, seconds: float, ask: Asker | None = None) -> Recording:
        """Return what is heard in some seconds.

        ask  ask(milliseconds since the start, what was heard just now) returns what to send
        """
        port = self._port
        port.baudrate, port.bytesize = setting.baud, setting.bits
        port.parity, port.stopbits = setting.parity, setting.stop
        _mark_errors(port.fileno())
        port.reset_input_buffer()
        recording = Recording(setting, seconds)
        unmarked = Unmarked()
        start_s = time.monotonic()
        now_s = 0.0
        while now_s < seconds:
            piece = unmarked.take(port.read(max(1, port.in_waiting)))
            now_s = time.monotonic() - start_s
            if piece:
                recording.heard.append((now_s, piece))
            if ask is not None:
                request = ask(round(now_s * 1000), piece)
                if request:
                    port.write(request)
                    recording.sent += request
        recording.framing_errors = unmarked.errors
        return recording

    def close(self) -> None:
        self._port.close()


def _mark_errors(descriptor: int) -> None:
    """Let the kernel mark what has no stop bit or a wrong parity, where it can."""
    with contextlib.suppress(termios.error):
        modes = termios.tcgetattr(descriptor)
        modes[0] |= termios.PARMRK | termios.INPCK
        modes[0] &= ~(termios.IGNPAR | termios.ISTRIP)
        termios.tcsetattr(descriptor, termios.TCSANOW, modes)


@contextlib.contextmanager
def opened(path: str) -> Iterator[Port]:
    """Yield the port, and close it."""
    port = Port(path)
    try:
        yield port
    finally:
        port.close()


def from_capture(pieces: list[tuple[bool, bytes]], setting: Setting) -> Recording:
    """Return a capture as a recording: times are those of its bytes at the line's speed."""
    recording = Recording(setting, 0.0)
    character_s = setting.character_bits / setting.baud
    for sent, piece in pieces:
        if sent:
            recording.sent += piece
        else:
            recording.seconds += len(piece) * character_s
            recording.heard.append((recording.seconds, piece))
    return recording
