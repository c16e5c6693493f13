"""Tells systemd that the hub has started, is alive, and what it waits for (sd_notify(3))."""

from __future__ import annotations

import asyncio
import os
import socket

from vitalkeep.hub import readiness
from vitalkeep.hub.context import Context

_STATUS_S = 5.0


def notify(text: str) -> bool:
    """Send assignments, a line each, to the service manager; returns False where there is none."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(text.encode(), address)
        except OSError:
            return False
    return True


def watchdog_s() -> float | None:
    """Return how often systemd wants to hear from this process, None for never."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1e6


async def run(hub: Context) -> None:
    # Started is not ready: a hub that waits for its broker is no reason to start it again.
    if not notify("READY=1"):
        return
    watch = watchdog_s()
    every_s = min(_STATUS_S, watch / 3) if watch else _STATUS_S
    try:
        while True:
            status = "; ".join(readiness.reasons(hub)) or "receipting"
            notify(f"WATCHDOG=1\nSTATUS={status}")
            await asyncio.sleep(every_s)
    finally:
        notify("STOPPING=1")
