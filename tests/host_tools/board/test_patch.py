"""A patch of an image: what differs, each module behind those that it imports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.bench import small_firmware
from vitalkeep.board.compile import usual_mpy
from vitalkeep.board.kinds import find_kind
from vitalkeep.board.patch import make_patch
from vitalkeep.errors import ToolError

KIND = find_kind("RPI_PICO_W")
MPY = usual_mpy(KIND)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A firmware that is in an image, and a copy of it under another version."""
    base = small_firmware(tmp_path / "base")
    new = tmp_path / "new"
    shutil.copytree(base, new)
    append(new, "release.py", "VERSION = '0.2.0'")
    return base, new


def append(firmware: Path, path: str, text: str) -> None:
    file = firmware / "bridge" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    found = file.read_text() if file.exists() else ""
    file.write_text(f"{found}\n{text}\n")


def test_what_differs_is_there_and_in_order(folders: tuple[Path, Path]) -> None:
    base, new = folders
    append(base, "z_last.py", "X = 1")
    append(base, "between.py", "import bridge.z_last")
    append(new, "between.py", "import bridge.z_last")
    append(new, "z_last.py", "X = 2")
    append(new, "core/rings.py", "import bridge.between")  # by way of one that is as it was
    append(
        new, "a_first.py", "try:\n    from bridge.core import rings\nexcept ImportError:\n    pass"
    )
    append(new, "app.py", "def later():\n    import bridge.start")
    bundle = make_patch(new, base, KIND, MPY)
    order = list(bundle.manifest.patch)
    assert sorted(order) == [
        "bridge.a_first", "bridge.app", "bridge.core.rings", "bridge.release", "bridge.z_last"
    ]  # fmt: skip
    for first, second in (("z_last", "core.rings"), ("core.rings", "a_first"), ("release", "app")):
        assert order.index(f"bridge.{first}") < order.index(f"bridge.{second}"), order
    about = json.loads(bundle.manifest.pack())
    assert (about["base"], about["version"], about["patch"]) == ("0.1.0", "0.2.0", order)


def test_what_no_patch_can_do_is_refused(folders: tuple[Path, Path]) -> None:
    base, new = folders
    with pytest.raises(ToolError, match="the same as"):
        make_patch(base, base, KIND, MPY)
    append(new, "more/__init__.py", "")
    with pytest.raises(ToolError, match="a package that the image has not"):
        make_patch(new, base, KIND, MPY)
    shutil.rmtree(new / "bridge" / "more")
    append(new, "one.py", "import bridge.two")
    append(new, "two.py", "import bridge.one")
    with pytest.raises(ToolError, match=r"import each other: bridge\.one -> bridge\.two"):
        make_patch(new, base, KIND, MPY)
    shutil.copy(base / "bridge" / "release.py", new / "bridge" / "release.py")
    with pytest.raises(ToolError, match=r"version 0\.1\.0, and so has"):
        make_patch(new, base, KIND, MPY)
