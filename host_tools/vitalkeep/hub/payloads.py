"""Payloads to runs, heartbeats and radio frames, authenticated: nobody else is let in.

Everything that is wrong with a payload has a name and is counted under it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from bridge.core import wire
from bridge.core.errors import FormatError, TagError
from bridge.core.journal import layout
from vitalkeep.hub import sectors
from vitalkeep.hub.batch import Hint, Run
from vitalkeep.hub.heartbeat import Heartbeat, parse_heartbeat
from vitalkeep.hub.radio import Heard, RadioDesk
from vitalkeep.hub.sectors import Place
from vitalkeep.keys import derive
from vitalkeep.keys.vault import Gateway

STRANGERS_MAX = 64  # ids of unknown gateways that are remembered, for the page


class Payloads:
    """Who may say anything to this site, and what he said.

    cipher     AES-256 in ECB mode, see bridge.core.journal.seal
    counters   where refusals are counted
    radio      what base stations hand in is opened there
    strangers  {id in hex: payloads} of gateways that are unknown or revoked
    """

    def __init__(self, cipher: Callable[[bytes], Any], counters: Counter[str]) -> None:
        self.counters = counters
        self.strangers: OrderedDict[str, int] = OrderedDict()
        self.radio = RadioDesk(cipher, counters)
        self._gateways: dict[bytes, Gateway] = {}
        self._uplink_keys: dict[bytes, bytes] = {}

    def set_gateways(self, gateways: Iterable[Gateway]) -> None:
        self._gateways = {gateway.id: gateway for gateway in gateways}
        # What a revoked one sealed before is opened still; nothing new is taken from it.
        admitted = [known for known in self._gateways.values() if not known.revoked]
        self.radio.set_gateways(admitted)
        self._uplink_keys = {
            known.id: derive.uplink_key(known.root, known.id) for known in admitted
        }

    def knows(self, place: Place) -> bool:
        """Say whether the vault knows a sector's gateway, and its log as one of that gateway."""
        known = self._gateways.get(place.gateway)
        return known is not None and place.log in known.logs

    def admits(self, gateway: bytes) -> bool:
        """Say whether runs of a gateway are taken: the vault knows it, and nobody revoked it."""
        return gateway in self._uplink_keys

    def parse(self, topic: str, payload: bytes) -> Run | Heartbeat | Heard | Hint | None:
        """Return what a message says, or None for one that is refused, which is counted."""
        try:
            gateway, leaf = wire.parse_topic(topic)
            if leaf == "radio":
                return self.radio.parse(gateway, payload)  # a base station's id stands there
            key = self._uplink_keys.get(gateway)
            if key is None:
                self._stranger(gateway)
                return None
            if leaf == "health":
                beat = parse_heartbeat(gateway, wire.parse_status(payload, key, gateway))
                self.counters["heartbeats"] += 1
                return replace(beat, payload=bytes(payload))
            if leaf == "state":
                return Hint(gateway, b'"online"' in payload)
            if leaf[:4] != "log/" or leaf[4:] not in tuple(layout.CLASSES):
                raise FormatError(f"topic leaf {leaf!r}")
            cls = layout.CLASSES.index(leaf[4:])
            run = wire.parse_run(payload, key, gateway, cls)
        except TagError:
            self.counters["wrong_tag"] += 1
            return None
        except FormatError:
            self.counters["malformed"] += 1
            return None
        if run.log_id not in self._gateways[gateway].logs:
            # Provisioning told the vault of every log; one more is no gateway's own.
            self.counters["unknown_log"] += 1
            return None
        self.counters["runs"] += 1
        place = Place(gateway, run.log_id, cls, run.sector)
        data = sectors.normalised(run.offset, run.data)
        tag = payload[-wire.RUN_TAG :] if data == run.data else b""
        return Run(place, run.offset, data, bytes(tag))

    def _stranger(self, gateway: bytes) -> None:
        known = gateway in self._gateways
        self.counters["revoked_gateway" if known else "unknown_gateway"] += 1
        name = gateway.hex()
        self.strangers[name] = self.strangers.pop(name, 0) + 1
        while len(self.strangers) > STRANGERS_MAX:
            self.strangers.popitem(last=False)
