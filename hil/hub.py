"""`vitalkeep hub` as a child of the rig."""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path

from hil.board import die_with_the_rig
from hil.errors import RigError

_READY_S = 60
_STOP_S = 5
_USER, _SYSTEM = 11, 12  # of /proc/<pid>/stat behind the name (proc(5): utime, stime)


class HubProcess:
    """One hub, started once.

    folder    for its data and its log; the vault is in `folder / "vault"`
    database  URL
    broker    URL of a real broker, None for its own
    page      host:port of the live page, None for none
    more      of the command line

    broker_url, page_url, time_port  where it is, once it has started
    """

    def __init__(
        self,
        folder: Path,
        database: str,
        broker: str | None = None,
        page: str | None = None,
        *more: str,
    ) -> None:
        self.broker_url = ""
        self.page_url: str | None = None
        self.time_port = 0
        self._folder = folder
        command = [sys.executable, "-m", "vitalkeep", "hub", "--json"]
        command += ["--vault", str(folder / "vault"), "--data", str(folder)]
        command += ["--database", database]
        command += ["--http", page] if page else ["--no-page"]
        command += ["--broker", broker] if broker else ["--broker-port", "0"]
        command += ["--time", "127.0.0.1:0"]
        self._command = [*command, *more]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it serves; raises RigError with its words when it does not."""
        await self.launch()
        await self.serving()

    async def launch(self) -> None:
        """Start its process, which may or may not come to serve."""
        with (self._folder / "hub.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                preexec_fn=die_with_the_rig,
            )

    async def serving(self) -> None:
        """Wait until it serves; raises RigError with its words when it does not."""
        assert self._process is not None
        assert self._process.stdout is not None
        with contextlib.suppress(asyncio.TimeoutError):
            line = await asyncio.wait_for(self._process.stdout.readline(), _READY_S)
            if line:
                ready = json.loads(line)
                self.page_url = ready["http"]
                self.broker_url = str(ready["broker"])
                self.time_port = int(ready["time"].rpartition(":")[2])
                return
        words = (self._folder / "hub.log").read_text(errors="replace")[-2000:].strip()
        raise RigError("The hub did not start.", words or f"It said nothing within {_READY_S} s.")

    @property
    def pid(self) -> int:
        """Return its process; only once it was started."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def processor_s(self) -> float | None:
        """Return the processor time it has taken so far, None where the system does not say."""
        if self._process is None:
            return None
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[_USER]) + int(fields[_SYSTEM])) / os.sysconf("SC_CLK_TCK")

    async def kill(self) -> None:
        """Kill it without a word (SIGKILL)."""
        if self._process is not None and self.running:
            self._process.kill()
            await self._process.wait()

    async def close(self) -> None:
        """Stop it, by force when it takes too long."""
        if self._process is not None and self.running:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_S)
            except asyncio.TimeoutError:
                self._process.kill()
                await self._process.wait()
