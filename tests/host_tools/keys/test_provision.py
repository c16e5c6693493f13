"""What a new key region holds: all that a board needs, and nothing that opens the past."""

import hashlib
import hmac

import pytest

from bridge.core.errors import FormatError, KeyLost
from bridge.core.journal.keyring import SPARES, KeyRing, pack_identity
from tests.support.epochs import lose_slots
from tests.support.hub import RamMedium
from vitalkeep.keys import derive
from vitalkeep.keys.provision import identity_hash, identity_pieces, key_region, pieces_of

ROOT = bytes(range(32))
GATEWAY = b"gateway1"
LOG = b"logid--1"
SITES = [b"site---1", b"site---2"]


def board(data):
    """Return the key ring of a board that boots with this region."""
    ring = KeyRing(RamMedium(data))
    ring.recover()
    return ring


def region(blocks=4):
    return key_region(ROOT, GATEWAY, LOG, SITES, blocks)


@pytest.mark.parametrize("blocks", [3, 4, 7])
def test_board_finds_who_it_is_and_the_first_keys(blocks):
    data = region(blocks)
    assert len(data) == blocks * 4096
    ring = board(data)
    assert ring.identity.gateway == GATEWAY
    assert ring.identity.uplink_key == derive.uplink_key(ROOT, GATEWAY)
    assert [site for site, _ in ring.identity.sites] == SITES
    for cls in range(3):
        assert ring.newest(cls).key == derive.first_key(ROOT, GATEWAY, LOG, cls, 0, 0)
    assert ring.spares == (SPARES if blocks > 3 else 0)


def test_identity_has_a_copy_in_the_last_block():
    lost = b"\xff" * 4096 + region(5)[4096:]
    ring = board(lost)
    assert ring.copied
    assert ring.identity.command_key == derive.command_key(ROOT, GATEWAY)


@pytest.mark.parametrize("blocks", [3, 4, 7])
def test_pieces_are_the_region_and_one_that_was_cut_short_names_no_gateway(blocks):
    data = region(blocks)
    pieces = pieces_of(data)
    written = bytearray(b"\xff" * len(data))
    for count, (block, offset, piece) in enumerate(pieces):
        if count <= len(pieces) - len(identity_pieces(data)):
            with pytest.raises(FormatError):
                KeyRing(RamMedium(bytes(written)))
        at = block * 4096 + offset
        written[at : at + len(piece)] = piece
    assert bytes(written) == data
    ring = board(bytes(written))
    found = hashlib.sha256(pack_identity(ring.identity)).hexdigest()
    assert found == identity_hash(ROOT, GATEWAY, LOG, SITES)


def test_board_and_vault_derive_the_same_epochs():
    medium = RamMedium(region())
    for epoch in range(1, SPARES + 1):
        lose_slots(medium)
        ring = KeyRing(medium)
        ring.recover()
        for cls in range(3):
            first = 1000 * epoch + cls
            found = ring.begin_epoch(cls, first)
            assert found.key == derive.first_key(ROOT, GATEWAY, LOG, cls, epoch, first)
            assert (found.epoch, found.first, found.number) == (epoch, first, first)
        ring.end_epoch()
    with pytest.raises(KeyLost):
        ring.begin_epoch(0, 9999)


def test_every_seed_is_its_own_and_the_root_stays_here():
    seeds = {
        derive.spare_seed(ROOT, gateway, log, epoch)
        for gateway in (GATEWAY, b"gateway2")
        for log in (LOG, b"logid--2")
        for epoch in range(1, SPARES + 1)
    }
    assert len(seeds) == 4 * SPARES
    assert ROOT not in region()
    for epoch in range(1, SPARES + 1):
        assert region().count(derive.spare_seed(ROOT, GATEWAY, LOG, epoch)) == 1
    assert derive.spare_seed(ROOT, GATEWAY, LOG, 1) not in region(3)


def test_formulas_are_those_of_the_format():
    seed = _hmac(ROOT, b"vitalkeep spare" + GATEWAY + LOG + b"\x03\x00")
    assert derive.spare_seed(ROOT, GATEWAY, LOG, 3) == seed
    key = _hmac(seed, b"vitalkeep epoch" + b"\x02" + b"\x01\x02\x00\x00")
    assert derive.first_key(ROOT, GATEWAY, LOG, 2, 3, 513) == key
    key = _hmac(ROOT, b"vitalkeep chain" + GATEWAY + LOG + b"\x02")
    assert derive.first_key(ROOT, GATEWAY, LOG, 2, 0, 0) == key


def _hmac(key, data):
    return hmac.digest(key, data, "sha256")
