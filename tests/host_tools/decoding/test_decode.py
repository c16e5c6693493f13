"""`vitalkeep decode` says the same as the board, on either interpreter."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bridge.core.protocols import PROTOCOLS
from vitalkeep.commands.decode import decode, protocols
from vitalkeep.errors import ToolError

_CAPTURES = Path(__file__).resolve().parents[2] / "captures"
# One of each protocol; the other captures are read by the drivers' own tests.
_FILES = [
    sorted(path for path in folder.iterdir() if path.suffix in (".hex", ".txt"))[0]
    for folder in sorted(_CAPTURES.iterdir())
]


def run(*arguments: object, data: bytes | None = None) -> Result:
    return CliRunner().invoke(decode, [str(part) for part in arguments], input=data)


def options_of(file: Path) -> list[str]:
    found = ["--hex"] if file.suffix == ".hex" else []
    known = json.loads(file.with_suffix(".json").read_text())
    if isinstance(known, dict):
        options = known["options"] if "options" in known else {"units": known["units"]}
        found += ["--options", json.dumps(options)]
    elif file.parent.name == "nonin":
        found += ["--options", json.dumps({"format": int(file.stem.split("_")[1])})]
    return found


@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.stem)
def test_both_interpreters_say_the_same(file: Path) -> None:
    here = run(file.parent.name, file, "--json", *options_of(file))
    there = run(file.parent.name, file, "--json", "--micropython", *options_of(file))
    assert here.exit_code == there.exit_code == 0, (here.output, there.output)
    assert here.stdout == there.stdout
    events = [json.loads(line) for line in here.stdout.splitlines()]
    assert any(event["event"] == "observation" for event in events)


def test_a_value_has_its_code_unit_and_state() -> None:
    result = run("masimo_set", _CAPTURES / "masimo_set" / "rad8.txt", "--json")
    first = json.loads(result.stdout.splitlines()[0])
    assert first["values"][0] == {
        "parameter": "SpO2",
        "mdc": "MDC_PULS_OXIM_SAT_O2",
        "mdc_code": 150456,
        "ucum": "%",
        "value": "97",
        "state": "valid",
    }


def test_damage_is_said_and_nothing_is_guessed() -> None:
    result = run("masimo_set", "-", "--json", data=b"\x00\xff garbage \r\n" * 20)
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert {event["event"] for event in events} == {"damage"}
    assert result.exit_code == 0


def test_sentences_are_for_people() -> None:
    file = _CAPTURES / "draeger_medibus" / "evita4.hex"
    result = run("draeger_medibus", file, "--hex")
    assert "PEEP 5 mbar" in result.output


def test_what_is_not_hexadecimal_is_named_by_its_line() -> None:
    result = run("masimo_set", "-", "--hex", data=b"< 41 42\nnonsense\n")
    assert isinstance(result.exception, ToolError)
    assert "line 2" in result.exception.message


def test_wrong_options_are_an_error_with_a_way_on() -> None:
    assert run("masimo_set", "-", "--options", "[1]", data=b"").exit_code == 2
    result = run("modbus_rtu", "-", "--options", '{"units": 7}', data=b"x")
    assert isinstance(result.exception, ToolError)
    assert "docs/protocols/modbus_rtu.md" in result.exception.hint


def test_protocols_lists_every_driver() -> None:
    found = json.loads(CliRunner().invoke(protocols, ["--json"]).stdout)
    assert [entry["name"] for entry in found] == sorted(PROTOCOLS)
    assert all(entry["title"] for entry in found)
