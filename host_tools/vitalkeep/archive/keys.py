"""The keys of all gateways of a vault, as the archive needs them; each is derived once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bridge.core.errors import FormatError
from bridge.core.journal.layout import SECTOR_SIZE, parse_header
from vitalkeep.hub.chains import KeyChains
from vitalkeep.hub.sectors import Place, Stream
from vitalkeep.journal import chain
from vitalkeep.journal.survey import Sector, survey
from vitalkeep.keys import derive
from vitalkeep.keys.vault import Gateway


class ArchiveKeys:
    """Keys of `gateways`, which are those of a vault."""

    def __init__(self, gateways: Iterable[Gateway]) -> None:
        self.gateways = {gateway.id: gateway for gateway in gateways}
        self._archive: dict[bytes, bytes] = {}
        self._chains: dict[Stream, KeyChains] = {}

    def of(self, gateway: bytes) -> bytes | None:
        """Return a gateway's archive key, None when the vault does not know it."""
        known = self.gateways.get(gateway)
        if known is None:
            return None
        if gateway not in self._archive:
            self._archive[gateway] = derive.archive_key(known.root, gateway)
        return self._archive[gateway]

    def records(self, place: Place, data: bytes) -> tuple[Sector, list[Any]]:
        """Return a sector as it stands, and its records.

        data    its bytes, of a gateway in the vault; one that grows may be shorter than a sector
        Raises  FormatError when its header names a key that cannot be
        """
        stream = place[:3]
        if stream not in self._chains:
            self._chains[stream] = KeyChains(self.gateways[place.gateway].root, *stream)
        keys = self._chains[stream]
        header = parse_header(data)
        refusal = keys.refusal(header)
        if refusal:
            raise FormatError(f"{place}: {refusal}")
        data = data.ljust(SECTOR_SIZE, b"\xff")
        sector = survey(data, 0)
        return sector, chain.read(sector, data, keys.key(header))[0]
