"""The hub's end of TLS: what it shows its broker, whom it trusts, and when that ends."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from bridge.core import mqtt
from vitalkeep.errors import ToolError
from vitalkeep.hub.within import within
from vitalkeep.keys.private_files import check_private

WARN_DAYS = 28  # as gateways do
CIPHERS = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256"
_PROBE_S = 5.0


@dataclass(frozen=True)
class Identity:
    """Files that `vitalkeep ca issue` wrote for a hub or a relay, in PEM.

    ca           the ward's authority: no other is trusted
    certificate  its own; key: its key, readable for its owner alone
    """

    ca: Path
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return a context for a client; raises ToolError that names the file."""
        context = self._trusting()
        check_private(self.key, 0o600, "a key")
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise ToolError(
                f"{self.certificate} and {self.key}: {error}",
                "They belong together: vitalkeep ca issue hub NAME --out DIR.",
            ) from None
        return context

    def _trusting(self) -> ssl.SSLContext:
        for path in (self.ca, self.certificate, self.key):
            if not path.is_file():
                raise ToolError(
                    f"{path}: there is no such file",
                    "vitalkeep ca issue hub NAME --out DIR writes ca, certificate and key.",
                )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks names and dates
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        try:
            context.load_verify_locations(self.ca)
        except ssl.SSLError as error:
            raise ToolError(f"{self.ca}: {error}", "Want the ward's ca.pem.") from None
        return context

    async def lets_strangers_in(self, host: str, port: int) -> bool:
        """Say whether the broker takes a client that shows no certificate at all."""
        with contextlib.suppress(OSError, asyncio.TimeoutError, EOFError):
            reader, writer = await within(
                _PROBE_S, asyncio.open_connection(host, port, ssl=self._trusting())
            )
            try:
                writer.write(mqtt.connect("vitalkeep-probe", 10))
                answer = await within(_PROBE_S, reader.readexactly(4))
                return answer == b"\x20\x02\x00\x00"
            finally:
                writer.close()
        return False

    def ends(self) -> dict[str, dt.datetime]:
        """Return when the hub's certificate and the authority's end."""
        found = {}
        for name, path in (("hub", self.certificate), ("authority", self.ca)):
            with contextlib.suppress(OSError, ValueError):
                certificate = x509.load_pem_x509_certificate(path.read_bytes())
                found[name] = certificate.not_valid_after_utc
        return found


def end_of_peer(peer: ssl.SSLObject) -> dt.datetime | None:
    """Return when the certificate that the broker showed ends."""
    shown = peer.getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(shown).not_valid_after_utc if shown else None


class Watch:
    """Says of each certificate once a day that it is about to end."""

    def __init__(self) -> None:
        self.days: dict[str, int] = {}
        self._told: dict[str, int] = {}

    def look(self, ends: Mapping[str, dt.datetime], now: dt.datetime) -> list[str]:
        """Take when each certificate ends, by whose it is; returns what is to be said."""
        self.days = {name: (end - now).days for name, end in ends.items()}
        texts = []
        for name, days in self.days.items():
            if days <= WARN_DAYS and self._told.get(name) != days:
                texts.append(f"The certificate of the {name} {days_in_words(days)}: renew it")
        self._told = dict(self.days)
        return texts


def days_in_words(days: int) -> str:
    return "has ended" if days < 0 else f"ends in {days} day{'' if days == 1 else 's'}"
