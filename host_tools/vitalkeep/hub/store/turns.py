"""One run at a time on what came from a system: two of the same files would count it twice."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.exc import SQLAlchemyError

from vitalkeep.errors import ToolError
from vitalkeep.hub.store.database import Database, StoreError


class Turns(Database):
    """Locks that end with their process, however it ends."""

    @contextlib.contextmanager
    def turn(self, system: str) -> Iterator[None]:
        """Be the one who changes what came from a system, until this ends or the process does.

        Raises  ToolError when another does, StoreError
        """
        held = self._file_lock(system) if self.kind == "sqlite" else self._session_lock(system)
        if held is None:
            raise ToolError(
                f"{self.address}: another run works on {system}",
                "Wait until it is done, then run the same command: it goes on.",
            )
        with held:
            yield

    def _file_lock(self, system: str) -> contextlib.AbstractContextManager[Any] | None:
        lock = FileLock(f"{self.writer.url.database}-{system}.lock", timeout=0)
        try:
            return lock.acquire()
        except Timeout:
            return None
        except OSError as error:
            raise StoreError(f"{lock.lock_file}: {error.strerror}") from None

    def _session_lock(self, system: str) -> contextlib.AbstractContextManager[Any] | None:
        """Take a lock of PostgreSQL's in a session of its own, which gives it back at its end."""
        digest = hashlib.sha256(b"vitalkeep migrate\0" + system.encode()).digest()
        key = int.from_bytes(digest[:8], "big", signed=True)
        try:
            held = self.writer.connect().execution_options(isolation_level="AUTOCOMMIT")
            held.detach()
            if held.execute(sa.select(sa.func.pg_try_advisory_lock(key))).scalar_one():
                return held
            held.close()
        except SQLAlchemyError as error:
            raise StoreError(str(error).splitlines()[0]) from None
        return None
