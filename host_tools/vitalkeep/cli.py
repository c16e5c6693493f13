"""The `vitalkeep` command: verbs are found through the entry-point group "vitalkeep.commands".

A verb's module is imported only when the verb is used, so a laptop that flashes boards needs no
database driver. Expected failures are two lines on stderr and an exit code, never a traceback.
"""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points, version
from typing import Any

import click

from vitalkeep.errors import ToolError
from vitalkeep.shown import shown

GROUP = "vitalkeep.commands"


class LazyGroup(click.Group):
    """A group whose subcommands are the entry points of `entries`."""

    def __init__(self, *args: Any, entries: str = GROUP, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._group = entries

    def _entries(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=self._group)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._entries()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._entries().get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        try:
            command = entry.load()
        except ImportError as error:
            # Said when the verb is used, and in one line of the list of verbs.
            return _unavailable(cmd_name, str(error))
        if not isinstance(command, click.Command):
            return _unavailable(cmd_name, f"{entry.value} is no click command")
        return command


def _unavailable(name: str, why: str) -> click.Command:
    def refuse(**_: object) -> None:
        raise ToolError(
            f"{name}: cannot be loaded: {why}", "Install what is missing: pip install vitalkeep."
        )

    return click.Command(
        name,
        callback=refuse,
        short_help="(not installed)",
        context_settings={"ignore_unknown_options": True},
        params=[click.Argument(["arguments"], nargs=-1)],
    )


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("vitalkeep"), prog_name="vitalkeep")
def cli() -> None:
    """Keep every vital sign of the bedside through an outage."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    try:
        code = cli.main(args=arguments, prog_name="vitalkeep", standalone_mode=False)
    except ToolError as error:
        for line in f"vitalkeep: {error.message}\n{error.hint}".rstrip().split("\n"):
            click.echo(shown(line), err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)
