"""A cellular modem at the far end of a virtual board's UART, with a path to the world behind it.

It takes the AT commands of V.250 and 3GPP TS 27.007 that a gateway needs, and after ATD*99# the
three words that stand for PPP on the virtual board (modules/network.py): ~LCP~, ~IP ...~, ~BYE~.
"""

import asyncio
import os
from dataclasses import dataclass, field

from hil.board import VirtualBoard
from hil.paths import Path

_POLL_S = 0.01
_BOOT_S = 0.3
_GUARD_S = 1.0


@dataclass
class Modem:
    """One modem; what is wrong with it may be changed at any time.

    powered      False: it says nothing at all
    sim          READY, "" for none, or "SIM PIN"
    registered   what +CEREG? says: 1 at home, 2 searching, 3 denied
    apn          the only one that the network knows
    gives        whether the network gives out an address
    commands     all that it was told
    """

    board: VirtualBoard
    uart: int
    path: Path
    powered: bool = True
    sim: str = "READY"
    registered: int = 1
    apn: str = "hospital"
    gives: bool = True
    address: str = "10.64.0.2"
    commands: list[str] = field(default_factory=list)
    resets: int = 0
    _apn_set: str = ""
    _by_number: bool = False
    _in_session: bool = False
    _line: bytearray = field(default_factory=bytearray)
    _heard_s: float = 0
    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._settle()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def reset(self) -> None:
        """Take its power away for a moment: the session is gone, and nobody is told."""
        self.resets += 1
        self._apn_set = ""
        self._by_number = False
        self._in_session = False
        self._line.clear()
        self._settle()
        self._say("\r\nRDY\r\n")

    # --- the wire ---

    def _settle(self) -> None:
        if self._in_session:
            self.path.restore()
        else:
            self.path.cut()

    def _say(self, text: str) -> None:
        if self.powered:
            os.write(self.board.lines[self.uart].master, text.encode())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        said = self.board.switches / "said-modem"
        while True:
            if said.exists():  # the board pulled the reset pin
                said.unlink()
                await asyncio.sleep(_BOOT_S)
                self.reset()
            try:
                data = os.read(self.board.lines[self.uart].master, 4096)
            except BlockingIOError:
                data = b""
            if not self.powered:
                self._in_session = False
                self._settle()
            elif data:
                quiet_s = loop.time() - self._heard_s
                self._heard_s = loop.time()
                self._hear(data, quiet_s)
            await asyncio.sleep(_POLL_S)

    def _hear(self, data: bytes, quiet_s: float) -> None:
        if data == b"+++" and quiet_s >= _GUARD_S:
            self._in_session = False
            self._settle()
            self._say("\r\nOK\r\n")
            return
        self._line += data
        if self._in_session:
            self._negotiate()
            return
        while b"\r" in self._line:
            line, _, rest = self._line.partition(b"\r")
            self._line[:] = rest
            self._obey(line.decode(errors="replace").strip("~+ \n"))

    def _negotiate(self) -> None:
        if b"~BYE~" in self._line:
            self._in_session = False
            self._settle()
            self._say("~BYE~")
            self._line.clear()
            self._say("\r\nNO CARRIER\r\n")
        elif b"~LCP~" in self._line:
            self._line.clear()
            if self.gives:
                self._say(f"~IP {self.address}~")

    def _obey(self, command: str) -> None:
        self.commands.append(command)
        if command == "AT+CPIN?":
            known = f"\r\n+CPIN: {self.sim}\r\n\r\nOK\r\n"
            error = "+CME ERROR: 10" if self._by_number else "ERROR"
            self._say(known if self.sim else f"\r\n{error}\r\n")
        elif command in ("AT+CEREG?", "AT+CREG?"):
            name = command[2:-1]
            self._say(f"\r\n{name}: 0,{self.registered}\r\n\r\nOK\r\n")
        elif command.startswith("AT+CGDCONT="):
            self._apn_set = command.rsplit('"', 2)[1]
            self._say("\r\nOK\r\n")
        elif command == "ATD*99#":
            if self._apn_set != self.apn:
                self._say("\r\nNO CARRIER\r\n")
                return
            self._in_session = True
            self._settle()
            self._say("\r\nCONNECT 150000000\r\n")
        elif command in ("AT", "ATE0", "AT+CMEE=1"):
            self._by_number = self._by_number or command == "AT+CMEE=1"
            self._say("\r\nOK\r\n")
        else:
            self._say("\r\nERROR\r\n")
