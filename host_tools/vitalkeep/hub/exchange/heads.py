"""The authenticated heads of each log, whoever heard them: what no site can take back. Pure.

A site that lost or cut off the end of a log cannot call that nothing: the gateway itself said how
far it had written, and the other sites kept its words. What lies behind what they have is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

from bridge.core import wire as uplink
from bridge.core.errors import FormatError, TagError
from bridge.core.journal.layout import CLASSES
from vitalkeep.hub.exchange.holdings import Holdings
from vitalkeep.hub.heartbeat import Heartbeat, parse_heartbeat
from vitalkeep.hub.sectors import Stream
from vitalkeep.keys import derive
from vitalkeep.keys.vault import Gateway

REFUSED = (FormatError, TagError)  # what `verify` raises


def verify(gateways: Mapping[bytes, Gateway], gateway: bytes, payload: bytes) -> Heartbeat:
    """Return a heartbeat that another site heard; raises FormatError or TagError.

    gateways  of the vault, by id
    """
    known = gateways.get(gateway)
    if known is None:
        raise FormatError(f"gateway {gateway.hex()} is not in the vault")
    key = derive.uplink_key(known.root, gateway)
    beat = parse_heartbeat(gateway, uplink.parse_status(payload, key, gateway))
    if beat.log not in known.logs:
        raise FormatError(f"log {beat.log.hex()} is not one of gateway {gateway.hex()}")
    return beat


class Heads:
    """How far each log was written, by the furthest word of its gateway that any site heard."""

    def __init__(self) -> None:
        self._furthest: dict[Stream, tuple[int, int, int, bytes]] = {}

    def hear(self, site: bytes, beat: Heartbeat, at_ms: int) -> None:
        """Take a heartbeat that `site` heard at `at_ms` (UTC, by its clock)."""
        for cls, (_, sector, length) in beat.heads.items():
            stream = (beat.gateway, beat.log, cls)
            if (sector, length) > self._furthest.get(stream, (-1, 0))[:2]:
                self._furthest[stream] = (sector, length, at_ms, site)

    def furthest(self, stream: Stream) -> tuple[int, int, int, bytes] | None:
        """Return (sector, bytes in it, when it was heard, which site heard it)."""
        return self._furthest.get(stream)

    def unknown(self, holdings: Holdings) -> dict[str, int]:
        """Return by class how many sectors were written that this site has nothing of."""
        found = dict.fromkeys(CLASSES, 0)
        for stream, (sector, _, _, _) in self._furthest.items():
            found[CLASSES[stream[2]]] += max(0, sector - holdings[stream].newest)
        return found
