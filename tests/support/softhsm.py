"""A PKCS#11 token in software. Its library looks for settings and tokens once in a process."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.needs import find_program, find_softhsm
from vitalkeep.keys.token import Address

PIN = b"31415926"
_LABEL = "hospital"


@pytest.fixture(scope="session")
def _softhsm_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program, module = find_program("softhsm2-util"), find_softhsm()
    assert program is not None
    assert module is not None
    folder = tmp_path_factory.mktemp("softhsm")
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder}\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(settings)
    asked = [program, "--init-token", "--free", "--label", _LABEL]
    pins = ["--pin", PIN.decode(), "--so-pin", "27182818"]
    subprocess.run([*asked, *pins], check=True, capture_output=True)
    yield module
    del os.environ["SOFTHSM2_CONF"]


@pytest.fixture
def softhsm(_softhsm_module: str, request: pytest.FixtureRequest) -> Address:
    """Return the address of a key of the test's own, which is not made yet."""
    return Address(_LABEL, request.node.name, _softhsm_module)
