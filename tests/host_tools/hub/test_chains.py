"""Chain keys of every epoch, the same as a board's, and what is never derived."""

import random

import pytest

from bridge.core.journal import layout
from bridge.core.journal.seal import epoch_key, next_chain_key
from vitalkeep.hub.chains import CLAIMS_MAX, DISTANCE_MAX, KeyChains, begins_epoch
from vitalkeep.keys import derive
from vitalkeep.keys.derive import EPOCHS_MAX

ROOT = bytes(range(32))
GATEWAY = b"gateway1"
LOG = b"logid--1"


def header(number, epoch=0, first=0, cls=1):
    return layout.Header(cls, GATEWAY, LOG, number, epoch, first, 1, 7, 0, 0, 0)


@pytest.fixture
def chains():
    return KeyChains(ROOT, GATEWAY, LOG, 1)


def walked(key, count):
    """Return `count` chain keys in the way a board makes them."""
    keys = [key]
    while len(keys) < count:
        keys.append(next_chain_key(keys[-1]))
    return keys


@pytest.mark.parametrize(("epoch", "first"), [(0, 0), (1, 1), (3, 5000)])
def test_keys_are_the_boards_in_whatever_order_they_are_asked_for(chains, epoch, first):
    if epoch:
        key = epoch_key(derive.spare_seed(ROOT, GATEWAY, LOG, epoch), 1, first)
    else:
        key = derive.chain_key(ROOT, GATEWAY, LOG, 1)
    expected = walked(key, 3000)
    order = random.Random(7).choices(range(3000), k=60)
    for step in [0, 2999, 1023, 1024, 1025, *order, 2047, 2048]:
        assert chains.key(header(first + step, epoch, first)) == expected[step]


def test_epochs_and_their_beginnings_are_apart(chains):
    claims = [(0, 0), (1, 3), (1, 4), (2, 3)]
    keys = {chains.key(header(9, epoch, first)) for epoch, first in claims}
    assert len(keys) == len(claims)


@pytest.mark.parametrize(
    ("number", "epoch", "first", "reason"),
    [
        (0, 0, 0, ""),
        (7, 1, 7, ""),
        (DISTANCE_MAX + 70, 2, 70, ""),
        (DISTANCE_MAX + 71, 2, 70, "too_far_ahead"),
        (2**32 - 1, 0, 0, "too_far_ahead"),
        (7, 1, 8, "wrong_epoch"),
        (7, 0, 1, "wrong_epoch"),
        (7, EPOCHS_MAX, 7, ""),
        (7, EPOCHS_MAX + 1, 7, "wrong_epoch"),
        (7, 65535, 7, "wrong_epoch"),
    ],
)
def test_absurd_claims_are_refused(chains, number, epoch, first, reason):
    assert chains.refusal(header(number, epoch, first)) == reason


def test_a_class_may_claim_so_many_beginnings_and_no_more(chains):
    for first in range(CLAIMS_MAX):
        claim = header(1000, 1, first)
        assert chains.refusal(claim) == ""
        chains.key(claim)
    assert chains.refusal(header(1000, 1, CLAIMS_MAX)) == "wrong_epoch"
    assert chains.refusal(header(1001, 1, 3)) == ""


def test_only_a_later_epoch_begins():
    assert not begins_epoch(header(0))
    assert begins_epoch(header(4, 1, 4))
    assert not begins_epoch(header(5, 1, 4))
