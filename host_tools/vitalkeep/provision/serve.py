"""Serves the guided page to this computer's own browser, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import html
import os
import secrets
import signal
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from vitalkeep.hub.serving import listen, quiet_server
from vitalkeep.provision.guide import Guide
from vitalkeep.provision.moves import Moves
from vitalkeep.provision.page import Door, make_app
from vitalkeep.provision.runs import Run

HOST = "127.0.0.1"
_LOOK_S = 1.0
_WAIT_S = 0.2
_STOP_S = 5.0

_LEADS = """\
<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0;url={url}"><title>Vitalkeep</title><a href="{url}">Go on</a>
"""

Say = Callable[[str], None]


def serve_page(make: Callable[[Callable[[], None]], Guide], say: Say) -> bool:
    """Serve a page until Ctrl-C or SIGTERM; say whether every run came to the end of its step.

    make  returns what is shown; it is given what is to be called when that has changed
    say   tells whoever sits at the terminal
    """
    return asyncio.run(_serve(make, say))


async def _serve(make: Callable[[Callable[[], None]], Guide], say: Say) -> bool:
    end, at_once = _signals()
    moves = Moves()
    guide = make(moves.moved)
    sock = listen(HOST, 0, "the page", "Is the loopback interface of this computer up?")
    host = f"{HOST}:{sock.getsockname()[1]}"
    token = secrets.token_urlsafe(32)
    door = Door(make_app(guide, moves), host, token)
    server = quiet_server(door)
    tasks = [asyncio.create_task(server.serve(sockets=[sock]))]
    try:
        await asyncio.to_thread(guide.look)
        tasks.append(asyncio.create_task(_look(guide, moves)))
        with _shown(f"http://{host}/#{token}", say):
            await end.wait()
            guide.runs.end()
            is_whole = await _wait(guide, at_once, say)
    finally:
        moves.end()
        server.should_exit = True
        for task in tasks[1:]:
            task.cancel()
        await asyncio.wait(tasks, timeout=_STOP_S)
    if door.refused:
        why = ", ".join(f"{cause} {count}" for cause, count in sorted(door.refused.items()))
        say(f"not let in: {why}")
    return is_whole


def _signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Return what the first Ctrl-C sets, and what the second does."""
    end, at_once = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def told() -> None:
        (at_once if end.is_set() else end).set()

    def told_on_windows(*_: object) -> None:
        loop.call_soon_threadsafe(told)

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, told)
        except NotImplementedError:
            signal.signal(number, told_on_windows)
    return end, at_once


async def _look(guide: Guide, moves: Moves) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        if await asyncio.to_thread(guide.look):
            moves.moved()


async def _wait(guide: Guide, at_once: asyncio.Event, say: Say) -> bool:
    """Wait for the ends of steps and return True, or break them off and return False."""
    going = guide.runs.at_work()
    if not going:
        return True
    say(f"waits for the end of a step: {', '.join(map(_shown_run, going))}")
    say("Nothing is lost: what is left is done the next time. Ctrl-C again breaks it off.")
    while guide.runs.at_work() and not at_once.is_set():
        await asyncio.sleep(_WAIT_S)
    if not guide.runs.at_work():
        return True
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            # esptool and mpremote (board/program.py); a browser may be our child, too.
            if child.cmdline()[:2] == [sys.executable, "-m"]:
                child.kill()
    say("broken off: run the same again, it goes on from there")
    return False


def _shown_run(run: Run) -> str:
    return f"{run.asked.bed} ({run.steps[-1].name if run.steps else 'it begins'})"


@contextlib.contextmanager
def _shown(url: str, say: Say) -> Iterator[None]:
    """Have a browser show the page, where there is a display; its address is said anyway."""
    say(f"the page is at {url}")
    say("Ctrl-C ends it.")
    if not _has_display():
        yield
        return
    with tempfile.TemporaryDirectory(prefix="vitalkeep-") as folder:
        # A browser is told a file that leads there: all users see the arguments of a program.
        path = Path(folder) / "page.html"
        path.touch(0o600)
        path.write_text(_LEADS.format(url=html.escape(url)))
        threading.Thread(target=_open, args=(path.as_uri(),), daemon=True).start()
        yield


def _open(address: str) -> None:
    with contextlib.suppress(webbrowser.Error):
        webbrowser.open(address)


def _has_display() -> bool:
    if os.name == "nt" or sys.platform == "darwin":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
