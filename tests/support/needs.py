"""What some tests need of the machine they run on, and how to get it.

A test that needs something is skipped without it, and says so; where VITALKEEP_REQUIRE names the
need ("mosquitto postgres browser"), it fails instead, so that no build passes by skipping.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hil.postgres import find_postgres
from tests.run_micropython import WASM32

_RECIPE = Path(__file__).resolve().parents[2] / "host_tools" / "deploy" / "Containerfile"


@dataclass(frozen=True)
class Need:
    """One thing; `find` returns its path, or None; `remedy` is what to do about that."""

    find: Callable[[], str | None]
    remedy: str


def find_program(*names: str) -> str | None:
    """Return the path of the first program of these that is there, also among root's own."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin:/usr/local/sbin"
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def find_chromium() -> str | None:
    if find_program("chromedriver") is None:
        return None
    return find_program("chromium", "chromium-browser", "google-chrome")


def find_micropython32() -> str | None:
    return str(WASM32) if WASM32.is_dir() and find_program("node") else None


def find_softhsm() -> str | None:
    """Return SoftHSM's library, when its tool is there as well."""
    found = sorted(Path("/usr/lib").glob("**/softhsm/libsofthsm2.so"))
    return str(found[0]) if found and find_program("softhsm2-util") else None


def find_s3() -> str | None:
    """Return where the package is that plays an S3 server, when s3fs is there as well."""
    found = [importlib.util.find_spec(name) for name in ("s3fs", "moto", "flask")]
    return found[1].origin if all(found) and found[1] else None


def find_podman() -> str | None:
    """Return podman, when it has the image that the hub's begins with, and may shut a hub in."""
    program = find_program("podman")
    if program is None or find_program("runc", "crun") is None or os.geteuid() != 0:
        return None
    (base,) = set(re.findall(r"^FROM (\S+)", _RECIPE.read_text(), re.M))
    there = subprocess.run([program, "image", "exists", base], capture_output=True, timeout=60)
    return program if there.returncode == 0 else None


NEEDS = {
    "mosquitto": Need(lambda: find_program("mosquitto"), "apt-get install mosquitto"),
    "nats": Need(lambda: find_program("nats-server"), "apt-get install nats-server"),
    "postgres": Need(find_postgres, "apt-get install postgresql"),
    "podman": Need(
        find_podman,
        "as root, apt-get install podman runc, and see docs/guides/image.md for the base image",
    ),
    "s3": Need(find_s3, "pip install -e '.[test-s3]'"),
    "softhsm": Need(find_softhsm, "apt-get install softhsm2"),
    "micropython32": Need(find_micropython32, "install Node 18 or newer with npm, and make test"),
    "browser": Need(find_chromium, "apt-get install chromium chromium-driver"),
}


def required() -> set[str]:
    """Return the needs whose absence is a failure."""
    return set(os.environ.get("VITALKEEP_REQUIRE", "").replace(",", " ").split())
