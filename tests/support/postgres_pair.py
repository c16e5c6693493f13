"""A PostgreSQL server with a synchronous standby that can be promoted."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hil.board import as_user
from hil.postgres import ROLE, other_user
from tests.support.needs import find_postgres
from tests.support.processes import running

PRIMARY, STANDBY = 5432, 5433  # numbers of sockets in a folder: nothing listens on TCP


class Pair:
    """Two servers on sockets in one folder; `url` leads to the one that takes writes."""

    def __init__(self, folder: Path, primary: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.primary = primary

    @property
    def url(self) -> str:
        hosts = f"host={self.folder}:{PRIMARY}&host={self.folder}:{STANDBY}"
        return f"postgresql+psycopg://{ROLE}@/postgres?{hosts}&target_session_attrs=read-write"

    def fail_over(self) -> None:
        """kill -9 the primary and promote the standby."""
        # All at once, as a machine dies: its postmaster would tell nobody, its children might.
        subprocess.run(["pkill", "-KILL", "-P", str(self.primary.pid)], check=False)
        self.primary.send_signal(signal.SIGKILL)
        self.primary.wait()
        _run([f"{find_postgres()}/pg_ctl", "promote", "-w", "-D", str(self.folder / "standby")])


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, cwd="/", **as_user(other_user()), capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr


def _server(stack: contextlib.ExitStack, folder: Path, name: str, port: int):
    programs = find_postgres()
    command = [f"{programs}/postgres", "-D", str(folder / name), "-k", str(folder), "-F"]
    command += ["-p", str(port), "-c", "listen_addresses="]
    ready = [f"{programs}/pg_isready", "-q", "-h", str(folder), "-p", str(port), "-U", ROLE]

    def answers() -> bool:
        return subprocess.run(ready, check=False).returncode == 0

    log = folder / f"{name}.log"
    return stack.enter_context(running(command, log, answers, other_user(), signal.SIGINT))


@contextlib.contextmanager
def postgres_pair() -> Iterator[Pair]:
    """Yield a pair of which the standby has each commit on its disk before it returns."""
    programs = find_postgres()
    assert programs is not None, "no PostgreSQL here"
    user = other_user()
    folder = Path(tempfile.mkdtemp(prefix="vk-pg-"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        made = [f"{programs}/initdb", "-D", str(folder / "primary"), "-U", ROLE, "-A", "trust"]
        _run([*made, "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"])
        with contextlib.ExitStack() as stack:
            primary = _server(stack, folder, "primary", PRIMARY)
            at = ["-h", str(folder), "-p", str(PRIMARY), "-U", ROLE]
            _run([f"{programs}/pg_basebackup", "-D", str(folder / "standby"), *at, "-R"])
            _server(stack, folder, "standby", STANDBY)
            psql = [f"{programs}/psql", *at, "-d", "postgres", "-q", "-c"]
            _run([*psql, "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'"])
            _run([*psql, "SELECT pg_reload_conf()"])
            yield Pair(folder, primary)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
