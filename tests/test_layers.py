"""Which way imports point: the core knows no hardware, the firmware nothing of the host."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "firmware" / "bridge" / "core"
CORE_MAY = {"array", "binascii", "hashlib", "hmac", "json", "micropython", "struct", "bridge"}
SHELLS = ("links", "storage", "uplink", "health")


def imports(path: Path) -> set[str]:
    """Return the full names of what a file imports, wherever it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
    return found


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize(
    "path", sorted(CORE.rglob("*.py")), ids=lambda p: str(p.relative_to(CORE))
)
def test_core_imports_no_hardware_no_clock_and_no_shell(path: Path) -> None:
    for name in imports(path):
        assert name.split(".")[0] in CORE_MAY, name
        if name.startswith("bridge."):
            assert name.startswith("bridge.core"), name


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_do_not_import_each_other(shell: str) -> None:
    for path in files(f"firmware/bridge/{shell}"):
        for name in imports(path):
            for other in SHELLS:
                assert other == shell or not name.startswith(f"bridge.{other}"), (path.name, name)


def test_firmware_imports_nothing_of_the_host() -> None:
    for path in files("firmware") + files("boards"):
        for name in imports(path):
            assert name.split(".")[0] not in ("vitalkeep", "hil", "tests"), (path.name, name)


def test_host_tools_import_nothing_of_the_rig_and_only_the_core_of_the_firmware() -> None:
    for path in files("host_tools/vitalkeep"):
        for name in imports(path):
            assert name.split(".")[0] not in ("hil", "tests"), (path.name, name)
            if path.parent.name == "on_board":
                continue  # it is sent to a board, and runs there beside the firmware
            assert not name.startswith("bridge.") or name.startswith("bridge.core"), name


def test_board_facts_are_plain_values() -> None:
    for path in files("boards"):
        if path.name == "wiring.py":
            nodes = ast.parse(path.read_text()).body
            assert all(isinstance(node, (ast.Expr, ast.Assign)) for node in nodes), path


def test_top_folder_has_only_what_a_reader_expects() -> None:
    expected = {".ci", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md"}
    expected |= {"boards", "docs", "firmware", "hil", "host_tools", "pyproject.toml", "tests"}
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("no git checkout")
    assert {path.split("/")[0] for path in tracked.stdout.splitlines()} == expected
