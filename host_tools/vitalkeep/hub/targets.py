"""Where alarms are told: a webhook or a file. Each notice has an id that is the same every time.

The id is the alarm's position in its gateway's log, so whoever gets one twice can see it; the term
is of the duty under which it was told: a receiver may refuse a lower one than it has seen.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

Notice = Mapping[str, Any]


class TargetError(Exception):
    """The target did not take it; the message says why in a few words."""


class Target(Protocol):
    """What takes notices."""

    async def send(self, notice: Notice, within_s: float) -> None:
        """Return when it has the notice for good; raises TargetError."""

    async def close(self) -> None: ...


def check_target(address: str) -> None:
    """Raise ValueError for an address that is none of a target."""
    parts = urlsplit(address)
    file = parts.scheme == "file" and not parts.netloc and parts.path.startswith("/")
    if not file and not (parts.scheme in ("http", "https") and parts.hostname):
        raise ValueError("want https://host/path, http://host/path or file:/path")


def make_target(address: str, token: str | None = None) -> Target:
    """Return the target at an address that was checked."""
    parts = urlsplit(address)
    return Lines(Path(parts.path)) if parts.scheme == "file" else Webhook(address, token)


class Lines:
    """A file that grows by a line of JSON a notice, on the disk before it counts as told."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, notice: Notice, within_s: float) -> None:
        line = json.dumps(dict(notice), separators=(",", ":")) + "\n"
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._append, line)
        except OSError as error:
            raise TargetError(f"{self._path}: {error.strerror}") from None

    def _append(self, line: str) -> None:
        # One write: lines of two processes do not mix.
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, line.encode())
            os.fsync(handle)
        finally:
            os.close(handle)

    async def close(self) -> None:
        pass


class Webhook:
    """An address that answers a POST of JSON with 2xx when it has it."""

    def __init__(self, url: str, token: str | None) -> None:
        import httpx  # here, as most hubs tell nobody

        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._url = url
        self._client = httpx.AsyncClient(headers=headers)
        self._error = httpx.HTTPError

    async def send(self, notice: Notice, within_s: float) -> None:
        headers = {"idempotency-key": str(notice["id"])}
        try:
            answer = await self._client.post(
                self._url, json=dict(notice), headers=headers, timeout=within_s
            )
        except self._error as error:
            raise TargetError(str(error) or type(error).__name__) from None
        if not answer.is_success:
            raise TargetError(f"HTTP {answer.status_code}")

    async def close(self) -> None:
        await self._client.aclose()
