"""Every gateway of a load on one loop over their sockets: what it costs should not be seen.

Runs in a process of its own (process.py), which its parent tells what to do over a pipe.
"""

from __future__ import annotations

import errno
import gc
import heapq
import itertools
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bridge.core.errors import ProtocolError
from hil.bench.flash_time import percentile
from hil.load import shape
from hil.load.gateway import Gateway, Tally
from hil.load.logs import log_path
from hil.load.replay import Replay

_JOIN_PER_S = 250  # the first time; later they come as their links and their pace let them
_STAGE_MS = 5000  # as peer_silent_ms
_READ_BYTES = 16384
_WAIT_MAX_S = 0.5
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@dataclass(frozen=True)
class Order:
    """What a load is made of.

    logs         folder of logs.py
    count, seed  gateways of the ward of a seed
    site         8 bytes, whose receipts count
    port         of the broker on 127.0.0.1
    tls          folder with ca.pem and NNNNN.pem (certificate and key) of each gateway, or None
    make         makes a Gateway of (identity, log, site, tally, heartbeat_ms, receipt_wait_ms)
    """

    logs: Path
    count: int
    seed: int
    site: bytes
    port: int
    tls: Path | None = None
    heartbeat_ms: int = 2000
    receipt_wait_ms: int = 3500
    make: Callable[..., Gateway] = Gateway


class _Line:
    """A gateway's connection to the broker, or its absence."""

    def __init__(self, gateway: Gateway, context: ssl.SSLContext | None) -> None:
        self.gateway = gateway
        self.context = context
        self.sock: socket.socket | None = None
        self.stage = ""
        self.began_ms = 0.0
        self.due_ms = 0.0
        self.events = 0


