"""Every name that the firmware can say has a meaning, and what is not good has a next action."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from bridge.core.journal import records
from bridge.core.route import GRADES
from vitalkeep.board.kinds import FIRMWARE
from vitalkeep.diagnose import meanings
from vitalkeep.diagnose.meanings import OK, Meaning

BRIDGE = FIRMWARE / "bridge"


def source(name: str) -> ast.Module:
    return ast.parse((BRIDGE / name).read_text())


def said(node: ast.expr) -> list[str]:
    """Return the names that an argument may be; for a part that is not fixed an example stands."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        text = ast.literal_eval(node.left)
        return [text.replace("%d", "3", 1).replace("%s", "wifi", 1)] if "%" in text else [text]
    if isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant):
        return [str(node.left.value) + "*"]
    if isinstance(node, ast.IfExp):
        return said(node.body) + said(node.orelse)
    return []


def counters() -> Iterator[str]:
    for path in sorted(BRIDGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = ast.unparse(node.func.value)
            is_count = node.func.attr == "add" and owner.endswith("counters")
            is_refusal = node.func.attr == "_refuse" and path.name == "timekeeper.py"
            if (is_count or is_refusal) and node.args:
                yield from said(node.args[0])


def reported() -> Iterator[str]:
    """Yield the names of what health/report.py counts itself."""
    for node in ast.walk(source("health/report.py")):
        if isinstance(node, ast.Tuple) and len(node.elts) == 2:
            first = node.elts[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def strings(name: str, within: str = "") -> set[str]:
    """Return the words that a file, or one assignment or function of it, has as strings."""
    tree: ast.AST = source(name)
    if within:
        tree = next(
            node
            for node in ast.walk(tree)
            if (isinstance(node, ast.FunctionDef) and node.name == within)
            or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == within)
        )
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return {word for word in found if re.fullmatch(r"[a-z]+(_[a-z]+)+", word)}


def faults() -> set[str]:
    stages = ("connect", "handshake", "login", "session")
    found = {"refused", "protocol", *(f"silent_in_{stage}" for stage in stages)}
    found |= {f"broken_in_{stage}" for stage in stages}
    found |= strings("uplink/faults.py") - {"broken_in_", "silent_in_"}
    return found


def link_faults() -> set[str]:
    found = {"starting", "resting", "cable_out", "no_address", "captive_portal", "dns_gone"}
    found |= strings("uplink/wlan.py") | strings("uplink/ppp.py")
    return found - {"no_nic"}


def fits(meaning: Meaning | None, name: str) -> None:
    assert meaning is not None, f"{name}: has no meaning in vitalkeep/diagnose/meanings.py"
    assert meaning.text, name
    assert meaning.state == OK or meaning.action, f"{name}: what is one to do?"


def test_every_counter_of_the_firmware_has_a_meaning() -> None:
    names = set(counters()) | set(reported()) | {"left_out"}
    assert len(names) > 50, "the firmware's counters were not found"
    for name in sorted(names):
        if name == "session_*":
            for fault in faults():
                fits(meanings.of_counter("session_" + fault), fault)
        elif name == "firmware_*":
            causes = set()
            for file in ("update.py", "core/bundle.py"):
                causes |= set(re.findall(r'Refused\(\s*"([a-z]+)"', (BRIDGE / file).read_text()))
            assert len(causes) > 5
            for cause in causes:
                fits(meanings.of_counter("firmware_" + cause), cause)
        elif name == "link_wifi_%s":
            for fault in link_faults():
                fits(meanings.of_counter("link_wifi_" + fault), fault)
        elif name in ("line3_wifi", "line3_%s"):
            kinds = ("noise", "check", "length", "format", "timeout", "refused")
            for kind in (*kinds, "stranger", "overruns", "framing", "parity", "breaks"):
                fits(meanings.of_counter(f"line0_{kind}"), kind)
        else:
            fits(meanings.of_counter(name.replace("*", "links")), name)
    assert meanings.of_counter("never_heard_of") is None


def test_every_fault_of_sessions_links_and_probes_has_a_meaning() -> None:
    assert len(faults()) > 15
    for fault in faults():
        fits(meanings.FAULTS.get(fault), fault)
    assert len(link_faults()) > 12
    for fault in link_faults():
        fits(meanings.LINK_FAULTS.get(fault), fault)
    own = {"no_umqtt", "no_memory", "no_link", "busy"}
    assert own <= strings("uplink/umqtt_probe.py") | {"busy"}
    for fault in own:
        fits(meanings.PROBE_FAULTS.get(fault), fault)
    for grade in GRADES:
        fits(meanings.GRADES.get(grade), grade)


def test_every_reset_cause_and_event_has_a_meaning() -> None:
    text = (BRIDGE / "app.py").read_text()
    causes = re.findall(r'\("[A-Z]+_RESET", "([a-z -]+)"\)', text)
    assert len(causes) == 5
    for cause in causes:
        fits(meanings.RESETS.get(cause), cause)
    for name in records.EVENT_NAMES.values():
        assert meanings.EVENTS[name], name


def test_last_error_is_understood() -> None:
    for text, meaning in (
        ("site primary: no_tls: [Errno 5]", meanings.FAULTS["no_tls"]),
        ("site primary: move: [Errno 5]", meanings.COUNTERS["move_failed"]),
        ("radio: OSError: 5", meanings.COUNTERS["radio_broken"]),
    ):
        assert meanings.of_error(text) == meaning
    assert "firmware failed" in meanings.of_error("line0: ValueError: no").text
    assert "does not know" in meanings.of_error("site primary: made_up: x").text


def test_the_guide_has_the_tables() -> None:
    text = (Path(__file__).parents[3] / "docs" / "guides" / "diagnose.md").read_text()
    how = "python -c 'from vitalkeep.diagnose.meanings import tables; print(tables())'"
    assert meanings.tables() in text, how
