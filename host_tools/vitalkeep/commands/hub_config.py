"""`vitalkeep hub config`: an example of hub.toml, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("config")
@click.option(
    "--check", "path", type=click.Path(path_type=Path, dir_okay=False), help="Check this file."
)
def hub_config(path: Path | None) -> None:
    """Print a commented hub.toml with every name, or check one."""
    from vitalkeep.hub.config.example import example
    from vitalkeep.hub.config.load import load

    if path is None:
        click.echo(example(), nl=False)
    else:
        load(path)
        click.echo(f"{path}: nothing is wrong with it.")
