"""ward.toml: one file for a whole ward, from which each gateway's configuration is made."""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass, make_dataclass
from typing import Any

from bridge.core.config import FIELDS, TIME_PORT
from bridge.core.journal.layout import CLASSES
from bridge.core.protocols import PROTOCOLS
from vitalkeep.settings.fields import Secret, setting

_ID = re.compile(r"[0-9a-f]{16}")

# Whatever a gateway lets one set, with the gateway's own bounds.
GatewaySettings = make_dataclass(
    "GatewaySettings",
    [
        (
            name,
            int,
            setting(default, "See docs/guides/configuration.md.", low=low, high=high, unit=unit),
        )
        for name, default, low, high, unit in FIELDS
    ],
    frozen=True,
)


def _id(text: str) -> None:
    if not _ID.fullmatch(text):
        raise ValueError("want 16 hex digits")


@dataclass(frozen=True)
class Site:
    """A site that the gateways deliver to; the first one is preferred."""

    name: str = setting(MISSING, "For people.")
    id: str = setting(MISSING, "Its id, as `vitalkeep vault list` says.", check=_id)
    host: str = setting(MISSING, "Name or address of its broker.")
    port: int = setting(8883, "Of its broker.", low=1, high=65535)
    server_name: str | None = setting(None, "In its certificate, where that is not the host.")
    time_port: int = setting(
        TIME_PORT, "At which it tells the time, 0 for none.", low=0, high=65535
    )
    tls: bool = setting(True, "false is for a broker on the same wire in a trial.")


@dataclass(frozen=True)
class Wifi:
    """The ward's wireless network."""

    ssid: str = setting(MISSING, "Its name.")
    key: Secret = setting(MISSING, "Its key.")


@dataclass(frozen=True)
class Cellular:
    """The modems' network."""

    apn: str = setting(MISSING, "Its access point.")
    user: str | None = setting(None, "Where it wants one.")
    key: Secret | None = setting(None, "Of the user.")


@dataclass(frozen=True)
class Links:
    """What the boards' links need to know."""

    wifi: Wifi | None = setting(None, "For boards with Wi-Fi.")
    cellular: Cellular | None = setting(None, "For boards with a modem.")
    dns: tuple[str, ...] = setting((), "Name servers, by address.")


@dataclass(frozen=True)
class Device:
    """A device on a line."""

    name: str = setting(MISSING, "Unlike any other of its bed.")
    class_: str = setting(MISSING, "How grave its loss is.", choices=tuple(CLASSES))
    unit: int = setting(0, "Its address on a bus.", low=0, high=255)


@dataclass(frozen=True)
class Line:
    """A serial line of a board, or a connection to a device on the network."""

    uart: int = setting(MISSING, "Its number on the board.", low=0, high=255)
    protocol: str = setting(MISSING, "What is spoken on it.", choices=tuple(sorted(PROTOCOLS)))
    baud: int = setting(MISSING, "Its speed.", low=50, high=4_000_000, unit="Bd")
    devices: tuple[Device, ...] = setting(MISSING, "Who speaks on it.")
    bits: int = setting(8, "Of a character.", low=5, high=8)
    parity: str = setting("N", "None, even or odd.", choices=("N", "E", "O"))
    stop: int = setting(1, "Stop bits.", low=1, high=2)
    rs485: bool = setting(False, "Whether a transmitter is to be switched.")
    tcp: str | None = setting(None, "host:port of a device on the network.")
    options: dict[str, Any] | None = setting(None, "What its protocol's page lists.")


@dataclass(frozen=True)
class Kind:
    """Lines that several beds have alike."""

    name: str = setting(MISSING, "By which beds name it.")
    lines: tuple[Line, ...] = setting(MISSING, "Its lines.")


@dataclass(frozen=True)
class Bed:
    """A bed and the gateway that stands at it."""

    name: str = setting(MISSING, "At most 24 characters.")
    gateway: str = setting(MISSING, "The gateway's id.", check=_id)
    kind: str | None = setting(None, "Whose lines it has.")
    lines: tuple[Line, ...] = setting((), "Lines of its own, beside those of its kind.")
    board: str | None = setting(None, "Which of boards/ its gateway is, where not the ward's.")


@dataclass(frozen=True)
class Parameter:
    """A value that the common table lacks."""

    id: int = setting(MISSING, "Its number.", low=0x8000, high=0xFFFF)
    label: str = setting(MISSING, "Its name.")
    unit: str = setting(MISSING, "In UCUM.")


@dataclass(frozen=True)
class Ward:
    """A ward: its sites, its links, and its beds."""

    sites: tuple[Site, ...] = setting(MISSING, "In order of preference.")
    beds: tuple[Bed, ...] = setting(MISSING, "One for each gateway.")
    kinds: tuple[Kind, ...] = setting((), "Lines that several beds have alike.")
    board: str | None = setting(None, "Which of boards/ the gateways are.")
    gateway: GatewaySettings = setting(GatewaySettings(), "Of every gateway.")  # type: ignore[valid-type]
    links: Links = setting(Links(), "What the boards' links need to know.")
    parameters: tuple[Parameter, ...] = setting((), "What the common table lacks.")
    ntp: tuple[str, ...] = setting((), "SNTP servers, by address.")
    radio: dict[str, Any] | None = setting(None, "Region and channel of the radio link.")
    console: str = setting("closed", "The prompt on USB.", choices=("closed", "open"))
