"""Object storage by any fsspec address: objects are written whole or not at all, and never over.

Whatever a storage says about a failed request becomes one of six outcomes, each with what to do.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import logging
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

from vitalkeep.errors import ToolError

log = logging.getLogger(__name__)

# What becomes of the retention lock of an object
NO_LOCK = "none"  # none is wanted, or the storage offers none
LOCKED = "locked"
UNLOCKED = "unlocked"  # it is wanted, and refused: the object stands there all the same
UNKNOWN = "unknown"  # nothing was written yet, or nobody may ask: then each object is to have it

# What happened to a request
FULL = "full"
DENIED = "denied"
MISSING = "missing"
UNREACHABLE = "unreachable"
DIFFERS = "differs"  # what was read back is not what was written
FAILED = "failed"

_HINTS = {
    FULL: "Make room, or raise the quota; nothing was lost, and it is tried again.",
    DENIED: "Give the hub's account the right to put, get and list there.",
    MISSING: "Check the address of the archive, and that the bucket or folder exists.",
    UNREACHABLE: "Check the network and the storage; it is tried again.",
    DIFFERS: "The storage changed what it was given: do not trust it before it is repaired.",
    FAILED: "See what the storage says.",
}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_S3_FULL = ("QuotaExceeded", "XMinioStorageFull", "StorageFull", "InsufficientCapacity")
# What a service says that has no Object Lock, or none for this bucket
_S3_NO_LOCK = (
    "ObjectLockConfigurationNotFoundError", "NotImplemented", "MethodNotAllowed", "InvalidRequest",
)  # fmt: skip
_TMP = ".part-"
_PART = re.compile(r"\.part-[0-9a-f]{16}")
_ABANDONED_S = 24 * 3600.0  # nobody writes one object for so long
_S3 = ("s3", "s3a")
_S3_PATIENCE = {"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 2}}


class BucketError(Exception):
    """A request that failed; `code` is one of the constants above, `hint` what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.hint = _HINTS[code]

    def tool_error(self) -> ToolError:
        """Return it as the failure of a command."""
        return ToolError(str(self), self.hint)


