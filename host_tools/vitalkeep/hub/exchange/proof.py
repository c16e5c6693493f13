"""That another site has a copy is proved by what it reads back. Pure.

The challenge names sectors and a fresh nonce; the answer is a digest over the nonce, the site
that answers and the bytes in its store. Nothing in the challenge helps to find it, nothing said
before answers it, and no other site's answer is the same.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from vitalkeep.hub.exchange import wire
from vitalkeep.hub.sectors import Place, Stored

_LABEL = b"vitalkeep copy"


def digest(nonce: bytes, site: bytes, place: Place, data: bytes) -> bytes:
    """Return what proves that `site` can read `data` at a place now."""
    state = hashlib.sha256(_LABEL + nonce + site)
    state.update(place.gateway + place.log + bytes((place.cls,)))
    state.update(place.sector.to_bytes(4, "little") + len(data).to_bytes(2, "little"))
    state.update(data)
    return state.digest()[: wire.DIGEST_SIZE]


def answer(
    nonce: bytes,
    site: bytes,
    claims: Sequence[wire.Claim],
    stored: Mapping[Place, Stored | None],
) -> list[bytes | None]:
    """Return a digest for each claim, None for what is not stored so far."""
    found: list[bytes | None] = []
    for place, length in claims:
        known = stored.get(place)
        if known is None or len(known.data) < length:
            found.append(None)
        else:
            found.append(digest(nonce, site, place, known.data[:length]))
    return found


def judge(
    nonce: bytes,
    site: bytes,
    claims: Sequence[wire.Claim],
    stored: Mapping[Place, Stored | None],
    digests: Sequence[bytes | None],
) -> tuple[list[Place], list[Place], list[Place]]:
    """Return (proved, absent, wrong) places of an answer, compared with our own store."""
    proved: list[Place] = []
    absent: list[Place] = []
    wrong: list[Place] = []
    for expected, said, (place, _) in zip(
        answer(nonce, site, claims, stored), digests, claims, strict=True
    ):
        if expected is None:
            continue  # it is gone here: nothing to compare with
        if said is None:
            absent.append(place)
        else:
            (proved if hmac.compare_digest(expected, said) else wrong).append(place)
    return proved, absent, wrong
