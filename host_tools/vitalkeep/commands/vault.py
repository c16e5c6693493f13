"""`vitalkeep vault`: where a site's root keys live, and what opens it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from vitalkeep.commands.ca import json_option
from vitalkeep.hub.config.chosen import data_home

_FILE = click.Path(path_type=Path, dir_okay=False)

_vault_option = click.option(
    "--vault",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the vault; default: vault in the data folder.",
)


def _lock_options(command: Callable[..., None]) -> Callable[..., None]:
    for option, text, more in (
        ("--new-key", "Make the key in the token; else it is there already.", {"is_flag": True}),
        ("--token", "PKCS#11 URI of a key that shall open it.", {"metavar": "URI"}),
        (
            "--passphrase-file",
            "Its first line is the new passphrase, or the token's PIN; else it is asked for.",
            {"type": _FILE},
        ),
    ):
        command = click.option(option, help=text, **more)(command)
    return _vault_option(json_option(command))


@click.group()
def vault() -> None:
    """Keep a site's root keys: in a folder of its own, under a passphrase or a token.

    Whatever opens the vault later (the hub, journal inspect) asks for its passphrase, or takes
    it from the file that VITALKEEP_VAULT_PASSPHRASE_FILE names (for a token's PIN:
    VITALKEEP_TOKEN_PIN_FILE).
    """


@vault.command()
@click.option("--name", default="primary", show_default=True, help="Of the site, for people.")
@_lock_options
def create(
    name: str,
    folder: Path | None,
    passphrase_file: Path | None,
    token: str | None,
    new_key: bool,
    as_json: bool,
) -> None:
    """Make the vault of a site, once."""
    from vitalkeep.keys.vault import Vault

    lock = _new_lock(token, new_key, passphrase_file)
    _say(Vault.create(folder or data_home() / "vault", name, lock), as_json)


@vault.command()
@_lock_options
def lock(
    folder: Path | None,
    passphrase_file: Path | None,
    token: str | None,
    new_key: bool,
    as_json: bool,
) -> None:
    """Put a vault under another passphrase or token, or a first one.

    Copies of it that were made before still open as they did: destroy them.
    """
    from vitalkeep.keys.vault import Vault

    found = Vault.open(folder or data_home() / "vault")
    found.relock(_new_lock(token, new_key, passphrase_file))
    _say(found, as_json)


@vault.command("list")
@_vault_option
@json_option
def show(folder: Path | None, as_json: bool) -> None:
    """List the gateways of a vault. Their keys are never shown."""
    from vitalkeep.keys.vault import Vault

    _say(Vault.open(folder or data_home() / "vault"), as_json)


def _new_lock(uri: str | None, new_key: bool, file: Path | None) -> Any:
    from vitalkeep.keys.lock import passphrase_lock, token_lock
    from vitalkeep.keys.passphrase import read_secret
    from vitalkeep.keys.token import Address

    if uri is None:
        secret = read_secret(
            "new passphrase of the vault", "VITALKEEP_NEW_VAULT_PASSPHRASE", file, new=True
        )
        return passphrase_lock(secret)
    at = Address.parse(uri)
    pin = read_secret("PIN of the vault's token", "VITALKEEP_TOKEN_PIN", file)
    return token_lock(at, pin, new_key)


def _say(found: Any, as_json: bool) -> None:
    kind = found.lock.kind if found.lock else None
    rows = [
        {
            "gateway": gateway.id.hex(),
            "bed": gateway.bed,
            "logs": [log.hex() for log in gateway.logs],
            "revoked": gateway.revoked or None,
        }
        for gateway in found.gateways()
    ]
    if as_json:
        site = {"id": found.site_id.hex(), "name": found.site_name}
        said = {"folder": str(found.folder), "site": site, "lock": kind, "gateways": rows}
        click.echo(json.dumps(said))
        return
    click.echo(f"vault  {found.folder}")
    click.echo(f"site   {found.site_name}, id {found.site_id.hex()}")
    click.echo(
        f"lock   {kind or 'none: whoever reads the file has the keys (vitalkeep vault lock)'}"
    )
    for row in rows:
        revoked = f", revoked {row['revoked'][:10]}" if row["revoked"] else ""
        click.echo(f"  {row['gateway']}  {row['bed']:16} {len(row['logs'])} logs{revoked}")
