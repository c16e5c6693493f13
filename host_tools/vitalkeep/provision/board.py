"""A board with the firmware on it, as provisioning sees it: over mpremote, secrets by stdin."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.core.journal.layout import CLASSES
from vitalkeep.board.errors import BoardError
from vitalkeep.board.mpremote import START_S, Mpremote, left_running
from vitalkeep.board.prompt import Gateways

_SCRIPTS = Path(__file__).with_name("on_board")
# Whatever is plugged in meanwhile, it happens to the board that was looked at.
_SAME = """
import binascii, machine
if ORDER["chip"] not in ("", binascii.hexlify(machine.unique_id()).decode()):
    raise OSError("another chip answers")
"""
# The firmware may be in a bundle, which the loader mounts only when it starts it.
_MOUNT = """
import sys
try:
    import loader
    if "/app" not in sys.path and loader.read().now:
        loader.mount(loader.read().now)
except ImportError:
    pass  # an image without a loader
"""
_PART = 3000  # bytes of files in one script, twice as many in hex
_WIPED_AT_ONCE = 64  # blocks, 45 ms each and at worst 400
_BLOCKS_MAX = 1 << 16  # of 4096 bytes: no board has a larger chip

TLS = ("ca.der", "gateway.der", "key.der")
CONFIG = "/config.json"
TRIAL = ("/config.new", "/config.old", "/config.tries")


@dataclass(frozen=True)
class Seen:
    """What a board says of itself.

    kind       name in its wiring; unique_id of its chip; firmware: its version
    keys       "blank", "gateway", "damaged", or "unreachable" and why
    gateway, log, sites  ids in hex, where there is a gateway
    identity   SHA-256 of its identity in hex; epoch, spares, slots of its keys
    journal    {"sectors", "blank", "unreadable", "logs": {"gateway/log": sectors}}
    files      {path: SHA-256 in hex} of those that were asked for and are there
    Raises     TypeError or ValueError for what no firmware says
    """

    board: str
    unique_id: str
    firmware: str
    keys: str
    why: str = ""
    blocks: int = 0
    gateway: str = ""
    log: str = ""
    sites: Sequence[str] = ()
    identity: str = ""
    spares: int = 0
    epoch: int = 0
    slots: int = 0
    journal: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for text in (self.unique_id, self.gateway, self.log, self.identity, *self.sites):
            bytes.fromhex(text)
        for number in (self.blocks, self.spares, self.epoch, self.slots):
            operator.index(number)
        if self.keys == "gateway" and (len(self.gateway), len(self.log)) != (16, 16):
            raise ValueError("ids of other sizes")
        texts = (self.board, self.firmware, self.why, *self.files, *self.files.values())
        if not all(isinstance(text, str) for text in (*texts, *self.journal.get("logs", ()))):
            raise TypeError("no text")

    def sectors_of(self, gateway: str, log: str) -> int:
        """Return how many sectors of the log on flash are of one log."""
        return int(self.journal.get("logs", {}).get(f"{gateway}/{log}", 0))

    @property
    def is_log_blank(self) -> bool:
        return bool(self.journal.get("blank") == self.journal.get("sectors"))


@dataclass(frozen=True)
class Head:
    """How far the log of a class goes on flash.

    oldest, newest  numbers of sectors that are held, -1 for none
    end             bytes in the newest; digest: 8 bytes, in hex, of their SHA-256
    """

    oldest: int
    newest: int
    end: int
    digest: str

    def __post_init__(self) -> None:
        for number in (self.oldest, self.newest, self.end):
            if not -1 <= number < 1 << 32:
                raise ValueError(f"number {number}")
        if self.newest - self.oldest > _BLOCKS_MAX:
            raise ValueError(f"{self.newest - self.oldest} sectors")
        bytes.fromhex(self.digest)


class GatewayBoard:
    """The board at a serial port. Its program is stopped by the first thing that is asked.

    A watchdog that the program started goes on: it is fed from then on, until `restart`.

    gateways  asked for their keys when the one on the board keeps its prompt closed
    """

    def __init__(self, device: str, gateways: Gateways = dict) -> None:
        self.device = device
        self._board = Mpremote(device, gateways)
        self._chip = ""  # of the board that was looked at first
        self._feed = False
        self._is_stopped = False

    def look(self) -> Seen:
        """Stop what runs, and say what is there; raises BoardError."""
        self._board.wait_for_port()
        folders = [f"/tls/{name}/{file}" for name in ("now", "new") for file in TLS]
        order = self._order(files=[CONFIG, *TRIAL, *folders])
        try:
            fresh = not self._feed
            said = self._board.evaluate(_script("look", order), fresh=fresh, patience_s=START_S)
            seen = Seen(**said)
            self._chip = seen.unique_id
            self._is_stopped = True
        except BoardError as error:
            if "ImportError" in error.message or "no module named" in error.message:
                raise BoardError(
                    "no-firmware",
                    f"{self.device}: the board does not have the firmware",
                    "Bring it on first: vitalkeep flash; or do all of it: vitalkeep setup.",
                ) from None
            raise
        except (TypeError, ValueError, AttributeError):
            raise self._odd() from None
        if seen.keys == "unreachable":
            raise BoardError(
                "no-medium",
                f"{self.device}: {seen.why}",
                "Is it flashed as this kind of board, and is its flash chip wired? "
                "docs/guides/boards.md",
            )
        if seen.keys == "gateway" and not self._feed:
            self._feed = True
        return seen

    def heads(self) -> dict[str, Head]:
        """Return how far the log goes, by class; raises BoardError. Its program is stopped."""
        said = self._board.evaluate(_script("heads", self._order()))
        try:
            return {name: Head(*said[name]) for name in CLASSES}
        except (TypeError, ValueError, KeyError):
            raise self._odd() from None

    def write_keys(self, pieces: Sequence[tuple[int, int, bytes]], identity: bool = False) -> None:
        """Write the key region, or only the identity anew; raises BoardError.

        pieces  (block, offset, bytes) in the order in which they are written
        """
        rows = [(block, offset, data.hex()) for block, offset, data in pieces]
        self._secret("keys", {"pieces": rows, "identity": identity})

    def end_epoch(self, seeds: Sequence[tuple[int, bytes]]) -> None:
        """Give the board new spare seeds and end its key epoch; raises BoardError.

        seeds  (offset in the spare block, bytes)
        """
        self._secret("epoch", {"seeds": [(offset, data.hex()) for offset, data in seeds]})

    def put(self, files: Sequence[tuple[str, bytes]], remove: Sequence[str] = ()) -> None:
        """Remove files, then write others, each whole or not at all, in order; raises BoardError.

        No part of a script is larger than a board's heap takes with ease.
        """
        order: dict[str, Any] = {"remove": list(remove), "more": False, "last": True}
        if sum(len(data) for _, data in files) <= _PART:
            rows = [(path, data.hex()) for path, data in files]
            self._secret("put", order | {"files": rows})
            return
        for path, data in files:
            for at in range(0, max(1, len(data)), _PART):
                rows = [(path, data[at : at + _PART].hex())]
                order |= {"more": at > 0, "last": at + _PART >= len(data)}
                self._secret("put", order | {"files": rows})
            order["remove"] = []

    def wipe(
        self,
        place: str,
        files: Sequence[str] = (),
        told: Callable[[float], None] = lambda percent: None,
    ) -> None:
        """Have a place of the wiring forget all it holds, then remove files; raises BoardError."""
        first, count = 0, 1
        while first < count:
            order = self._order(
                place=place, first=first, count=_WIPED_AT_ONCE,
                files=list(files) if not first else [],
            )  # fmt: skip
            count = self._board.evaluate(_script("wipe", order))
            if not isinstance(count, int) or not 0 < count <= _BLOCKS_MAX:
                raise self._odd()
            first += _WIPED_AT_ONCE
            told(min(100.0, 100 * first / count))

    def restart(self) -> None:
        """Restart a board that was stopped, as its RESET button would: its program runs."""
        if self._is_stopped:
            self._board.reset()
        self._feed = self._is_stopped = False

    def left_running(self) -> AbstractContextManager[None]:
        """Have its program run again when a piece of work on it ends early, if it is there."""
        return left_running(self.device, self.restart)

    def _secret(self, name: str, order: dict[str, Any]) -> None:
        if self._board.evaluate_secret(_script(name, self._order(**order))) is not True:
            raise BoardError(
                "verify",
                f"{self.device}: the board did not say that it took what was sent",
                "Run the same again.",
            )

    def _order(self, **order: Any) -> dict[str, Any]:
        return order | {"feed": self._feed, "chip": self._chip}

    def _odd(self) -> BoardError:
        return BoardError(
            "no-answer", f"{self.device}: the board's firmware says something else",
            "Bring the one of this version onto it: vitalkeep flash.",
        )  # fmt: skip


def _script(name: str, order: dict[str, Any]) -> str:
    text = (_SCRIPTS / name).with_suffix(".py").read_text()
    return f"ORDER = {order!r}\n{_SAME}{_MOUNT}\n{text}"


def digest(data: bytes) -> str:
    """Return the SHA-256 in hex, as a board says it of a file."""
    return hashlib.sha256(data).hexdigest()
