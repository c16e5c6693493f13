"""hub.toml: what it may say, and what is said of what it may not."""

import contextlib
import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.host_tools.hub.test_app import run_hub
from vitalkeep.errors import ToolError
from vitalkeep.hub.config import basics, load
from vitalkeep.hub.config.chosen import broker_address, database_url, page_address, time_address
from vitalkeep.hub.config.example import example
from vitalkeep.hub.config.load import Config, parse
from vitalkeep.settings.fields import HostPort, Secret, setting


@dataclass(frozen=True)
class Peer:
    """A site."""

    name: str = setting(dataclasses.MISSING, "Its name.")
    rates: tuple[int, ...] = setting((), "By class.", low=1, high=9, unit="KB/s")


@dataclass(frozen=True)
class Exchange:
    """Exchanges sectors."""

    share: float = setting(0.5, "Of the line.", low=0, high=1)
    mode: str = setting("all", "What.", choices=("all", "none"))
    peers: tuple[Peer, ...] = setting((), "Others.")

    def __post_init__(self):
        if self.mode == "none" and self.peers:
            raise ValueError("peers: want none with mode none")


@pytest.fixture
def with_exchange(monkeypatch):
    """Give the file a section that shows all that a part may declare."""
    monkeypatch.setattr(load, "sections", lambda: {"exchange": Exchange})


def refusal(text):
    with pytest.raises(ToolError) as found:
        parse(text)
    return found.value.message


def test_without_a_file_the_defaults_hold():
    config = Config()
    assert config[basics.PageSettings].listen == HostPort("127.0.0.1", 8321)
    assert page_address(config, None) == ("127.0.0.1", 8321)
    assert time_address(config, None)[1]
    assert broker_address(config, None, None) is None


def test_values_are_taken_and_options_win(tmp_path):
    config = parse(
        '[page]\nlisten = "[::1]:99"\n[time]\non = false\n[site]\nvault = "/v"\n'
        '[database]\nurl = "sqlite:////x.db"\n[broker]\nurl = "mqtt://b:1"\n'
    )
    assert page_address(config, None) == ("::1", 99)
    assert page_address(config, "1.2.3.4:5") == ("1.2.3.4", 5)
    assert time_address(config, None) == (None, False)
    assert config[basics.SiteSettings].vault == Path("/v")
    assert database_url(config, None, tmp_path) == "sqlite:////x.db"
    assert database_url(config, "sqlite:////y.db", tmp_path) == "sqlite:////y.db"
    assert list(map(str, broker_address(config, None, None))) == ["mqtt://b:1"]
    several = broker_address(config, "mqtt://c:2, mqtt://d", None)
    assert list(map(str, several)) == ["mqtt://c:2", "mqtt://d:1883"]


def test_all_mistakes_are_said_at_once_with_their_lines():
    text = (
        "[page]\n"
        "# on = 1\n"
        "lisen = 3\n"  # 3
        "on = 1\n"  # 4
        "[borker]\n"  # 5
        "[broker]\n"
        "port = 65536\n"  # 7
        'ca = "x"\n'
        "[time]\n"
        'listen = """\n'  # 10
        'port = 9"""\n'
    )
    lines = refusal(text).splitlines()
    assert [line.split(":", 2)[1] for line in lines] == ["3", "4", "5", "7", "10"]
    assert "did you mean listen?" in lines[0]
    assert "page.on: want true or false, found 1" in lines[1]
    assert "did you mean broker?" in lines[2]
    assert "want 0 to 65535, found 65536" in lines[3]
    assert "want host:port" in lines[4]


def test_what_belongs_together_is_checked_together():
    assert "hub.toml:2: broker: ca, certificate and key belong" in refusal('\n[broker]\nca = "x"')


def test_no_toml_names_the_place():
    assert "line 2" in refusal("[page]\non = maybe\n")


def test_secret_in_the_file_is_refused_and_not_repeated():
    said = refusal('[database]\nurl = "postgresql://a@h/n"\npassword = "hunter2"')
    assert "env:" in said
    assert "hunter2" not in said
    said = refusal('[database]\nurl = "postgresql://a:hunter2@h/n"')
    assert "hub.toml:2: database.url: want no password here" in said
    assert "hunter2" not in said
    assert "hunter2" not in refusal('[broker]\npassword = ["hunter2"]')


def test_secret_is_read_where_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("VK_TEST_SECRET", "s@fe")
    text = '[database]\nurl = "postgresql://a@h/n"\npassword = "env:VK_TEST_SECRET"'
    assert database_url(parse(text), None, tmp_path) == "postgresql://a:s%40fe@h/n"
    file = tmp_path / "password"
    file.write_text("quiet\n")
    file.chmod(0o600)
    assert Secret(f"file:{file}").read() == "quiet"
    file.chmod(0o644)
    with pytest.raises(ToolError, match="lets others in"):
        Secret(f"file:{file}").read()
    with pytest.raises(ToolError, match="no such variable"):
        Secret("env:VK_TEST_NONE").read()


def test_sections_may_have_lists_tables_choices_and_bounds(with_exchange):
    config = parse('[exchange]\nshare = 1\n[[exchange.peers]]\nname = "b"\nrates = [1, 9]\n')
    assert config[Exchange].peers == (Peer("b", (1, 9)),)
    assert config[Exchange].share == 1.0
    lines = refusal(
        "[exchange]\nmode = 'some'\nshare = nan\n[[exchange.peers]]\n"
        "rates = [1,\n 10]\n[[exchange.peers]]\nname = 2\nrates = 4\n"
    ).splitlines()
    assert lines == [
        "hub.toml:2: exchange.mode: want one of all, none, found 'some'",
        "hub.toml:3: exchange.share: want a number, found nan",
        "hub.toml:4: exchange.peers[0]: name is missing: Its name.",
        "hub.toml:5: exchange.peers[0].rates[1]: want 1 to 9 KB/s, found 10 KB/s",
        "hub.toml:8: exchange.peers[1].name: want a text, found 2",
        "hub.toml:9: exchange.peers[1].rates: want a list, found 4",
    ]
    assert "want a number" in refusal(f"[exchange]\nshare = 1{400 * '0'}\n")
    assert "want none with mode" in refusal(
        "[exchange]\nmode = 'none'\n[[exchange.peers]]\nname = 'x'\n"
    )


def test_example_is_a_file_that_sets_nothing_and_names_everything():
    text = example()
    assert all(parse(text)[cls] == cls() for cls in load.sections().values())
    for name, cls in load.sections().items():
        assert f"[{name}]" in text
        for field in dataclasses.fields(cls):
            assert f"\n# {field.name} = " in text or f"{name}.{field.name}]" in text
    # Each line is right when its mark is taken away; a default may be no value, and then is "".
    shown = re.sub(r"^# (\w+ = |\[+\w)", r"\1", text, flags=re.M)
    parse(shown)


@given(st.text(max_size=200))
def test_no_text_does_more_than_be_refused(text):
    with contextlib.suppress(ToolError):
        parse(text)


def test_command_checks_a_file_and_prints_an_example(tmp_path):
    file = tmp_path / "hub.toml"
    file.write_text(run_hub("config").stdout)
    assert "nothing is wrong" in run_hub("config", "--check", file).stdout
    file.write_text("[page]\nlisten = 'x'\n")
    for arguments in (("config", "--check", file), ("--config", file)):
        done = run_hub(*arguments)
        assert done.returncode == 1
        assert f"{file}:2: page.listen: want host:port" in done.stderr
        assert "vitalkeep hub config" in done.stderr
