"""Where a broker is, as people write it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from vitalkeep.errors import ToolError
from vitalkeep.hub.tls import Identity

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class Address:
    """Where a broker is: mqtt://[user:password@]host[:port], or mqtts:// with an identity.

    The password is never shown.
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = None
    identity: Identity | None = None

    @classmethod
    def parse(cls, url: str, identity: Identity | None = None) -> Address:
        """Return the address in a URL; raises ToolError.

        identity  for mqtts://, and for it alone
        """
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            parts, port = urlsplit(""), 0
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ToolError(
                "the broker's address makes no sense",
                "Write mqtts://host:port or mqtt://host:port.",
            )
        if (parts.scheme == "mqtts") != (identity is not None):
            raise ToolError(
                f"{parts.scheme}:// {'needs' if identity is None else 'takes no'} certificate",
                "Write mqtts:// and --ca, --certificate and --key; or mqtt:// and none of these.",
            )
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        return cls(parts.hostname, port, user, password, identity)

    @classmethod
    def parse_all(cls, urls: str, identity: Identity | None = None) -> list[Address]:
        """Return the addresses in URLs with commas between: servers of one cluster."""
        return [cls.parse(url.strip(), identity) for url in urls.split(",")]

    def __repr__(self) -> str:
        return f"mqtt{'s' if self.identity else ''}://{self.host}:{self.port}"

    __str__ = __repr__
