"""A mosquitto broker of a test's own."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.needs import find_program
from tests.support.processes import answers, free_port, running

# As root mosquitto would become a user who cannot read the folder. Nagle's algorithm would add
# 40 ms to what the tests measure.
_CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
user root
log_dest stderr
"""


@contextlib.contextmanager
def mosquitto_broker(port: int = 0, extra: str = "") -> Iterator[str]:
    """Yield mqtt://127.0.0.1:<port> while a broker runs there.

    port   0 for a free one; a test that restarts its broker gives the same one again
    extra  more lines of mosquitto.conf
    """
    program = find_program("mosquitto")
    assert program is not None, "no mosquitto here"
    port = port or free_port()
    folder = Path(tempfile.mkdtemp(prefix="vitalkeep-mosquitto-"))
    try:
        config = folder / "mosquitto.conf"
        config.write_text(_CONFIG.format(port=port) + extra)
        command = [program, "-c", str(config)]
        with running(command, folder / "log", lambda: answers(port)):
            yield f"mqtt://127.0.0.1:{port}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def mosquitto() -> Iterator[str]:
    """The address of a fresh broker: mqtt://127.0.0.1:<port>."""
    with mosquitto_broker() as address:
        yield address
