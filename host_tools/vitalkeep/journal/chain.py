"""The sectors of one class of one log with their keys: their seals and records. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bridge.core.errors import FormatError
from bridge.core.journal import layout
from bridge.core.journal.reader import SectorReader
from bridge.core.journal.seal import FIRST_SEAL, begin_seal, end_seal
from bridge.core.mac import same
from vitalkeep.hub.chains import KeyChains
from vitalkeep.journal.survey import Sector
from vitalkeep.keys.cipher import Aes256

# What is known of a sector
VERIFIED = "verified"
OPEN = "open"  # the newest: it has no seal yet
UNPROVEN = "unproven"  # its seal cannot be checked: what it is chained to is not here
BROKEN = "broken"  # the seal fits neither its bytes nor its place
ORPHAN = "orphan"  # closed without a seal: its key was lost
NO_KEY = "no key"


@dataclass
class Proof:
    """What the keys say of one sector.

    state    one of the constants above
    why      in words, "" when there is nothing to say
    records  as reader.SectorReader returns them
    damaged  places of commits that passed their check and make no sense
    counted  the tag that its bytes should have, when its seal has another
    """

    state: str
    why: str = ""
    records: list[Any] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    counted: bytes | None = None


class ClassChain:
    """Proves the sectors of one class in the order of their numbers.

    root  of the gateway in the vault
    """

    def __init__(self, root: bytes, gateway: bytes, log: bytes, cls: int) -> None:
        self._keys = KeyChains(root, gateway, log, cls)
        self._number = -2  # of the sector before
        self._tags: list[bytes] = []  # as its seal has it, and as its bytes say if that differs

    def prove(self, sector: Sector, data: bytes, newest: int) -> Proof:
        """Return the proof of a sector that follows the one of the last `advance`.

        data    its 4096 bytes
        newest  the highest number of the class in the dump
        """
        refusal = self._keys.refusal(sector.header)
        if refusal:
            return Proof(BROKEN, f"its header claims a key that cannot be: {refusal}")
        key = self._keys.key(sector.header)
        proof = self._check(sector, data, key, newest)
        proof.records, proof.damaged = read(sector, data, key)
        return proof

    def advance(self, sector: Sector, proof: Proof) -> None:
        """Go on behind a sector."""
        self._number = sector.number
        self._tags = [sector.seal[1]] if sector.seal else []
        if proof.counted is not None:
            self._tags.append(proof.counted)

    def _check(self, sector: Sector, data: bytes, key: bytes, newest: int) -> Proof:
        number = sector.number
        if sector.seal is None:
            if number == newest:
                return Proof(OPEN)
            why = "its seal is damaged" if sector.seal_torn else "it was closed without a seal"
            return Proof(ORPHAN, why)
        tags = self._tags if number == self._number + 1 else []
        if number == sector.header.epoch_first:
            tags = [FIRST_SEAL]
        if not tags:
            return Proof(UNPROVEN, f"sector {number - 1} with its seal is not here")
        end, tag = sector.seal
        if end != sector.end:
            return Proof(BROKEN, f"it was sealed up to {end} and is in use up to {sector.end}")
        expected = [seal_tag(data, key, previous, end) for previous in tags]
        if same(expected[0], tag):
            return Proof(VERIFIED)
        if any(same(other, tag) for other in expected[1:]):
            return Proof(VERIFIED, "it confirms the bytes of the one before, not that one's seal")
        why = "its seal fits neither its bytes nor the sector before"
        return Proof(BROKEN, why, counted=expected[0])


def seal_tag(data: bytes, key: bytes, previous: bytes, end: int) -> bytes:
    """Return the tag that a seal over these bytes has."""
    header = bytearray(data[: layout.HEADER_SIZE])
    mac = begin_seal(key, header, previous, end)
    mac.update(data[layout.HEADER_SIZE : end])
    return bytes(end_seal(mac))


def read(sector: Sector, data: bytes, key: bytes) -> tuple[list[Any], list[int]]:
    """Return the records of a sector, and the places of commits that make no sense.

    What follows such a commit up to the next boot is lost with it: each builds on those before.
    """
    patched = bytearray(data)
    damaged: list[int] = []
    while True:
        reader = SectorReader(Aes256, key)
        found: list[Any] = []
        for start, end in sector.commits:
            try:
                found += reader.feed(bytes(patched[:end]))
            except FormatError:
                # As if it had been torn: the reader then looks for the next part of the sector.
                patched[start] = 0
                damaged.append(start)
                break
        else:
            return found, damaged
