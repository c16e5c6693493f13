"""A board whose gateway does not run, looked at through MicroPython's prompt with mpremote."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from vitalkeep.board.errors import BoardError
from vitalkeep.board.mpremote import Mpremote
from vitalkeep.diagnose.meanings import BAD, OK
from vitalkeep.diagnose.report import Item, Report, build

_SCRIPT = Path(__file__).with_name("on_board.py")
_CAUSES = {
    "PWRON_RESET": "power-on", "HARD_RESET": "hard", "WDT_RESET": "watchdog",
    "DEEPSLEEP_RESET": "deep sleep", "SOFT_RESET": "soft",
}  # fmt: skip

# What a gateway needs to start, in the order in which it does: what is missing, and what to do
_NEEDS = (
    ("release", "firmware", "the firmware is not there, or not whole", "vitalkeep flash"),
    ("main", "main.py", "nothing starts the gateway", "vitalkeep flash"),
    ("wiring", "wiring", "the board's wiring is not there", "vitalkeep flash"),
    (
        "config", "configuration", "the configuration is missing or refused",
        "Write config.json (vitalkeep ward compile makes it; docs/guides/configuration.md).",
    ),
    ("keys", "keys", "the board has no keys, or they cannot be read", "Provision the gateway."),
    ("app", "application", "the firmware does not load", "vitalkeep flash, from a whole release."),
)  # fmt: skip


def look(board: Mpremote, is_running: bool) -> Report:
    """Return what a board's prompt tells; its program is stopped, and started anew after it.

    is_running  whether a gateway was interrupted for it
    Raises      BoardError
    """
    said: dict[str, Any] = board.evaluate(_SCRIPT.read_text(), fresh=True)
    board.reset()
    try:
        return judge(said, is_running, time.time_ns() // 1_000_000)
    except (LookupError, TypeError, ValueError):
        raise BoardError(
            "no-answer", f"{board.device}: the board said something else", "Is it MicroPython?"
        ) from None


def judge(said: dict[str, Any], is_running: bool, at_ms: int) -> Report:
    """Return the report of what on_board.py said."""
    raw = {name: said[name] for name in ("micropython", "platform", "heap", "unique_id")}
    raw |= {"reset": _CAUSES.get(said["cause"], said["cause"])}
    if said["files"]:
        raw["files"] = list(said["files"])
    failed = [need for need in _NEEDS if said[need[0]][0]]
    report = build(raw, "prompt", at_ms)
    if not said["keys"][0]:
        report.gateway = raw["gateway"] = said["keys"][1]
    if not said["release"][0]:
        raw["firmware"] = said["release"][1]
    report.raw = raw | {"prompt": {name: said[name][0] for name, *_ in _NEEDS}}
    items = []
    if is_running:
        text = "the gateway ran, was stopped for this, and starts anew"
        items.append(Item("gateway", OK, True, text))
    elif failed:
        text = "no gateway runs: " + failed[0][2]
        items.append(Item("gateway", BAD, False, text, said[failed[0][0]][0], failed[0][3]))
    else:
        items.append(
            Item(
                "gateway", BAD, False, "no gateway runs, and all that it needs is there",
                "it was stopped at its prompt, or failed while it started",
                "It was started anew just now: ask again.",
            )
        )  # fmt: skip
    for name, title, text, action in _NEEDS:
        error, value = said[name]
        if error:
            items.append(Item(title, BAD, None, f"{title}: {text}", error, action))
        else:
            items.append(Item(title, OK, value, f"{title}: {value}"))
    report.found = items
    return report