class Bucket:
    """A place for objects.

    address    as fsspec has them: s3://bucket/prefix, file:///folder, memory://folder
    options    for the fsspec file system, such as endpoint_url; secrets come from the environment
    lock_days  how long each object is to be locked where the storage offers that, 0 for never
    lock       what became of the last object's lock, one of the constants above; lock_refusal:
               what the storage said to an UNLOCKED one
    unlocked   objects that were written without the lock that they should have
    Raises     ToolError when the address or what it needs is not there
    """

    def __init__(
        self, address: str, options: dict[str, Any] | None = None, lock_days: int = 0
    ) -> None:
        import fsspec

        self.address = address
        protocol = address.split("://")[0] if "://" in address else "file"
        settings = {"use_listings_cache": False, **(options or {})}
        if protocol in _S3:
            settings.setdefault("config_kwargs", _S3_PATIENCE)
        try:
            self._fs, self._root = fsspec.core.url_to_fs(address, **settings)
        except (ImportError, ValueError) as error:
            hint = "Install what it needs: pip install 'vitalkeep[s3]'."
            raise ToolError(f"{address.split('://')[0]}: {error}", hint) from None
        self._root = self._root.rstrip("/")
        self._local = "file" in _protocols(self._fs)
        self._s3 = bool(set(_S3) & set(_protocols(self._fs)))
        self._lock_days = lock_days
        self._locks = False
        self.lock = UNKNOWN if self._s3 and lock_days else NO_LOCK
        self.lock_refusal = ""
        self.unlocked = 0
        self._sweep_at = monotonic()

    def __repr__(self) -> str:
        return f"<Bucket {self.address}>"

    # --- writing ---

    def put(self, name: str, data: bytes) -> bool:
        """Write an object and read it back; returns False when it was there already, the same.

        Raises  BucketError; what stands under the name then is nothing, or all of `data`
        """
        with _outcomes(name):
            fresh = self._create(name, data)
        if self.get(name) != data:
            raise BucketError(DIFFERS, f"{name}: what was read back is not what was written")
        return fresh

    def _create(self, name: str, data: bytes) -> bool:
        path = self._path(name)
        if self._local:
            self._check_root()
            fresh = _create_file(Path(path), data)
            if fresh and monotonic() >= self._sweep_at:
                self._sweep_at = monotonic() + _ABANDONED_S
                # By the clock of the disk, which may be another machine's.
                self._sweep(os.stat(path).st_mtime - _ABANDONED_S)
            return fresh
        try:
            self._write(path, data)
        except FileExistsError:
            return False
        return True

    def _write(self, path: str, data: bytes) -> None:
        """Write an object with its lock: without it where that is refused, as that is no reason
        to have no copy.
        """
        if self._ask_lock() == NO_LOCK:
            self._fs.pipe_file(path, data, mode="create")
            self.lock, self.lock_refusal = NO_LOCK, ""
            return
        try:
            self._fs.pipe_file(path, data, mode="create", **self._retention())
            self.lock, self.lock_refusal = LOCKED, ""
        except OSError as error:
            if not isinstance(error, PermissionError) and _s3_code(error) not in _S3_NO_LOCK:
                raise
            self._fs.pipe_file(path, data, mode="create")
            self.lock, self.lock_refusal = UNLOCKED, _text(error)
            self.unlocked += 1
            log.error("%s is written without its retention lock: %s", path, self.lock_refusal)

    def _retention(self) -> dict[str, Any]:
        until = dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=self._lock_days)
        return {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}

    def _ask_lock(self) -> str:
        """Return whether objects will be LOCKED, NO_LOCK or UNKNOWN.

        Asked anew until it is yes: somebody may give the right, or set the lock up.
        """
        if not self._s3 or not self._lock_days:
            return NO_LOCK
        if not self._locks:
            try:
                found = self._fs.call_s3("get_object_lock_configuration", Bucket=self._bucket())
            except PermissionError:
                return UNKNOWN
            except OSError as error:
                if _s3_code(error) not in _S3_NO_LOCK:
                    raise  # it may be offered all the same: nothing is written unlocked for that
                return NO_LOCK
            rule = found.get("ObjectLockConfiguration", {})
            self._locks = rule.get("ObjectLockEnabled") == "Enabled"
        return LOCKED if self._locks else NO_LOCK

    def _sweep(self, before_s: float) -> None:
        """Remove what writers began before a time and were cut off over.

        One that is not dead after all finds its own file gone, and writes the object anew.
        """
        count = 0
        for folder, _, names in os.walk(self._root):
            for name in filter(_PART.fullmatch, names):
                path = Path(folder, name)
                try:
                    found = path.lstat()
                    if stat.S_ISREG(found.st_mode) and found.st_mtime < before_s:
                        path.unlink()
                        count += 1
                except FileNotFoundError:
                    pass  # another hub swept it
                except OSError as error:
                    log.warning("%s stays: %s", path, error.strerror)
        if count:
            log.warning("%s: %d unfinished files are removed", self.address, count)

    # --- reading ---

    def look(self) -> str:
        """Reach a folder or S3; returns whether objects will be LOCKED, NO_LOCK or UNKNOWN.

        Raises  BucketError
        """
        with _outcomes(self.address):
            self._check_root()
            if self._s3:
                self._fs.call_s3("list_objects_v2", Bucket=self._bucket(), MaxKeys=1)
            return self._ask_lock()

    def get(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """Return an object's bytes, or those from `start` up to `end`; raises BucketError."""
        with _outcomes(name):
            return bytes(self._fs.cat_file(self._path(name), start=start or None, end=end))

    def names(self, prefix: str = "") -> Iterator[str]:
        """Yield the names of all objects under a prefix that ends a part of names, sorted."""
        with _outcomes(prefix or self.address):
            self._check_root()
            found = self._fs.find(self._path(prefix) if prefix else self._root)
        head = len(self._root) + 1
        for path in sorted(found):
            if _TMP not in path:
                yield path[head:]

    def _check_root(self) -> None:
        """See that a folder is there, as a bucket must be: a disk may not be mounted."""
        if self._local and not Path(self._root).is_dir():
            raise FileNotFoundError(errno.ENOENT, "there is no such folder", self._root)

    def _bucket(self) -> str:
        return str(self._fs.split_path(self._root)[0])

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _create_file(path: Path, data: bytes) -> bool:
    """Write a file that appears whole or not at all, durably; False when it was there."""
    if path.exists():
        return False
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{_TMP}{secrets.token_hex(8)}")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)  # unlike a rename, it never replaces what is there
        except FileExistsError:
            return False
    finally:
        fresh.unlink(missing_ok=True)
    for folder in (path.parent, *(one.parent for one in made)):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    return True


@contextlib.contextmanager
def _outcomes(name: str) -> Iterator[None]:
    """Turn whatever a storage raises into a BucketError."""
    try:
        yield
    except BucketError:
        raise
    except Exception as error:
        # Every storage brings exceptions of its own library: the outcome is what counts.
        raise BucketError(_code(error), f"{name}: {_text(error)}") from error


def _s3_code(error: BaseException) -> str:
    """Return what S3 calls an error, "" when it said nothing."""
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    return str((response or {}).get("Error", {}).get("Code", ""))


def _code(error: Exception) -> str:
    text = f"{type(error).__name__} {error} {error.__cause__ or ''}"
    number = getattr(error, "errno", None)
    if number in _FULL or any(word in text for word in _S3_FULL):
        return FULL
    if isinstance(error, PermissionError) or number in _DENIED or "NoCredentials" in text:
        return DENIED
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return MISSING
    if isinstance(error, (ConnectionError, TimeoutError)) or "Endpoint" in text:
        return UNREACHABLE
    if "Connect" in type(error).__name__ or "Timeout" in type(error).__name__:
        return UNREACHABLE
    return FAILED


def _text(error: Exception) -> str:
    text = (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip()
    return text.splitlines()[0][:200]
