"""What a gateway says, judged: each item's state, and what to do about it."""

from __future__ import annotations

from typing import Any

import pytest

from vitalkeep.diagnose import prompt
from vitalkeep.diagnose.report import build, lines_of

GOOD: dict[str, Any] = {
    "gateway": "240ac40000010000", "bed": "bed-1", "firmware": "0.1.0", "micropython": "3.4; 1.28",
    "platform": "esp32", "reset": "power-on", "mono": 3_600_000, "on_trial": False,
    "console": "closed", "clock": 2, "clock_error": 40, "heap": {"used": 1, "free": 60_000},
    "files": [400_000, 300_000], "hours_left": 200.0, "pool": [100, 40], "certificate_days": 300,
    "heads": {"A": [0, 3, 900], "B": [0, 0, 90], "C": [0, 0, 90]},
    "links": [["lan", "good", 3, 0, ""]], "counters": {"link_changes": 1}, "last_error": "",
    "sites": [{"name": "primary", "host": "10.0.0.5", "port": 8883, "up": True, "session": True,
               "wanted": True, "round_trip_ms": 4, "backlog": 0, "fault": ""}],
    "devices": [{"name": "oximeter", "class": "A", "quiet_ms": 900}], "umqtt": True,
}  # fmt: skip


def test_all_is_well() -> None:
    report = build(GOOD, "usb", 0)
    assert report.verdict == "ok"
    assert not [item for item in report.items if item.action]
    assert next(lines_of(report)) == "gateway 240ac40000010000 at bed-1: ok (by usb)"
    shape = report.as_dict()
    assert shape["shape"] == 1
    assert set(shape["items"][0]) == {"name", "state", "value", "text", "meaning", "action"}


DOWN = {"name": "primary", "host": "x", "port": 1, "up": False, "session": False, "backlog": 9,
        "wanted": True, "fault": "certificate_expired", "round_trip_ms": None}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "state", "words"),
    [
        ("reset", {"reset": "watchdog"}, "warn", "the watchdog bit"),
        ("trial", {"on_trial": True}, "warn", "kept once a site receipts"),
        ("console", {"console": 540}, "warn", "whoever has a cable"),
        ("clock", {"clock": 0}, "warn", "values get their times later"),
        ("clock", {"clock_error": 9000}, "warn", "nobody has answered"),
        ("heap", {"heap": {"free": 9000}}, "warn", "little is left"),
        ("heap", {"heap": {"free": 900}}, "bad", "little is left"),
        ("files", {"files": [400_000, 100]}, "warn", "may not fit"),
        ("hours_left", {"hours_left": 20.0}, "warn", "oldest values"),
        ("hours_left", {"hours_left": 1.0}, "bad", "oldest values"),
        ("log B", {"heads": {"B": [0, -1, 0]}}, "bad", "its log is shut"),
        ("certificate", {"certificate_days": 7}, "warn", "refuse the gateway"),
        ("certificate", {"certificate_days": -1}, "bad", "refuse the gateway"),
        ("link wifi", {"links": [["wifi", "down", -1, 20, "wrong_password"]]}, "bad", "key"),
        ("link lan", {"links": [["lan", "slow", 90, 1, ""]]}, "warn", "round trip"),
        ("site primary", {"sites": [DOWN]}, "bad", "certificate has ended"),
        ("site primary", {"sites": [DOWN | {"session": True}]}, "bad", "the hub behind it"),
        ("site primary", {"sites": [DOWN | {"fault": ""}]}, "warn", "not been tried"),
        ("device oximeter", {"devices": [{"name": "oximeter", "class": "A", "quiet_ms": None}]},
         "bad", "no value"),
        ("counter lost_commits", {"counters": {"lost_commits": 1}}, "bad", "values were lost"),
        ("counter session_refused", {"counters": {"session_refused": 1}}, "warn", "refuses"),
        ("counter made_up", {"counters": {"made_up": 1}}, "warn", "does not know"),
        ("last_error", {"last_error": "site primary: unreachable: 111"}, "warn", "no broker"),
        ("umqtt", {"umqtt": False}, "warn", "not on the board"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(name: str, change: Any, state: str, words: str) -> None:
    report = build({**GOOD, **change}, "mqtt", 0)
    item = report.item(name)
    assert item.state == report.verdict == state
    assert words in item.meaning
    assert item.action
    assert any(item.action in line for line in lines_of(report))


def test_older_firmware_that_says_less_is_no_error() -> None:
    for left_out in GOOD:
        build({name: value for name, value in GOOD.items() if name != left_out}, "usb", 0)
    assert build({}, "usb", 0).verdict == "ok"


AT_PROMPT: dict[str, Any] = {
    "micropython": "1.28", "platform": "rp2", "cause": "WDT_RESET", "unique_id": "e6",
    "heap": {"used": 1, "free": 90_000}, "files": (600_000, 300_000), "release": ("", "0.1.0"),
    "wiring": ("", "RPI_PICO_W"), "main": ("", 900), "config": ("", "bed-1"),
    "keys": ("", "240ac40000010000"), "app": ("", "0.1.0"),
}  # fmt: skip


def test_prompt_names_the_first_thing_that_is_missing() -> None:
    for name in ("release", "main", "wiring", "config", "keys", "app"):
        report = prompt.judge({**AT_PROMPT, name: ("OSError: ENOENT", None)}, False, 0)
        assert report.verdict == "bad"
        gateway = report.item("gateway")
        assert gateway.meaning == "OSError: ENOENT"
        assert gateway.action
    whole = prompt.judge(AT_PROMPT, False, 0)
    assert "all that it needs is there" in whole.item("gateway").text
    assert prompt.judge(AT_PROMPT, True, 0).item("gateway").state == "ok"
    assert whole.gateway == "240ac40000010000"
