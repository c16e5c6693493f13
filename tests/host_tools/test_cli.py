"""The command line: verbs by entry point, failures in two lines."""

from importlib.metadata import EntryPoint, version

import click
import pytest

from vitalkeep import cli
from vitalkeep.errors import ToolError

GROUP = cli.GROUP


@click.command()
def fails():
    raise ToolError("the board does not answer", "Plug it in.", exit_code=3)


@click.command()
def works():
    click.echo("done")


@pytest.fixture
def verbs(monkeypatch):
    found = [
        EntryPoint("fails", f"{__name__}:fails", GROUP),
        EntryPoint("works", f"{__name__}:works", GROUP),
        EntryPoint("absent", "no_such_package.anywhere:verb", GROUP),
        EntryPoint("wrong", f"{__name__}:GROUP", GROUP),
    ]
    monkeypatch.setattr(cli, "entry_points", lambda group: found)


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    return ended.value.code


def test_verb_of_an_entry_point_runs(verbs, capsys):
    assert run("works") == 0
    assert capsys.readouterr().out == "done\n"


def test_expected_failure_is_two_lines_and_a_code(verbs, capsys):
    assert run("fails") == 3
    assert capsys.readouterr().err == "vitalkeep: the board does not answer\nPlug it in.\n"


@pytest.mark.parametrize("name", ["absent", "wrong"])
def test_verb_that_cannot_be_loaded_says_so(verbs, capsys, name):
    assert run(name, "--option", "value") == 1
    assert "cannot be loaded" in capsys.readouterr().err


def test_help_lists_every_verb_even_broken_ones(verbs, capsys):
    assert run("--help") == 0
    listed = capsys.readouterr().out
    for name in ("fails", "works", "absent", "wrong"):
        assert name in listed


def test_unknown_verb_and_version(verbs, capsys):
    assert run("nothing") == 2
    assert "No such command" in capsys.readouterr().err
    assert run("--version") == 0
    assert version("vitalkeep") in capsys.readouterr().out
