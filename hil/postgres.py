"""A PostgreSQL server of the rig's own: made, started, stopped, killed, and thrown away."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from hil.board import as_user, die_with_the_rig
from hil.errors import RigError

ROLE = "vitalkeep"
_READY_S = 30
_STOP_S = 10
_POLL_S = 0.05


def find_postgres() -> str | None:
    """Return the folder with initdb and postgres, of the newest version."""
    folders = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = sorted(folders, key=lambda file: float(file.parts[-3]))
    if newest:
        return str(newest[-1].parent)
    found = shutil.which("initdb")
    return str(Path(found).parent) if found else None


def other_user() -> str | None:
    """Return whom the server runs as: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    import pwd  # not on Windows

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class PostgresServer:
    """One server that nobody else sees: it listens on a socket in its folder alone. `with` it.

    durable  as in production; without it a commit does not wait for the disk, which is enough
             where only processes are killed
    folder   of the socket
    """

    def __init__(self, durable: bool = True) -> None:
        programs = find_postgres()
        if programs is None:
            raise RigError(
                "PostgreSQL is not installed here.", "Install it: apt-get install postgresql."
            )
        self._programs = programs
        self._durable = durable
        self._user = other_user()
        self._process: subprocess.Popen[bytes] | None = None
        # Short, as a socket's path must be, and open to the other user.
        self.folder = Path(tempfile.mkdtemp(prefix="vk-pg-"))
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def _make(self) -> None:
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        initdb = [f"{self._programs}/initdb", "-D", str(self.folder / "data"), "-U", ROLE]
        initdb += ["-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        subprocess.run(
            initdb,
            check=True,
            cwd="/",
            **as_user(self._user),
            stdout=subprocess.DEVNULL,
        )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def server(self) -> str:
        """Return libpq's words for a connection to the server's own database."""
        return f"host={self.folder} user={ROLE} dbname=postgres"

    def url(self, name: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://{ROLE}@/{name}?host={self.folder}"

    def start(self) -> None:
        """Start it and wait until it answers; raises RigError with its last words."""
        command = [f"{self._programs}/postgres", "-D", str(self.folder / "data")]
        command += ["-k", str(self.folder), "-c", "listen_addresses=", "-c", "max_connections=50"]
        if not self._durable:
            command.append("-F")
        log = self.folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                **as_user(self._user),
                preexec_fn=die_with_the_rig,
            )
        until = time.monotonic() + _READY_S
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > until:
                words = log.read_text(errors="replace")[-2000:]
                raise RigError("PostgreSQL did not start.", words or "It said nothing.")
            time.sleep(_POLL_S)

    def answers(self) -> bool:
        ready = [f"{self._programs}/pg_isready", "-q", "-h", str(self.folder), "-U", ROLE]
        return subprocess.run(ready, check=False).returncode == 0

    def create(self, name: str) -> str:
        """Make an empty database and return its URL."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop it, its connections cut; SIGQUIT is a crash, after which it recovers."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Stop it and remove what it had."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> PostgresServer:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
