"""Checks of this machine: files and their modes, the disk, the ports, the clock."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import stat
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from bridge.core import sntp, timewire
from bridge.core.errors import FormatError
from vitalkeep.errors import ToolError
from vitalkeep.hub.doctor.findings import BAD, GOOD, WARN, Findings
from vitalkeep.hub.timeserver import clock_sync
from vitalkeep.keys.vault import Vault

_ASK_S = 3.0
_OFF_WARN_MS, _OFF_BAD_MS = 200, 2000
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check_vault(findings: Findings, folder: Path) -> None:
    """Open the vault as the hub would: its modes, its lock, its content."""
    with findings.of("vault"):
        vault = Vault.open(folder)
        count = len(vault.gateways())
        text = f"{folder}: site {vault.site_name}, {count} gateway{'' if count == 1 else 's'}"
        if count:
            findings.add("vault", GOOD, text)
        else:
            findings.add("vault", WARN, text, "Provision one: nobody can send to this hub yet.")


def check_data(findings: Findings, folder: Path, file: Path | None) -> None:
    """Look at the folder for the data and at SQLite's file in it."""
    if not folder.is_dir():
        action = "vitalkeep hub makes it; or name another: --data DIR."
        findings.add("files", WARN, f"{folder}: there is no such folder yet", action)
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        findings.add("files", BAD, f"{folder}: not writable for this user", f"chown it: {folder}")
        return
    for path, mode in ((folder, 0o700), (file, 0o600)):
        if path is not None and path.exists() and path.stat().st_mode & _OTHERS:
            found = stat.S_IMODE(path.stat().st_mode)
            text = f"{path}: mode {found:o} lets others in; it holds patients' values"
            findings.add("files", BAD, text, f"Run: chmod {mode:o} {path}")
            return
    findings.add("files", GOOD, f"{folder}: for its owner alone")


def check_disk(findings: Findings, folder: Path, reserve_bytes: int) -> None:
    """Look at the disk that holds a folder."""
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    text = f"{folder}: {usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB are free"
    if usage.free < reserve_bytes:
        findings.add("disk", BAD, text, "Make room, or the hub stops receipting.")
    elif usage.free < usage.total / 10:
        findings.add("disk", WARN, text, "Make room, or move the data: --data DIR.")
    else:
        findings.add("disk", GOOD, text)


def check_page(findings: Findings, host: str, port: int) -> None:
    """Find the page's port free, or the hub that has it ready."""
    where = f"{host}:{port}"
    taken = _taken(host, port, socket.SOCK_STREAM)
    if taken is None:
        findings.add("page", GOOD, f"{where} is free")
    elif taken != errno.EADDRINUSE:
        text = f"cannot listen on {where}: {os.strerror(taken)}"
        findings.add("page", BAD, text, "Name an address of this machine: --http HOST:PORT.")
    else:
        _ask_hub(findings, where)


def _ask_hub(findings: Findings, where: str) -> None:
    try:
        with urlopen(f"http://{where}/readyz", timeout=_ASK_S) as answer:
            found = json.load(answer)
    except HTTPError as error:
        try:
            found = json.load(error)
        except ValueError:
            found = None
    except (URLError, OSError, ValueError):
        found = None
    if not isinstance(found, dict) or "ready" not in found:
        text = f"{where} is taken by something that is no hub"
        findings.add("page", BAD, text, "Stop it, or choose another: --http HOST:PORT.")
    elif found["ready"]:
        findings.add("page", GOOD, f"a hub runs at {where} and is ready")
    else:
        why = "; ".join(map(str, found.get("why", ())))
        findings.add("page", BAD, f"the hub at {where} is not ready: {why}", "See these reasons.")


def check_time_port(findings: Findings, host: str, port: int, may_fail: bool) -> None:
    """Find the port of the time free; a hub that runs has it."""
    taken = _taken(host, port, socket.SOCK_DGRAM)
    if taken is None:
        findings.add("time", GOOD, f"udp {host}:{port} is free")
    elif taken == errno.EADDRINUSE:
        action = "Nothing to do if that is this hub. Else: --time HOST:PORT."
        findings.add("time", WARN, f"udp {host}:{port} is taken", action)
    else:
        level = WARN if may_fail else BAD
        text = f"udp {host}:{port}: {os.strerror(taken)}"
        findings.add("time", level, text, "Name an address of this machine: --time HOST:PORT.")


def _taken(host: str, port: int, kind: int) -> int | None:
    """Return the error of taking a port, None when it is free."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=kind)[0]
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            if kind == socket.SOCK_STREAM:
                probe.listen(1)
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as error:
        return error.errno or errno.EIO
    return None


def check_clock(findings: Findings, server: str | None, database_ms: int | None) -> None:
    """Compare this machine's clock with whoever can be asked.

    server       "host" or "host:port" of NTP, None for none
    database_ms  how far the database's clock is ahead, None when it has none of its own
    """
    sync = clock_sync()
    if sync == timewire.SYNC_LOST:
        action = "Start chrony or systemd-timesyncd: gateways take their time from this clock."
        findings.add("clock", WARN, "nothing keeps this machine's clock right", action)
    elif sync == timewire.SYNC_GOOD:
        findings.add("clock", GOOD, "this machine's clock is kept right")
    if database_ms is not None:
        _offset(findings, "the database's", database_ms)
    if server is not None:
        with findings.of("clock"):
            _offset(findings, f"{server}'s", ask_ntp(server))


def _offset(findings: Findings, whose: str, ahead_ms: int) -> None:
    text = f"this clock is {abs(ahead_ms)} ms {'behind' if ahead_ms > 0 else 'ahead of'} {whose}"
    if abs(ahead_ms) < _OFF_WARN_MS:
        findings.add("clock", GOOD, text)
    else:
        level = BAD if abs(ahead_ms) >= _OFF_BAD_MS else WARN
        findings.add("clock", level, text, "Let both follow the same time servers.")


def ask_ntp(server: str) -> int:
    """Return how far an NTP server's clock is ahead of this one in ms; raises ToolError."""
    host, _, port = server.partition(":")  # an IPv6 address comes without a port
    if ":" in port:
        host, port = server, ""
    nonce = os.urandom(sntp.NONCE_SIZE)
    try:
        kind = socket.SOCK_DGRAM
        family, _, _, _, address = socket.getaddrinfo(host, port or sntp.PORT, type=kind)[0]
        with socket.socket(family, kind) as sock:
            sock.settimeout(_ASK_S)
            sock.connect(address)
            asked_ms = time.time_ns() // 1_000_000
            sock.send(sntp.request(nonce))
            answer = sock.recv(512)
            heard_ms = time.time_ns() // 1_000_000
        offset_ms: int = sntp.parse(answer, nonce).judge(asked_ms, heard_ms)[0]
    except (OSError, ValueError, FormatError) as error:
        raise ToolError(
            f"{server} does not tell the time: {error}", "Name a server that runs: --ntp HOST."
        ) from None
    return offset_ms
