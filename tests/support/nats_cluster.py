"""Three NATS servers on this machine, with the configuration that we generate."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.needs import find_program
from tests.support.processes import answers, free_port, running
from tests.support.secure_site import HOST, SecureSite, now
from vitalkeep.site.config import write_cluster
from vitalkeep.site.nats import Node

_NAMES = ("a", "b", "c")
_ELECTED_S = 30


class NatsCluster(SecureSite):
    """A site whose broker is three servers; `with running()` starts them all."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "nats")
        self.nodes = [
            Node(name, ("localhost", free_port()), (HOST, free_port()), (HOST, free_port()))
            for name in _NAMES
        ]
        for node in self.nodes:
            self.issue("node", node.name, self.folder / node.name / "tls", (HOST, "localhost"))
        self._servers: dict[str, contextlib.ExitStack] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def configure(self) -> dict[str, str]:
        changes = write_cluster(
            "primary", self.authority, self.gateways, self.folder, self.nodes, now()
        )
        return changes["a"].files

    @property
    def ports(self) -> list[int]:
        return [node.listen[1] for node in self.nodes]

    @property
    def url(self) -> str:
        """Return what a hub is given as --broker."""
        return ",".join(f"mqtts://{HOST}:{port}" for port in self.ports)

    @property
    def witness(self) -> str:
        """Return what hubs are given as witness in [duties]."""
        return ",".join(f"tls://{HOST}:{node.witness[1]}" for node in self.nodes if node.witness)

    def start(self, name: str) -> None:
        node = next(node for node in self.nodes if node.name == name)
        program = find_program("nats-server")
        assert program is not None, "no nats-server here"
        command = [program, "-c", str(self.folder / name / "nats.conf")]
        stack = contextlib.ExitStack()
        port = node.listen[1]
        log = self.folder / name / "log"
        process = stack.enter_context(running(command, log, lambda: answers(port)))
        self._servers[name], self._processes[name] = stack, process

    def kill(self, name: str) -> None:
        """kill -9 a server."""
        process = self._processes[name]
        process.send_signal(signal.SIGKILL)
        process.wait()

    @contextlib.contextmanager
    def running(self) -> Iterator[NatsCluster]:
        self.configure()
        with contextlib.ExitStack() as stack:
            for node in self.nodes:
                self.start(node.name)
                stack.callback(lambda name=node.name: self._servers[name].close())
            self._wait_for_leader()
            yield self

    def _wait_for_leader(self) -> None:
        """Wait until a session can begin: without a leader nobody is let in."""
        deadline = time.monotonic() + _ELECTED_S
        while True:
            try:
                with self.session("probe"):
                    return
            except (OSError, EOFError, AssertionError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    @contextlib.contextmanager
    def session(self, name: str, port: int = 0) -> Iterator[object]:
        from tests.support.hub_process import Client

        client = Client(HOST, port or self.ports[0], name, self.context(self.hub))
        try:
            yield client
        finally:
            with contextlib.suppress(OSError, socket.timeout):
                client.close()
