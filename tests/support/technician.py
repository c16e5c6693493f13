"""`vitalkeep setup --page` in this process, and somebody in front of the page."""

from __future__ import annotations

import json
import os
import queue
import signal
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import httpx
import pytest

from tests.support.bedside import Bedside
from vitalkeep import cli
from vitalkeep.provision.page import TOKEN

_BEGIN_S = 30.0
_RUN_S = 120.0


class Technician:
    """Asks the page what it shows, and begins runs, as the page's script does.

    url, token  the two parts of the address
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.url, _, self.token = address.partition("#")
        self.origin = self.url.rstrip("/")
        self._client = httpx.Client(base_url=self.url, trust_env=False, timeout=30)
        self.answers: list[str] = []

    def ask(self, method: str, path: str, **headers: str) -> httpx.Response:
        """Ask without any header but these."""
        return self._client.request(method, path, headers=headers)

    def state(self, seen: int = 0) -> dict[str, Any]:
        answer = self._client.get(f"/api/state?seen={seen}", headers={TOKEN: self.token})
        self.answers.append(answer.text)
        return answer.raise_for_status().json()

    def begin(self, bed: str, board: str, silent: bool = False) -> httpx.Response:
        order = json.dumps({"bed": bed, "board": board, "silent": silent})
        return self.post(order)

    def post(self, order: str | bytes) -> httpx.Response:
        headers = {TOKEN: self.token, "origin": self.origin}
        answer = self._client.post("/api/runs", headers=headers, content=order)
        self.answers.append(answer.text)
        return answer

    def label(self, bed: str) -> httpx.Response:
        return self._client.get("/api/label", params={"bed": bed}, headers={TOKEN: self.token})

    def wait_for(self, ready: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Follow the page until it shows what is waited for."""
        until = time.monotonic() + _RUN_S
        state = self.state()
        while not ready(state):
            assert time.monotonic() < until, state
            state = self.state(state["number"])
        return state


def at_the_page(
    bedside: Bedside, story: Callable[[Technician], None], *words: object
) -> tuple[int, str]:
    """Run the command until a story, in a thread of its own, is over; then comes Ctrl-C.

    Returns  its exit code, and what it said in the terminal
    """
    opened: queue.Queue[str] = queue.Queue()
    bedside.patch.setenv("DISPLAY", ":1")
    bedside.patch.setattr("webbrowser.open", lambda address: opened.put(address))
    ended = threading.Event()
    failed: list[BaseException] = []

    def tell() -> None:
        try:
            story(Technician(_lead(opened.get(timeout=_BEGIN_S))))
        except BaseException as error:
            failed.append(error)
        finally:
            if not ended.is_set():
                os.kill(os.getpid(), signal.SIGINT)

    teller = threading.Thread(target=tell)
    teller.start()
    arguments = ["setup", "--page", "--ward", bedside.ward, *words, *bedside.office()]
    try:
        with pytest.raises(SystemExit) as done:
            cli.main([str(argument) for argument in arguments])
    finally:
        ended.set()
        teller.join()
    said = bedside.capsys.readouterr()
    if failed:
        raise failed[0]
    return done.value.code or 0, said.out + said.err


def _lead(address: str) -> str:
    """Return where the file leads that a browser was told: nobody else may read it."""
    path = Path(unquote(urlparse(address).path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    found = path.read_text().partition("url=")[2].partition('"')[0]
    assert "#" in found
    assert found.partition("#")[2] not in address
    return found
