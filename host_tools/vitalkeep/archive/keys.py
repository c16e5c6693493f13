"""The keys of all gateways of a vault, as the archive needs them; each is derived once."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Any

from bridge.core.errors import FormatError
from bridge.core.journal.layout import SEAL_AT, SECTOR_SIZE, Header, parse_header, parse_seal
from bridge.core.journal.seal import FIRST_SEAL
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
        key = self._key(place, parse_header(data))
        data = data.ljust(SECTOR_SIZE, b"\xff")
        sector = survey(data, 0)
        return sector, chain.read(sector, data, key)[0]

    def fits(self, place: Place, data: bytes, previous: bytes | None) -> bool:
        """Say whether the seal of a whole sector fits its bytes.

        previous  the tag in the seal before, None where that is not here: nobody can say then
        """
        try:
            header = parse_header(data)
            key = self._key(place, header)
        except FormatError:
            return False
        if header.epoch_first == place.sector:
            previous = FIRST_SEAL
        found = parse_seal(data)
        if found is None or previous is None:
            return found is not None
        end, tag = found
        if data[end:SEAL_AT].strip(b"\xff"):
            return False
        return hmac.compare_digest(chain.seal_tag(data, key, previous, end), tag)

    def _key(self, place: Place, header: Header) -> bytes:
        stream = place[:3]
        if stream not in self._chains:
            self._chains[stream] = KeyChains(self.gateways[place.gateway].root, *stream)
        keys = self._chains[stream]
        refusal = keys.refusal(header)
        if refusal:
            raise FormatError(f"{place}: {refusal}")
        return keys.key(header)
