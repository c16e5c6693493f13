"""A PostgreSQL server of the test run's own, and a fresh database for each test."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hil.postgres import PostgresServer

_numbers = itertools.count(1)


@contextlib.contextmanager
def postgres_server() -> Iterator[Path]:
    """Yield the folder of the socket on which a server answers."""
    with PostgresServer(durable=False) as server:
        yield server.folder


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer(durable=False) as server:
        yield server


@pytest.fixture
def databases(_postgres_server: PostgresServer) -> Callable[[], str]:
    """Makes a fresh, empty database and returns its SQLAlchemy URL."""
    return lambda: _postgres_server.create(f"test_{next(_numbers)}")


@pytest.fixture
def postgres(databases: Callable[[], str]) -> str:
    """The SQLAlchemy URL of a fresh, empty database."""
    return databases()
