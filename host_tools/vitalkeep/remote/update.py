"""A bundle goes to a gateway through its site's broker, and what becomes of it there."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from bridge.core.bundle import Manifest, Refused
from vitalkeep.board.bundle import Bundle
from vitalkeep.errors import ToolError
from vitalkeep.remote.desk import Desk, NoAnswer

PART = 576  # bytes in one command, whose 900 have room for four thirds of that
CHECK_S = 180.0  # for digest and signature on a slow board, and for what it was to show
BACK_S = 120.0
PATIENCE_S = 600.0  # without a part that has come
_LOOK_S = 0.5
_LOOK_WITHIN_S = 3.0

Told = Callable[[str, float | None], None]  # what happens, and the percent that has come


async def push(desk: Desk, bundle: Bundle, older: bool, told: Told) -> str:
    """Send a bundle and wait until it is kept; returns what was done.

    older   whether it may be older than what runs
    Raises  ToolError when it is refused or taken back; what ran before runs
    """
    state = await desk.ask("firmware")
    if state["digest"] == bundle.digest.hex():
        return (
            "runs already" if not state["on_trial"] else await _wait_for_trial(desk, bundle, told)
        )
    check(bundle, state, older)
    await _send(desk, bundle, told)
    assert desk.status is not None
    boot = desk.status["boot"]
    await _ask(desk, "firmware-take", older=older)
    told("has come; it is being checked", None)
    await _wait_for_check(desk, boot)
    told("taken; the gateway starts anew", None)
    return await _wait_for_trial(desk, bundle, told)


def check(bundle: Bundle, state: dict[str, Any], older: bool) -> None:
    """Raise ToolError for what the gateway would refuse once it has come.

    state  what runs there: version, board, mpy, config, image
    """
    running = Manifest(*(state[name] for name in ("version", "board", "mpy", "config", "image")))
    try:
        bundle.manifest.check(running, older)
        if not bundle.is_signed:
            raise Refused("unsigned", "nobody has signed it")
    except Refused as error:
        raise ToolError(f"the gateway would refuse it: {error}", HINTS[error.cause]) from None


HINTS = {
    "truncated": "Send it again.",
    "damaged": "Send it again; build it again if it stays so.",
    "unsigned": "Have the ward's authority sign it: vitalkeep update sign.",
    "board": "Build it for the gateway's own kind of board.",
    "mpy": "Build it for the gateway's MicroPython (--mpy), or bring that up to date over USB.",
    "image": "Build it against the firmware that its image has: --patch.",
    "config": "Compile its configuration anew first: vitalkeep ward, vitalkeep gateway configure.",
    "older": "If the older one is meant: --older.",
}


async def _send(desk: Desk, bundle: Bundle, told: Told) -> None:
    """Bring all parts there; a link that is lost, or a gateway that restarts, costs a few."""
    data = bundle.data
    late = time.monotonic() + PATIENCE_S
    best = -1
    while True:
        try:
            at = await _offer(desk, bundle)
            while at < len(data):
                part = b64encode(data[at : at + PART]).decode()
                at = (await desk.ask("firmware-part", at=at, data=part))["at"]
                if at > best:
                    best, late = at, time.monotonic() + PATIENCE_S
                    told("sent", 100 * at / len(data))
            return
        except NoAnswer:
            if time.monotonic() > late:
                raise
            told("no answer; going on from what has come", None)


async def _offer(desk: Desk, bundle: Bundle) -> int:
    size = len(bundle.data)
    at: int = (await desk.ask("firmware-offer", size=size, digest=bundle.digest.hex()))["at"]
    return at


async def _ask(desk: Desk, do: str, **fields: Any) -> dict[str, Any]:
    """Ask again where nothing came back; the gateway may have obeyed, and then says so."""
    try:
        return await desk.ask(do, **fields)
    except NoAnswer:
        return await desk.ask("firmware")


async def _wait_for_check(desk: Desk, boot: int) -> None:
    late = time.monotonic() + CHECK_S
    while time.monotonic() < late:
        assert desk.status is not None
        if desk.status["boot"] != boot:
            return
        try:
            state = await desk.ask("firmware", _LOOK_WITHIN_S)
        except NoAnswer:
            continue  # it is on its way
        if not state["checking"]:
            raise _refused(state["said"])
        await asyncio.sleep(_LOOK_S)
    raise ToolError("the gateway has not come to an end with it", "Look at its log and counters.")


async def _wait_for_trial(desk: Desk, bundle: Bundle, told: Told) -> str:
    late = time.monotonic() + BACK_S
    state: dict[str, Any] = {}
    while time.monotonic() < late:
        await asyncio.sleep(_LOOK_S)
        try:
            state = await desk.ask("firmware", _LOOK_WITHIN_S)
        except NoAnswer:
            continue
        if state["digest"] != bundle.digest.hex():
            if "taken back" in state["said"]:
                raise ToolError(f"the gateway went back: {state['said']}", "What ran before runs.")
            continue  # it has not restarted yet
        if not state["on_trial"]:
            return state["said"] or "kept"
        told("on trial", None)
        # From its first word on it has as long as its trial takes.
        late = max(late, time.monotonic() + BACK_S)
    raise ToolError(
        "the gateway has said nothing of it yet",
        "It goes back by itself when no site hears it. Ask again: vitalkeep update state.",
    )


def _refused(said: str) -> ToolError:
    cause = said.removeprefix("refused: ").partition(":")[0]
    return ToolError(
        f"the gateway {said or 'has stopped checking it'}", HINTS.get(cause, "Send it again.")
    )
