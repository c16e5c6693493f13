"""One run at a time: two that take the same files would count everything twice."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.exc import SQLAlchemyError

from vitalkeep.errors import ToolError
from vitalkeep.hub.store import Store, StoreError


@contextlib.contextmanager
def turn(store: Store, system: str) -> Iterator[None]:
    """Be the one who changes what came from a system, until this ends or the process does.

    Raises  ToolError when another does, StoreError
    """
    held = _file(store, system) if store.kind == "sqlite" else _session(store, system)
    if held is None:
        raise ToolError(
            f"{store.address}: another run works on {system}",
            "Wait until it is done, then run the same command: it goes on.",
        )
    with held:
        yield


def _file(store: Store, system: str) -> contextlib.AbstractContextManager[Any] | None:
    lock = FileLock(f"{store.writer.url.database}-{system}.lock", timeout=0)
    try:
        return lock.acquire()
    except Timeout:
        return None
    except OSError as error:
        raise StoreError(f"{lock.lock_file}: {error.strerror}") from None


def _session(store: Store, system: str) -> contextlib.AbstractContextManager[Any] | None:
    """Take PostgreSQL's lock of a session, in one of its own, which gives it back as it closes."""
    digest = hashlib.sha256(b"vitalkeep migrate\0" + system.encode()).digest()
    key = int.from_bytes(digest[:8], "big", signed=True)
    try:
        held = store.writer.connect().execution_options(isolation_level="AUTOCOMMIT")
        held.detach()
        if held.execute(sa.select(sa.func.pg_try_advisory_lock(key))).scalar_one():
            return held
        held.close()
    except SQLAlchemyError as error:
        raise StoreError(str(error).splitlines()[0]) from None
    return None
