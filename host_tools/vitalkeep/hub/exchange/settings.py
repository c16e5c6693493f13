"""The [exchange] section of hub.toml."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vitalkeep.settings.fields import HostPort, setting


def _is_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/"):
        raise ValueError("want https://host:port")


def _is_hub(name: str) -> None:
    if not name.startswith("hub-"):
        raise ValueError('want the name in its certificate, "hub-..."')


@dataclass(frozen=True)
class Peer:
    """Another site's hub."""

    name: str = setting(
        dataclasses.MISSING, "Its name in its certificate.", example="hub-east", check=_is_hub
    )
    url: str = setting(
        dataclasses.MISSING, "Where it listens.", example="https://hub.east.example:8324",
        check=_is_address,
    )  # fmt: skip


@dataclass(frozen=True)
class ExchangeSettings:
    """Other sites: what they have and this one lacks is fetched, what they have is proved."""

    listen: HostPort | None = setting(
        None, "Address and port at which other hubs ask this one.", example="0.0.0.0:8324"
    )
    ca: Path | None = setting(
        None, "ca.pem, the ward's authority. Default: the broker's.",
        example="/etc/vitalkeep/hub/ca.pem",
    )  # fmt: skip
    certificate: Path | None = setting(
        None, "This hub's certificate, issued with --host. Default: the broker's.",
        example="/etc/vitalkeep/hub/certificate.pem",
    )  # fmt: skip
    key: Path | None = setting(
        None, "Its key, mode 0600. Default: the broker's.", example="/etc/vitalkeep/hub/key.pem"
    )
    crl: Path | None = setting(
        None, "crl.pem, what the authority revoked.", example="/etc/vitalkeep/hub/crl.pem"
    )
    rate_kb_s: int = setting(
        0, "What it may take of the line, each way; 0 for no limit.", low=0, unit="kB/s"
    )
    every_s: int = setting(
        3600, "Classes B and C go at once when the hub is idle, and as often as this when it is"
        " not.", low=1, high=3600, unit="s",
    )  # fmt: skip
    orphan_days: int = setting(
        7, "An open sector of which no site has heard for so long, the last day of it listening,"
        " is closed without a seal.",
        low=1, high=3650, unit="days",
    )  # fmt: skip
    peers: tuple[Peer, ...] = setting((), "The other sites.")

    def __post_init__(self) -> None:
        if len({self.ca is None, self.certificate is None, self.key is None}) > 1:
            raise ValueError("ca, certificate and key belong together: want all three or none")
        if len({peer.name for peer in self.peers}) < len(self.peers):
            raise ValueError("peers: a name comes twice")
