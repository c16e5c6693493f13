"""Failures at a board, each with a name for scripts (docs/guides/flash.md lists them)."""

from __future__ import annotations

from vitalkeep.errors import ToolError

CAUSES = {
    "no-board": "no board was found, or not the one that was named",
    "several-boards": "more than one board would fit, and none was named",
    "which-kind": "the chip fits several folders of boards/, and none was named",
    "locked": "another run works on this board",
    "port-busy": "another program has the serial port open",
    "cable": "the board went away in the midst of it",
    "no-answer": "the board is there and does not answer",
    "wrong-chip": "the board's chip is not the one of its kind",
    "flash-too-small": "the board's flash is smaller than its kind's",
    "wrong-image": "the image is for another chip, is cut short, or is no image",
    "unchecked": "nobody said which hash the image must have",
    "hash-mismatch": "the image is not the one that was meant",
    "download": "the image could not be fetched",
    "stock-image": "this image would format the log",
    "memory": "the firmware does not fit the board's memory this way",
    "not-saved": "what is on the board could not be read, so nothing was erased",
    "log-in-the-way": "a log or keys would be lost",
    "verify": "what the board holds is not what was sent",
    "not-accepted": "the board did not take the image",
    "files-unreadable": "the board's file system cannot be read",
    "older": "the board runs a newer firmware",
    "old-layout": "the board was flashed before there were bundles",
    "on-trial": "another firmware is on trial",
    "refused": "the gateway has refused a firmware, or taken it back",
    "full": "the board's file system is full",
    "mpy": "the compiler and the board's MicroPython do not go together",
    "console-closed": "a gateway runs on the board and keeps its prompt closed",
    "tool": "esptool or mpremote is missing or failed in another way",
    # Provisioning and after (docs/guides/setup.md)
    "no-firmware": "the board does not have the firmware yet",
    "no-medium": "the place of log and keys is not there on this board",
    "wrong-board": "the ward's file says another kind of board, or another one is in its place",
    "misfit": "the bed's lines are too much for this kind of board",
    "budget": "the log would be full in less than a day",
    "other-gateway": "the board is another gateway already",
    "gateway-taken": "this gateway's id is on another board",
    "keys-damaged": "the board's keys cannot be read",
    "not-drained": "the board's log has what no site has receipted",
    "not-heard": "the gateway is not heard at a site, or does not do what it should",
    "wiring": "a device is not heard on its line",
}


class BoardError(ToolError):
    """A ToolError with one of CAUSES."""

    def __init__(self, cause: str, message: str, hint: str) -> None:
        assert cause in CAUSES, cause
        super().__init__(message, hint)
        self.cause = cause
