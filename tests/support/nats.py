"""A nats-server of a test's own."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.support.needs import find_program
from tests.support.processes import answers, running


@contextlib.contextmanager
def nats_server(config: Path, port: int) -> Iterator[object]:
    """Run a server with a configuration file until the block ends; `port` is its MQTT port."""
    program = find_program("nats-server")
    assert program is not None, "no nats-server here"
    command = [program, "-c", str(config)]
    with running(command, config.parent / "nats.log", lambda: answers(port)) as process:
        yield process
