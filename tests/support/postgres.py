"""A PostgreSQL server of the test run's own, and a fresh database for each test."""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.needs import find_postgres
from tests.support.processes import running

_ROLE = "vitalkeep"
_numbers = itertools.count(1)


def _other_user() -> str | None:
    """Return whom the server runs as: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    import pwd  # not on Windows

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@contextlib.contextmanager
def postgres_server() -> Iterator[Path]:
    """Yield the folder of the socket on which a server answers."""
    programs = find_postgres()
    assert programs is not None, "no PostgreSQL here"
    user = _other_user()
    # Short, as a socket's path must be, and open to the other user, as pytest's folders are not.
    folder = Path(tempfile.mkdtemp(prefix="vk-pg-"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        data = folder / "data"
        initdb = [f"{programs}/initdb", "-D", str(data), "-U", _ROLE, "-A", "trust"]
        initdb += ["-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        subprocess.run(
            initdb,
            check=True,
            cwd="/",
            user=user,
            extra_groups=[] if user else None,
            stdout=subprocess.DEVNULL,
        )
        # No TCP port that others could see; no fsync, since only processes are killed here.
        server = [f"{programs}/postgres", "-D", str(data), "-k", str(folder), "-F"]
        server += ["-c", "listen_addresses=", "-c", "max_connections=50"]
        ready = [f"{programs}/pg_isready", "-q", "-h", str(folder), "-U", _ROLE]

        def answers() -> bool:
            return subprocess.run(ready, check=False).returncode == 0

        with running(server, folder / "log", answers, user, signal.SIGINT):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _postgres_folder() -> Iterator[Path]:
    with postgres_server() as folder:
        yield folder


@pytest.fixture
def postgres(_postgres_folder: Path) -> str:
    """The SQLAlchemy URL of a fresh, empty database."""
    import psycopg
    from psycopg import sql

    name = f"test_{next(_numbers)}"
    server = f"host={_postgres_folder} user={_ROLE} dbname=postgres"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return f"postgresql+psycopg://{_ROLE}@/{name}?host={_postgres_folder}"
