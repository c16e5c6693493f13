"""The chain keys of one class of one log, in each of its key epochs. No I/O.

What a header claims is bounded before anything is derived from it: whoever stole an uplink key
can claim what he likes, and a wrong claim shows only when the seal does not fit.
"""

from __future__ import annotations

import hmac

from bridge.core.journal.layout import Header
from vitalkeep.keys import derive

# Sectors of one epoch: one every 19 s for ten years. To derive so many keys takes a host about
# 25 s, once for each claim below and start of the hub.
DISTANCE_MAX = 2**24
CLAIMS_MAX = 64  # (epoch, first sector) pairs of one class: losses and rotations of keys
_CHECKPOINT_EVERY = 1024
_RECENT_MAX = 16
_NEXT = b"vitalkeep next"


class KeyChain:
    """The chain keys of one epoch, with checkpoints on the way.

    first, key  the epoch's first sector number and its chain key
    """

    def __init__(self, first: int, key: bytes) -> None:
        self._first = first
        self._checkpoints = [key]  # every _CHECKPOINT_EVERY numbers
        self._recent: dict[int, bytes] = {}

    def key(self, number: int) -> bytes:
        """Return the chain key of sector `number`; the caller bounds how far that is."""
        steps = number - self._first
        known = min(steps // _CHECKPOINT_EVERY, len(self._checkpoints) - 1)
        at, key = known * _CHECKPOINT_EVERY, self._checkpoints[known]
        for near, recent in self._recent.items():
            if at < near <= steps:
                at, key = near, recent
        while at < steps:
            # As seal.next_chain_key does, in C: millions may be asked for.
            key = hmac.digest(key, _NEXT, "sha256")
            at += 1
            if at == len(self._checkpoints) * _CHECKPOINT_EVERY:
                self._checkpoints.append(key)
        self._recent[steps] = key
        while len(self._recent) > _RECENT_MAX:
            del self._recent[next(iter(self._recent))]
        return key


class KeyChains:
    """Every chain of one class of one log."""

    def __init__(self, root: bytes, gateway: bytes, log: bytes, cls: int) -> None:
        self._source = (root, gateway, log, cls)
        self._chains: dict[tuple[int, int], KeyChain] = {}

    def refusal(self, header: Header) -> str:
        """Return why nothing is derived from what a header claims, "" when it may be true."""
        claim = (header.epoch, header.epoch_first)
        ahead = header.number - header.epoch_first
        if (
            header.epoch > derive.EPOCHS_MAX
            or ahead < 0
            or (header.epoch == 0 and header.epoch_first)
        ):
            return "wrong_epoch"
        if ahead > DISTANCE_MAX:
            return "too_far_ahead"
        if claim not in self._chains and len(self._chains) >= CLAIMS_MAX:
            return "wrong_epoch"
        return ""

    def key(self, header: Header) -> bytes:
        """Return the chain key of the sector with this header, which was not refused."""
        claim = (header.epoch, header.epoch_first)
        chain = self._chains.get(claim)
        if chain is None:
            first = derive.first_key(*self._source, *claim)
            chain = self._chains[claim] = KeyChain(header.epoch_first, first)
        return chain.key(header.number)


def begins_epoch(header: Header) -> bool:
    """Return True for the sector with which a class goes on after it lost its keys."""
    return bool(header.epoch and header.number == header.epoch_first)
