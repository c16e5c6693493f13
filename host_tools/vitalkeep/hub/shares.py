"""Which worker should serve which gateway. Pure: workers that see the same decide the same.

Rendezvous hashing: each pair of a gateway and a worker has a number, and the highest one has the
gateway. So a worker that comes takes its share from all others, one that goes leaves its share to
all others, and nothing else moves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Plan:
    """What a worker should do now.

    claim    gateways to take, which nobody has
    release  gateways that it has and another one should have
    """

    claim: frozenset[bytes]
    release: frozenset[bytes]


@lru_cache(maxsize=65536)
def _number(gateway: bytes, worker: str) -> bytes:
    return hashlib.blake2b(gateway + worker.encode(), digest_size=8).digest()


def owner(gateway: bytes, workers: Iterable[str]) -> str | None:
    """Return who of the workers should serve a gateway, None when there are none."""
    return max(workers, key=lambda name: (_number(gateway, name), name), default=None)


def plan(
    me: str,
    able: Collection[str],
    alive: Collection[str],
    gateways: Iterable[bytes],
    holders: Mapping[bytes, str | None],
) -> Plan:
    """Return what `me` should do.

    able      workers that live and hear the broker
    alive     workers that live: what they have is theirs until they let it go
    gateways  of the vault
    holders   who has which gateway, as the leases say
    While nobody is able, everybody keeps what he has.
    """
    known = set(gateways)
    claim, release = set(), set()
    for gateway in known | set(holders):
        holder = holders.get(gateway)
        wanted = owner(gateway, able) if gateway in known else None
        if holder == me:
            if gateway not in known or (wanted is not None and wanted != me):
                release.add(gateway)
        elif wanted == me and (holder is None or holder not in alive):
            claim.add(gateway)
    return Plan(frozenset(claim), frozenset(release))
