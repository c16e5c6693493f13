"""What is installed elsewhere: a checkout finds every file, and tests do not notice the lists."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vitalkeep.settings.toml import tomllib

ROOT = Path(__file__).resolve().parent.parent
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]

BOARD = """
import asyncio
from pathlib import Path
from hil.board import VirtualBoard

async def run():
    board = VirtualBoard(Path("board").resolve(), uarts=(), firmware=Path().resolve())
    try:
        await board.start()
        await board.wait_for("the gateway's code is here")
    finally:
        await board.close()

asyncio.run(run())
"""
MAIN = """
import sys
sys.path.insert(0, {firmware!r})
import wiring, bridge.app
print("the gateway's code is here")
"""


def packaged() -> dict[str, Path]:
    """Return {path below site-packages: file} of a wheel, as setuptools reads the lists."""
    folders = SETUP["package-dir"]
    found = {f"{name}.py": ROOT / folders[""] / f"{name}.py" for name in SETUP["py-modules"]}
    for package in SETUP["packages"]:
        within = Path(*package.split("."))
        # The longest name of which the lists say where it is
        parts = next(p for p in (package, package.partition(".")[0], "") if p in folders)
        folder = ROOT / folders[parts] / within.relative_to(Path(*parts.split(".")))
        for pattern in ("*.py", *SETUP["package-data"].get(package, ())):
            for file in folder.glob(pattern):
                found[str(within / file.relative_to(folder))] = file
    return found


def test_every_file_that_runs_is_installed() -> None:
    here = [
        path
        for folder in ("host_tools/vitalkeep", "hil", "firmware")
        for path in (ROOT / folder).rglob("*.py")
    ]
    kinds = [path.parent for path in (ROOT / "boards").glob("*/wiring.py")]
    here += [kind / n for kind in kinds for n in ("board.json", "partitions.csv", "wiring.py")]
    assert kinds
    assert set(here) <= set(packaged().values())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out what a wheel has, away from the checkout."""
    site = tmp_path_factory.mktemp("site-packages")
    for path, file in packaged().items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, site / path)
    return site


def run(site: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_installed_tools_have_the_boards_and_the_firmware(site: Path, tmp_path: Path) -> None:
    where = "from vitalkeep.board.kinds import BOARDS, FIRMWARE; print(BOARDS, FIRMWARE)"
    boards, firmware = run(site, tmp_path, "-c", where).split()
    assert Path(boards).is_relative_to(site)
    build = ("update", "build", "gateway.vkb", "--board", "ESP32_GENERIC_S3")
    assert "ESP32_GENERIC_S3" in run(site, tmp_path, "-m", "vitalkeep", *build)
    (tmp_path / "main.py").write_text(MAIN.format(firmware=firmware))
    run(site, tmp_path, "-c", BOARD)
