"""ward.toml: what is made of it, and what is said of its mistakes."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from bridge.core.config import FIELDS, Config
from vitalkeep import cli
from vitalkeep.errors import ToolError
from vitalkeep.ward.compile import gateway_config, lines_of, parse_ward

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "ward.md"
WARD = re.search(r"```toml\n(.*?)```", GUIDE.read_text(), re.DOTALL)[1]


def config(text: str = WARD, bed: int = 0) -> dict:
    ward = parse_ward(text)
    return gateway_config(ward, ward.beds[bed], lambda _: "long enough")


def refusal(text: str) -> list[str]:
    with pytest.raises(ToolError) as found:
        parse_ward(text)
    return found.value.message.splitlines()


def test_the_guides_ward_is_what_each_board_takes() -> None:
    first, second = (Config(config(bed=bed)) for bed in (0, 1))
    assert (first.bed, second.bed) == ("bed-1", "bed-2")
    assert [line["uart"] for line in first.lines] == [1, 2]
    assert [line["uart"] for line in second.lines] == [1, 2, 0]
    assert [site["name"] for site in first.sites] == ["primary", "standby"]
    assert first.sites[1]["server_name"] == "10.1.0.5"
    assert first.links["wifi"] == {"ssid": "ward-3", "key": "long enough"}


def test_only_what_was_chosen_is_written() -> None:
    assert "heartbeat_ms" not in config()  # it is the default
    chosen = config(WARD.replace("heartbeat_ms = 2000", "heartbeat_ms = 900"))
    assert chosen["heartbeat_ms"] == 900
    assert not {name for name, *_ in FIELDS} & (set(chosen) - {"heartbeat_ms"})


def test_everything_that_config_json_has_can_be_said() -> None:
    more = """
        ntp = ["10.0.0.1", "10.0.0.2:1123"]
        radio = {region = "EU868"}
        console = "open"
        parameters = [{id = 32768, label = "O2 supply", unit = "kPa"}]
    """
    cellular = '[links.cellular]\napn = "ward"\nuser = "u"\nkey = "env:X"\n[links.wifi]'
    data = config(more + WARD.replace("[links.wifi]", cellular))
    assert data["ntp"] == ["10.0.0.1", "10.0.0.2:1123"]
    assert data["radio"] == {"region": "EU868"}
    assert data["console"] == "open"
    assert data["parameters"] == [{"id": 32768, "label": "O2 supply", "unit": "kPa"}]
    assert data["links"]["cellular"] == {"apn": "ward", "user": "u", "key": "long enough"}
    Config(data)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("heartbeat_ms = 2000", "heartbeat_ms = 2", "gateway.heartbeat_ms: want 500 to 60000 ms"),
        ('"masimo_set"', '"masimo"', "kinds[0].lines[1].protocol: want one of alaris_asena"),
        ('class = "B"', 'class = "D"', "devices[0].class: want one of A, B, C"),
        ('kind = "icu"\n\n#', 'kind = "ICU"\n\n#', "beds[1].kind: no such kind: want one of icu"),
        ("uart = 0", "uart = 1", "beds[1]: uart 1 has two lines"),
        ("240ac40000010001", "240ac40000010000", "beds[1].gateway: 240ac40000010000 is there"),
        ('"bed-2"', '"bed-1"', "beds[1].name: bed-1 is there twice"),
        ('"pump"', '"oximeter"', "beds[1]: lines: uart 0: device 'oximeter' twice"),
        ("5f0c8a1200000002", "5f0c", "sites[1].id: want 16 hex digits"),
        ("uart = 2", "uart = 2\noptions = {wave = 1}", "kinds[0].lines[1]: "),
        ('"bed-2"', '"a name of more than 24 letters"', "beds[1]: bed: 'a name of more"),
    ],
)
def test_mistakes_are_said_with_their_line(old: str, new: str, said: str) -> None:
    assert WARD.count(old) == 1
    found = refusal(WARD.replace(old, new))
    assert any(said in line for line in found), found
    assert all(re.match(r"ward\.toml:\d+: ", line) for line in found)


def test_line_of_a_mistake_is_the_right_one_and_all_are_said_at_once() -> None:
    text = WARD.replace("baud = 9600", "baud = 9").replace("uart = 0", "uart = 999")
    places = [int(line.split(":")[1]) for line in refusal(text)]
    lines = text.splitlines()
    assert [lines[place - 1] for place in places] == ["baud = 9", "uart = 999"]


def test_a_key_in_the_place_of_its_name_is_not_repeated() -> None:
    found = refusal(WARD.replace("file:/etc/vitalkeep/wifi.key", "correct horse"))
    assert "correct" not in "".join(found)


def test_lines_of_a_bed_are_those_of_its_kind_and_its_own() -> None:
    ward = parse_ward(WARD)
    assert len(lines_of(ward, ward.beds[0])) == 2
    assert len(lines_of(ward, ward.beds[1])) == 3


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: object, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(["ward", *map(str, arguments)])
        said = capsys.readouterr()
        assert (ended.value.code or 0) == code, said.err
        return said.out if code == 0 else said.err

    key, plan, out = tmp_path / "key", tmp_path / "ward.toml", tmp_path / "out"
    plan.write_text(WARD.replace("/etc/vitalkeep/wifi.key", str(key)))
    assert "2 sites, 2 beds" in run("check", plan)
    run("compile", plan, "--out", out, code=1)
    assert not out.exists()  # the key is missing, and nothing is half done
    key.write_text("long enough\n")
    key.chmod(0o600)
    asked = ("compile", plan, "--out", out, "--json")
    assert json.loads(run(*asked))["beds"] == {"bed-1": "new", "bed-2": "new"}
    assert json.loads(run(*asked))["beds"] == {"bed-1": "same", "bed-2": "same"}
    path = out / "240ac40000010001" / "config.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["links"]["wifi"]["key"] == "long enough"
    plan.write_text(plan.read_text().replace('"pump"', '"syringe"'))
    assert json.loads(run(*asked))["beds"] == {"bed-1": "same", "bed-2": "changed"}
    assert "There are bed-1, bed-2" in run(*asked, "--bed", "bed-3", code=1)