class Crowd:
    """All gateways, and the clock by which their logs grow."""

    def __init__(self, order: Order, pipe: Connection) -> None:
        self._pipe = pipe
        self._port = order.port
        self._tally = Tally()
        self._late_ms: list[float] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(pipe, _READ)
        self._due: list[tuple[float, int, _Line]] = []
        self._order = itertools.count()
        self._dark = False
        self._over = False
        self._lines = []
        for number in range(order.count):
            who = shape.identity(order.seed, number)
            log = Replay(log_path(order.logs, number))
            waits = (order.heartbeat_ms, order.receipt_wait_ms)
            gateway = order.make(who, log, order.site, self._tally, *waits)
            self._lines.append(_Line(gateway, _context(order.tls, number)))
        # What was loaded stays: the collector need not look at it again.
        gc.freeze()

    # --- the loop ---

    def run(self) -> None:
        """Serve until told to stop, or until the parent is gone."""
        now_ms = _now_ms()
        for number, line in enumerate(self._lines):
            line.gateway.run_at(0.0, now_ms, shape.age_ms(number))
            self._set_due(line, now_ms + 1000 * number / _JOIN_PER_S)
        while not self._over:
            wait_s = min(_WAIT_MAX_S, (self._due[0][0] - _now_ms()) / 1000 if self._due else 1.0)
            for key, events in self._selector.select(max(0.0, wait_s)):
                if key.data is None:
                    self._obey()
                else:
                    self._ready(key.data, events)
            self._do_due()
        for line in self._lines:
            self._close(line)

    def _set_due(self, line: _Line, due_ms: float) -> None:
        line.due_ms = due_ms
        if due_ms != float("inf"):
            heapq.heappush(self._due, (due_ms, next(self._order), line))

    def _do_due(self) -> None:
        now_ms = _now_ms()
        while self._due and self._due[0][0] <= now_ms:
            due_ms, _, line = heapq.heappop(self._due)
            if due_ms != line.due_ms:
                continue
            if line.stage == "open":
                self._late_ms.append(now_ms - due_ms)
                line.gateway.turn(now_ms)
                self._flush(line, now_ms)
                if line.stage == "open":
                    self._set_due(line, line.gateway.next_ms())
            elif line.stage:
                self._lose(line, now_ms)  # this stage took too long
            elif not self._dark:
                self._connect(line, now_ms)
            now_ms = _now_ms()

    # --- one connection ---

    def _connect(self, line: _Line, now_ms: float) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.sock, line.began_ms, line.events = sock, now_ms, 0
        self._tally.counts["connects"] += 1
        self._enter(line, "connect", now_ms)
        error = sock.connect_ex(("127.0.0.1", self._port))
        if error not in (0, errno.EINPROGRESS):
            self._lose(line, now_ms)
        else:
            self._watch(line, _WRITE)

    def _enter(self, line: _Line, stage: str, now_ms: float) -> None:
        line.stage = stage
        self._set_due(line, now_ms + _STAGE_MS)

    def _watch(self, line: _Line, events: int) -> None:
        if events == line.events or line.sock is None:
            return
        if line.events:
            self._selector.modify(line.sock, events, line)
        else:
            self._selector.register(line.sock, events, line)
        line.events = events

    def _ready(self, line: _Line, events: int) -> None:
        now_ms = _now_ms()
        if line.sock is None:
            return  # it was closed since the selector spoke
        try:
            if line.stage == "connect":
                self._connected(line, now_ms)
            elif line.stage == "handshake":
                self._shake(line, now_ms)
            else:
                if events & _READ:
                    self._read(line, now_ms)
                if line.sock is not None:
                    self._flush(line, now_ms)
        except (OSError, ProtocolError):
            self._lose(line, now_ms)

    def _connected(self, line: _Line, now_ms: float) -> None:
        assert line.sock is not None
        error = line.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, "connect")
        if line.context is None:
            self._greet(line, now_ms)
            return
        self._selector.unregister(line.sock)
        line.events = 0
        line.sock = line.context.wrap_socket(
            line.sock, server_hostname="127.0.0.1", do_handshake_on_connect=False
        )
        self._enter(line, "handshake", now_ms)
        self._shake(line, now_ms)

    def _shake(self, line: _Line, now_ms: float) -> None:
        assert isinstance(line.sock, ssl.SSLSocket)
        try:
            line.sock.do_handshake()
        except ssl.SSLWantReadError:
            self._watch(line, _READ)
        except ssl.SSLWantWriteError:
            self._watch(line, _WRITE)
        else:
            self._greet(line, now_ms)

    def _greet(self, line: _Line, now_ms: float) -> None:
        line.gateway.greet()
        self._enter(line, "greet", now_ms)
        self._watch(line, _READ)
        self._flush(line, now_ms)

    def _read(self, line: _Line, now_ms: float) -> None:
        assert line.sock is not None
        while True:
            try:
                data = line.sock.recv(_READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            if not data:
                raise ConnectionResetError("closed by the broker")
            line.gateway.take(data, now_ms)
            if line.stage == "greet" and line.gateway.connected:
                line.stage = "open"
                self._set_due(line, line.gateway.next_ms())
            if line.context is None:
                return  # what is left is told again; TLS may hold it without a word

    def _flush(self, line: _Line, now_ms: float) -> None:
        out = line.gateway.out
        try:
            while out:
                assert line.sock is not None
                del out[: line.sock.send(out)]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self._watch(line, _READ | _WRITE)
            return
        except OSError:
            self._lose(line, now_ms)
            return
        self._watch(line, _READ)

    def _lose(self, line: _Line, now_ms: float) -> None:
        dear = line.stage != "connect"
        self._tally.counts["connections_lost"] += 1
        self._close(line)
        line.gateway.ended(line.began_ms, now_ms, dear)
        self._set_due(line, now_ms + line.gateway.pace.early_ms(int(now_ms)))

    def _close(self, line: _Line) -> None:
        if line.sock is not None:
            if line.events:
                self._selector.unregister(line.sock)
            line.sock.close()
        line.sock, line.stage, line.events = None, "", 0

    # --- what the parent asks ---

    def _obey(self) -> None:
        try:
            name, *arguments = self._pipe.recv()
        except EOFError:
            self._over = True
            return
        self._pipe.send(getattr(self, "do_" + name)(*arguments))

    def do_stop(self) -> None:
        self._over = True

    def do_speed(self, speed: float | None) -> None:
        """Let the logs grow at another speed, None for as fast as receipts come."""
        now_ms = _now_ms()
        for line in self._lines:
            line.gateway.run_at(speed, now_ms)
            if line.stage == "open":
                # A gateway that owes nothing has nothing to wait for either.
                line.gateway.nudge(now_ms)
                self._flush(line, now_ms)
                self._set_due(line, line.gateway.next_ms())

    def do_cut(self) -> None:
        """Take the network from all of them at once; their logs stand still meanwhile."""
        self._dark = True
        now_ms = _now_ms()
        for line in self._lines:
            self._close(line)
            line.gateway.run_at(0.0, now_ms)
            line.gateway.ended(now_ms, now_ms, False)

    def do_restore(self, skip_s: float) -> None:
        """Give the network back: each has a log that is `skip_s` longer, and all come at once."""
        self._dark = False
        now_ms = _now_ms()
        for line in self._lines:
            line.gateway.run_at(1.0, now_ms, 1000 * skip_s)
            line.gateway.pace.restart()
            self._set_due(line, now_ms)

    def do_state(self) -> dict[str, Any]:
        """Return how many gateways are in which state, and what the site is owed."""
        gateways = [line.gateway for line in self._lines]
        return {
            "connected": sum(gateway.connected for gateway in gateways),
            "up": sum(gateway.up for gateway in gateways),
            "behind": sum(gateway.behind for gateway in gateways),
            "owed": sum(gateway.owed for gateway in gateways),
        }

    def do_tally(self) -> dict[str, Any]:
        """Return what was seen since it was last asked, and begin anew."""
        tally, late_ms = self._tally, self._late_ms
        found = {
            "counts": dict(tally.counts),
            "wait_ms": _spread(tally.waits_ms),
            "age_ms": _spread(tally.ages_ms),
            "old_ms": _spread(tally.old_ms),
            "late_ms": _spread(late_ms),
            "cpu_s": time.process_time(),
        }
        tally.counts.clear()
        for numbers in (tally.waits_ms, tally.ages_ms, tally.old_ms, late_ms):
            numbers.clear()
        return found

    def do_marks(self) -> list[dict[tuple[int, int], int]]:
        """Return, by gateway, how much of each sector was ever receipted."""
        return [dict(line.gateway.marks) for line in self._lines]


def serve(order: Order, pipe: Connection) -> None:
    """The process."""
    Crowd(order, pipe).run()


def _now_ms() -> float:
    return time.monotonic_ns() / 1e6


def _spread(numbers: list[float]) -> dict[str, float]:
    if not numbers:
        return {}
    found = {f"p{n}": percentile(numbers, n) for n in (50, 99)}
    return found | {"max": max(numbers), "count": len(numbers)}


def _context(folder: Path | None, number: int) -> ssl.SSLContext | None:
    if folder is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # As stock MicroPython does.
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(folder / "ca.pem")
    context.load_cert_chain(folder / f"{number:05d}.pem")
    return context
