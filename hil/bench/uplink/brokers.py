"""The broker that a measurement runs against: mosquitto where it is installed, else iotcore."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from hil.board import die_with_the_rig
from hil.errors import RigError
from vitalkeep.hub.broker import EmbeddedBroker, free_port

_READY_S = 20
_STOP_S = 5
_POLL_S = 0.02

# As root mosquitto would become a user who cannot read the folder. Without set_tcp_nodelay its
# acknowledgements wait for the peer's delayed ones, 40 ms each. A hub acknowledges when it has
# committed: with few in flight it waits for the broker. A site that is behind must not lose what
# the broker has acknowledged.
_CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_inflight_messages 1000
max_queued_messages 0
user root
log_type error
log_dest stderr
"""


class Mosquitto:
    """One mosquitto, a child of ours. `port` stays the same when it is started again."""

    name = "mosquitto"
    can_pause = True

    def __init__(self, program: str) -> None:
        self.port = free_port()
        self._program = program
        self._folder = Path(tempfile.mkdtemp(prefix="vitalkeep-mosquitto-"))
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it and wait until it takes connections; raises RigError when it does not."""
        config = self._folder / "mosquitto.conf"
        config.write_text(_CONFIG.format(port=self.port))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                preexec_fn=die_with_the_rig,
            )
        until = asyncio.get_running_loop().time() + _READY_S
        while not await self._answers():
            if not self.alive or asyncio.get_running_loop().time() > until:
                said = (self._folder / "log").read_text(errors="replace")[-500:]
                raise RigError("bench: mosquitto did not start.", said or "It said nothing.")
            await asyncio.sleep(_POLL_S)

    async def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.close()
            return True
        return False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it without a word: the kernel closes its connections."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def pause(self) -> None:
        """Let it stand still: its kernel goes on to acknowledge bytes, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def stop(self) -> None:
        """End it for good."""
        if self.alive:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
            try:
                assert self._process is not None
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


class Iotcore:
    """The hub's embedded broker; it cannot be paused, and is stopped where others are killed."""

    name = "iotcore"
    can_pause = False

    def __init__(self) -> None:
        self.port = free_port()
        self._broker = EmbeddedBroker(self.port)

    async def start(self) -> None:
        await asyncio.to_thread(self._broker.start)

    @property
    def alive(self) -> bool:
        return self._broker.is_running()

    def kill(self) -> None:
        self._broker.stop()

    def pause(self) -> None:
        raise RigError("bench: iotcore cannot be paused.", "Install mosquitto.")

    def stop(self) -> None:
        self._broker.stop()


Broker = Mosquitto | Iotcore


def find_mosquitto() -> str | None:
    """Return the path of mosquitto, also among root's own programs, or None."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin:/usr/local/sbin"
    return shutil.which("mosquitto", path=path)


def make_broker() -> Broker:
    """Return the better broker of this machine, not started."""
    program = find_mosquitto()
    return Mosquitto(program) if program else Iotcore()
