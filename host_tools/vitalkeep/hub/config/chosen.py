"""What holds for a hub: an option of the command, else its environment, its file, its default."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

from bridge.core.config import TIME_PORT
from vitalkeep.errors import ToolError
from vitalkeep.hub.config.basics import (
    TIME_HOST,
    BrokerSettings,
    DatabaseSettings,
    PageSettings,
    SiteSettings,
    TimeSettings,
)
from vitalkeep.hub.config.load import Config
from vitalkeep.settings.fields import HostPort, Secret

if TYPE_CHECKING:
    from vitalkeep.hub.address import Address
    from vitalkeep.hub.tls import Identity

_DATA = "vitalkeep"

Where = tuple[str, int]


def data_home() -> Path:
    """Return the folder for this user's data (XDG base directories)."""
    home = os.environ.get("XDG_DATA_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local" / "share") / _DATA


def parse_listen(option: str, text: str) -> Where:
    """Return (host, port) of an option's "host:port"; raises ToolError."""
    try:
        found = HostPort.parse(text)
    except ValueError as error:
        raise ToolError(f"{option} {text}: {error}", "For example 127.0.0.1:8321.") from None
    return found.host, found.port


def find_identity(ca: Path | None, certificate: Path | None, key: Path | None) -> Identity | None:
    """Return the Identity in three files, None for none of them; raises ToolError."""
    from vitalkeep.hub.tls import Identity

    if ca is None and certificate is None and key is None:
        return None
    if ca is None or certificate is None or key is None:
        raise ToolError(
            "--ca, --certificate and --key belong together", "Give all three, or none of them."
        )
    identity = Identity(ca, certificate, key)
    identity.context()  # what is wrong with the files is said at once
    return identity


def data_folder(config: Config, option: Path | None) -> Path:
    """Return the folder for the data."""
    return option or config[SiteSettings].data or data_home()


def vault_folder(config: Config, option: Path | None, data: Path) -> Path:
    """Return the folder of the vault."""
    return option or config[SiteSettings].vault or data / "vault"


def page_address(config: Config, option: str | None) -> Where | None:
    """Return where the page is, None for no page; raises ToolError."""
    if option is not None:
        return parse_listen("--http", option)
    page = config[PageSettings]
    return (page.listen.host, page.listen.port) if page.on else None


def time_address(config: Config, option: str | None) -> tuple[Where | None, bool]:
    """Return where the time is told, None for nowhere, and whether that may fail."""
    if option is not None:
        return None if option == "none" else parse_listen("--time", option), False
    time = config[TimeSettings]
    if not time.on:
        return None, False
    if time.listen is not None:
        return (time.listen.host, time.listen.port), False
    return (TIME_HOST, TIME_PORT), True


def broker_address(
    config: Config, option: str | None, identity: Identity | None
) -> list[Address] | None:
    """Return the broker's servers, None for an embedded one; raises ToolError.

    identity  of the options; that of the file serves any mqtts:// when there is none
    """
    from vitalkeep.hub.address import Address

    broker = config[BrokerSettings]
    url = option or os.environ.get("VITALKEEP_BROKER")
    if url is None and broker.url is not None:
        servers = [_with_password(part.strip(), broker.password) for part in broker.url.split(",")]
        url = ",".join(servers)
    if identity is None and (url is None or url.startswith("mqtts:")):
        identity = find_identity(broker.ca, broker.certificate, broker.key)
    return Address.parse_all(url or "", identity) if url or identity else None


def worker_name(config: Config, option: str | None, data: Path) -> str:
    """Return the name of this hub among others on its database: the same at each start."""
    from vitalkeep.hub.worker import ClusterSettings

    return option or config[ClusterSettings].worker or f"{socket.gethostname()}:{data.resolve()}"


def database_url(config: Config, option: str | None, data: Path, make: bool = True) -> str:
    """Return the database's URL, and make the data folder for SQLite's default; raises ToolError.

    make  False: change nothing
    """
    database = config[DatabaseSettings]
    if option:
        return option
    if database.url is not None:
        return _with_password(database.url, database.password)
    try:
        if make:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ToolError(f"{data}: {error.strerror}", "Name another folder: --data DIR.") from None
    return f"sqlite:///{data / 'hub.db'}"


def witness_url(config: Config) -> str | None:
    """Return the URL of the witness of duties, None where the hub's own database is."""
    from vitalkeep.hub.duties import DutySettings

    duties = config[DutySettings]
    if duties.witness is None:
        return None
    parts = duties.witness.split(",")
    return ",".join(_with_password(part.strip(), duties.witness_password) for part in parts)


def _with_password(url: str, password: Secret | None) -> str:
    if password is None:
        return url
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        raise ToolError(
            "a password without a user in its url", 'Write url = "...://user@host/...".'
        )
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password.read(), safe='')}@{host}"))
