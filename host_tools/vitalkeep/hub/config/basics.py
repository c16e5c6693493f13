"""The sections of what every hub has: its site, broker, database, page and time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bridge.core.config import TIME_PORT
from vitalkeep.settings.fields import HostPort, Secret, setting

TIME_HOST = "127.0.0.1"


def no_password(url: str) -> None:
    """Raise ValueError for a URL, or several with commas between, with a password in it."""
    try:
        passwords = [urlsplit(part).password for part in url.split(",")]
    except ValueError:
        raise ValueError("want a URL") from None
    if any(passwords):
        raise ValueError('want no password here: set password = "env:..." or "file:..."')


@dataclass(frozen=True)
class SiteSettings:
    """Where this site keeps its things."""

    data: Path | None = setting(
        None, "Folder for the data. Default: this user's.", example="/var/lib/vitalkeep"
    )
    vault: Path | None = setting(
        None, "Folder of the root keys, mode 0700. Default: vault in the data folder.",
        example="/var/lib/vitalkeep/vault",
    )  # fmt: skip


@dataclass(frozen=True)
class BrokerSettings:
    """The MQTT broker. With no url, an embedded one on 127.0.0.1."""

    url: str | None = setting(
        None, "mqtts://host:port, or mqtt://[user@]host:port; with commas between, the servers of"
        " a cluster.",
        example="mqtts://broker.example:8883", check=no_password,
    )  # fmt: skip
    password: Secret | None = setting(
        None, "Of the user in the url.", example="env:VITALKEEP_BROKER_PASSWORD"
    )
    ca: Path | None = setting(
        None, "For mqtts: ca.pem, the ward's authority.", example="/etc/vitalkeep/hub/ca.pem"
    )
    certificate: Path | None = setting(
        None, "For mqtts: its certificate.", example="/etc/vitalkeep/hub/certificate.pem"
    )
    key: Path | None = setting(
        None, "For mqtts: its key, mode 0600.", example="/etc/vitalkeep/hub/key.pem"
    )
    port: int = setting(1883, "Of the embedded broker; 0 takes a free one.", low=0, high=65535)

    def __post_init__(self) -> None:
        if len({self.ca is None, self.certificate is None, self.key is None}) > 1:
            raise ValueError("ca, certificate and key belong together: want all three or none")
        if self.password is not None and self.url is None:
            raise ValueError("password: want the url with its user, too")


@dataclass(frozen=True)
class DatabaseSettings:
    """Where the logs are stored."""

    url: str | None = setting(
        None, "sqlite:////path/hub.db or postgresql://user@host/name. Default: hub.db in the data"
        " folder.", example="postgresql://vitalkeep@db.example/vitalkeep", check=no_password,
    )  # fmt: skip
    password: Secret | None = setting(
        None, "Of the user in the url.", example="file:/etc/vitalkeep/database.password"
    )

    def __post_init__(self) -> None:
        if self.password is not None and self.url is None:
            raise ValueError("password: want the url with its user, too")


@dataclass(frozen=True)
class PageSettings:
    """The live page, its API, and what monitoring asks."""

    on: bool = setting(True, "Whether there is one.")
    listen: HostPort = setting(
        HostPort("127.0.0.1", 8321), "Where; port 0 takes a free one. It has no passwords."
    )
    names: tuple[str, ...] = setting(
        (), "By which people reach it, beside its address and this machine's name; under any other"
        " name it answers 421.", example=("ward.hospital.example",),
    )  # fmt: skip


@dataclass(frozen=True)
class TimeSettings:
    """The time server for gateways, over UDP."""

    on: bool = setting(True, "Whether there is one.")
    listen: HostPort | None = setting(
        None, f"Where. Default: {TIME_HOST}:{TIME_PORT} if it is free.",
        example=f"0.0.0.0:{TIME_PORT}",
    )  # fmt: skip
