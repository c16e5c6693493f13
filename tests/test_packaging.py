"""What is installed elsewhere: a checkout finds every module, and tests do not notice the list."""

from pathlib import Path

from vitalkeep.settings.toml import tomllib

ROOT = Path(__file__).resolve().parent.parent


def test_every_package_of_the_tools_is_installed() -> None:
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    host_tools = ROOT / "host_tools"
    sent_to_boards = {
        path
        for package, patterns in setup["package-data"].items()
        for pattern in patterns
        for path in (host_tools / package.replace(".", "/")).glob(pattern)
    }
    code = set((host_tools / "vitalkeep").rglob("*.py")) - sent_to_boards
    folders = {path.parent.relative_to(host_tools) for path in code}
    assert {".".join(folder.parts) for folder in folders} <= set(setup["packages"])
