"""Where a recording comes from: a serial port of this computer, or a capture."""

from __future__ import annotations

import contextlib
import os
import termios
import time
from collections.abc import Iterator
from typing import Any

import serial

from bridge.core.protocols import make_decoder
from vitalkeep.doctor.recording import Recording
from vitalkeep.doctor.setting import Setting
from vitalkeep.errors import ToolError

_MARK = 0xFF  # what the kernel puts before a marked character
_READ_S = 0.05
_PSEUDO_TERMINALS = range(136, 144)


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


class Asker:
    """Asks as the driver of a protocol does."""

    def __init__(self, name: str, options: dict[str, object]) -> None:
        self._driver = make_decoder(name, options)

    def ask(self, now_ms: int, heard: bytes) -> bytes | None:
        """Return what to send at this time, after what was heard just now."""
        driver = self._driver
        while heard:
            heard = heard[driver.rx.feed(heard) :]
            while driver.next_event() is not None:
                pass
        request = driver.next_request(now_ms)
        return None if request is None else bytes(request)

    def goodbye(self) -> bytes | None:
        """Return what a device must hear before nobody asks any more."""
        goodbye = getattr(self._driver, "goodbye", None)
        found = None if goodbye is None else goodbye()
        return None if found is None else bytes(found)


class Port:
    """A serial port: listens at any setting, and never sends unless it is told to ask."""

    def __init__(self, path: str) -> None:
        try:
            self._port: Any = serial.Serial(path, 9600, timeout=_READ_S, exclusive=True)
        except (OSError, ValueError) as error:
            raise ToolError(f"{path}: {error}", "Is it in use, or not yours to open?") from None

    def listen(self, setting: Setting, seconds: float, asker: Asker | None = None) -> Recording:
        """Return what is heard in some seconds.

        asker  what asks meanwhile; it takes its leave at the end
        """
        port = self._port
        apply_setting(port, setting)
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
            if asker is not None:
                request = asker.ask(round(now_s * 1000), piece)
                if request:
                    port.write(request)
                    recording.sent += request
        goodbye = None if asker is None else asker.goodbye()
        if goodbye is not None:
            port.write(goodbye)
            port.flush()
        recording.framing_errors = unmarked.errors
        return recording

    def close(self) -> None:
        self._port.close()


def apply_setting(port: Any, setting: Setting) -> None:
    """Set an open serial.Serial; a pseudo-terminal, which has no speed or parity, stays as it is.

    Raises ToolError for a setting that the port does not have.
    """
    if is_pseudo_terminal(port.fileno()):
        return
    try:
        port.apply_settings(
            {
                "baudrate": setting.baud,
                "bytesize": setting.bits,
                "parity": setting.parity,
                "stopbits": setting.stop,
            }
        )
    except (OSError, ValueError, termios.error) as error:
        raise ToolError(
            f"{port.port}: {setting}: {error}", "This port cannot be set so; try another adapter."
        ) from None


def is_pseudo_terminal(descriptor: int) -> bool:
    """Say whether this is a program and no line (Linux: the majors of UNIX98 terminals)."""
    return os.major(os.fstat(descriptor).st_rdev) in _PSEUDO_TERMINALS


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
