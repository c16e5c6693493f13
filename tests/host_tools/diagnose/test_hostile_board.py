"""What is at a USB port may say anything: it is refused, bounded, and steers no terminal."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import struct
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.core import command_wire
from tests.support.console import VAULT
from tests.support.site_client import COMMAND_KEY, GATEWAY
from vitalkeep import cli
from vitalkeep.board.errors import BoardError
from vitalkeep.board.mpremote import Mpremote
from vitalkeep.diagnose import usb as module
from vitalkeep.diagnose.bundle import write_bundle
from vitalkeep.diagnose.prompt import look
from vitalkeep.diagnose.redact import Redactor
from vitalkeep.diagnose.report import build, lines_of
from vitalkeep.diagnose.usb import NoGateway, Usb
from vitalkeep.errors import ToolError
from vitalkeep.shown import shown

STATUS: dict[str, Any] = {
    "gateway": GATEWAY.hex(), "log": "cd" * 8, "nonce": "01" * 8, "bed": "bed-1",
    "heads": {"A": [0, 1, 2], "B": [0, 0, 9], "C": [-1, -1, 0]}, "console": "open",
}  # fmt: skip
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\r\nvitalkeep: all is well"


def lines(kind: str, data: bytes) -> bytes:
    count = -(-len(data) // 48)
    said = b""
    for number in range(count):
        piece = base64.b64encode(data[number * 48 : number * 48 + 48]).decode()
        said += f"vk{kind} {number + 1}/{count} {piece}\r\n".encode()
    return said


def status(**changes: Any) -> bytes:
    return lines("?", json.dumps(STATUS | changes).encode())


@contextmanager
def plugged(*answers: bytes, floods: bool = False) -> Iterator[str]:
    """Yield a port where each request gets the next answer, or the last one again and again."""
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    over = threading.Event()

    def run() -> None:
        heard, asked, left = b"", 0, b""
        while not over.is_set():
            try:
                heard += os.read(ours, 4096)
            except BlockingIOError:
                time.sleep(0.005)
            while found := re.search(rb"vk[?:][^\n]*\n", heard):
                heard = heard[found.end() :]
                left += answers[min(asked, len(answers) - 1)]
                asked += 1
            if floods and asked and not left:
                left = answers[-1]
            try:
                left = left[os.write(ours, left[:1024]) :] if left else left
            except BlockingIOError:
                time.sleep(0.005)

    speaker = threading.Thread(target=run)
    speaker.start()
    try:
        yield os.ttyname(theirs)
    finally:
        over.set()
        speaker.join()
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(
    "said",
    [
        b"vk? 1/" + b"9" * 5000 + b" AAAA\n",
        lines("?", b"[" * 40_000), lines("?", b'{"a":' * 3000 + b"1" + b"}" * 3000),
        status(more=[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]),
        status(nonce="no hex"), status(nonce="00"), status(gateway=7), status(gateway="ab"),
        status(bed=None), status(heads={}), status(heads={"A": 1, "B": 2, "C": 3}), status(log=[]),
        lines("?", b"[1]"), lines("?", b"\xff\xfe"), b"vk? 2/1 AAAA\n", b"vk? 0/0 AAAA\n",
    ],
    ids=range(16),
)  # fmt: skip
def test_what_is_no_answer_of_a_gateway_is_none(said: bytes) -> None:
    with plugged(said) as port, Usb(port, quiet_s=0.3) as usb, pytest.raises(NoGateway):
        usb.greet(tries=1)
    with plugged(status()) as port, Usb(port, quiet_s=0.3) as usb:
        assert usb.greet(tries=1)["bed"] == "bed-1"


@pytest.mark.parametrize(
    "said", [b"vk? 1/2 AAAA\r\n", b"vk? 2/2 AAAA\r\n", b"x" * 500, b"vk? 1/1 AAAA\r\n"]
)
def test_one_that_does_not_end_is_left(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WHOLE_S", 1.0)
    with (
        plugged(said, floods=True) as port,
        Usb(port, quiet_s=0.5) as usb,
        pytest.raises(NoGateway),
    ):
        usb.greet(tries=1)


@pytest.mark.parametrize("data", [b"[" * 500, b"7", b'"error"', b"\xff", b"{", b"null"])
def test_reply_that_makes_no_sense_is_said_though_its_tag_is_right(data: bytes) -> None:
    head = struct.pack(command_wire._REPLY, 1, bytes.fromhex(STATUS["nonce"]), 1, 0, 1)
    part = command_wire._sealed(COMMAND_KEY, command_wire._REPLY_LABEL, GATEWAY, head + data)
    with plugged(status(), lines(":", bytes(part))) as port, Usb(port, VAULT, 0.5) as usb:
        usb.greet()
        with pytest.raises(ToolError, match="makes no sense"):
            usb._order("configuration", {})


def test_nothing_that_is_said_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(ESCAPES).isprintable()
    assert shown("µmol/l, 37 °C, äöü") == "µmol/l, 37 °C, äöü"
    raw = STATUS | {
        "bed": ESCAPES, "firmware": ESCAPES, "micropython": ESCAPES, "reset": ESCAPES,
        "counters": {ESCAPES: 1}, "last_error": ESCAPES,
        "links": [[ESCAPES, "down", 1, 2, ESCAPES]],
        "sites": [{"name": ESCAPES, "host": ESCAPES, "port": 1, "up": False, "fault": ESCAPES}],
        "devices": [{"name": ESCAPES, "class": ESCAPES, "quiet_ms": 1}],
    }  # fmt: skip
    for line in lines_of(build(raw, "usb", 0), everything=True):
        assert line.isprintable()
    with plugged(status(**raw)) as port, pytest.raises(SystemExit):
        cli.main(["diagnose", "--port", port])
    said = capsys.readouterr()
    assert "owned" in said.out
    assert all(line.isprintable() for line in (said.out + said.err).split("\n"))
    with plugged(status(gateway="99" * 8, bed=ESCAPES)) as port, pytest.raises(SystemExit):
        cli.main(["diagnose", "bed-2", "--port", port])
    said = capsys.readouterr()
    assert "owned" in said.err
    assert all(line.isprintable() for line in (said.out + said.err).split("\n"))


@pytest.mark.parametrize("odd", [None, 7, "x", [], {}, [1], [[1]], {"A": 1}, 10**400, -1, 1e308])
def test_report_goes_on_beside_what_cannot_be_read(odd: Any, tmp_path: Path) -> None:
    names = (
        "heads", "pool", "hours_left", "certificate_days", "links", "sites", "devices", "mono",
        "counters", "last_error", "clock", "clock_error", "heap", "files", "reset", "firmware",
    )  # fmt: skip
    for name in names:
        report = build(STATUS | {"micropython": "1.28", "reset": "hard", name: odd}, "usb", 0)
        assert report.item("micropython").state == "ok"
        assert all(line.isprintable() for line in lines_of(report, everything=True))
        write_bundle(tmp_path / "x.zip", report, [], {}, Redactor())


@pytest.mark.parametrize("said", [7, [], {}, {"micropython": 1}, {"release": 7}])
def test_prompt_that_says_something_else_is_refused(
    said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mpremote, "evaluate", lambda *more, **named: said)
    monkeypatch.setattr(Mpremote, "reset", lambda self: None)
    with pytest.raises(BoardError) as caught:
        look(Mpremote("/dev/none"), False)
    assert caught.value.cause == "no-answer"


def test_file_of_that_name_that_others_could_read_is_replaced(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "support.zip", tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    path.symlink_to(elsewhere)
    for _ in range(2):
        write_bundle(path, build(STATUS, "usb", 0), [], {}, Redactor())
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        path.chmod(0o644)
    assert elsewhere.read_text() == "mine"
