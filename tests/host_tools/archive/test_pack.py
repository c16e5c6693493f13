"""A pack proves itself, and says what is wrong with it."""

import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitalkeep.archive import manifest, pack
from vitalkeep.archive.manifest import ManifestError
from vitalkeep.archive.pack import Item, PackError
from vitalkeep.hub.sectors import Place

_SITE = b"site----"
_KEYS = {bytes((n,)) * 8: bytes((n,)) * 32 for n in range(4)}

_items = st.lists(
    st.builds(
        Item,
        st.builds(
            Place, st.sampled_from(sorted(_KEYS)), st.binary(min_size=8, max_size=8),
            st.just(1), st.integers(0, 2**32 - 1),
        ),
        st.integers(0, 4),
        st.integers(0, 2**53),
        st.binary(min_size=1, max_size=4096),
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip


def _example():
    place = Place(b"\1" * 8, b"log-----", 1, 7)
    items = [Item(place._replace(sector=n), 2, 1000 + n, bytes((n,)) * 90) for n in range(5)]
    return items, pack.build(_SITE, 1, items, _KEYS.get)


@settings(max_examples=60, deadline=None)
@given(_items)
def test_what_is_packed_comes_back(items):
    data = pack.build(_SITE, 1, items, _KEYS.get)
    assert pack.check_whole(data) == ""
    found = list(pack.read(data, _KEYS.get))
    assert [wrong for _, _, wrong in found] == [""] * len(items)
    assert [Item(e.place, e.state, e.stored_ms, d) for e, d, _ in found] == items
    assert pack.index_size(data[: pack.HEADER_SIZE]) == found[0][0].start


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_flipped_bit_is_found_and_spoils_one_sector_at_most(draw):
    items, data = _example()
    at = draw.draw(st.integers(0, len(data) - 1))
    changed = bytearray(data)
    changed[at] ^= 1 << draw.draw(st.integers(0, 7))
    assert pack.check_whole(bytes(changed))
    try:
        found = list(pack.read(bytes(changed), _KEYS.get))
    except PackError:
        found = []
        assert at < pack.HEADER_SIZE + 5 * pack.ENTRY_SIZE
    good = [Item(e.place, e.state, e.stored_ms, d) for e, d, wrong in found if not wrong]
    assert all(item in items for item in good)  # nothing wrong is taken for right
    start = pack.HEADER_SIZE + 5 * pack.ENTRY_SIZE
    if at >= start:
        assert len(good) >= 4


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 600))
def test_garbage_and_cut_packs_raise_nothing_else(noise, size):
    _, data = _example()
    for found in (noise, data[:size], data + noise):
        pack.check_whole(found)
        try:
            for _ in pack.read(found, _KEYS.get):
                pass
        except PackError:
            pass


def test_index_that_lies_is_found_whoever_counts_the_digests():
    """Whoever holds the bucket can count SHA-256, and has no gateway's key."""
    _, data = _example()
    for field, value in ((0, b"\2" * 8), (17, b"\x04"), (20, struct.pack("<I", 99))):
        changed = bytearray(data)
        at = pack.HEADER_SIZE + field
        changed[at : at + len(value)] = value
        changed[-32:] = hashlib.sha256(changed[:-32]).digest()
        assert pack.check_whole(bytes(changed)) == ""
        wrong = [found[2] for found in pack.read(bytes(changed), _KEYS.get)]
        assert wrong == [pack.FORGED, "", "", "", ""]


def test_gateway_that_the_vault_does_not_know_is_named():
    _, data = _example()
    assert {found[2] for found in pack.read(data, {}.get)} == {pack.STRANGER}


def test_names_are_of_the_content():
    items, data = _example()
    name = pack.name("backup", data)
    assert name.startswith(f"backup/{_SITE.hex()}/B/19700101/")
    assert name == pack.name("backup", pack.build(_SITE, 1, items, _KEYS.get))
    assert name != pack.name("backup", pack.build(_SITE, 1, items[:4], _KEYS.get))


def test_what_does_not_belong_is_not_packed():
    place = Place(b"\1" * 8, b"log-----", 0, 7)
    for item in (
        Item(place, 0, 0, b"x"),
        Item(place._replace(cls=1), 0, 0, b""),
        Item(place._replace(cls=1, gateway=b"stranger"), 0, 0, b"x"),
    ):
        with pytest.raises(ValueError, match="does not belong"):
            pack.build(_SITE, 1, [item], _KEYS.get)


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"v":1,"packs":[["a",1e999,1,""]]}', b"[]", b""]
)
def test_manifest_that_makes_no_sense_is_that_and_nothing_else(data):
    with pytest.raises(ManifestError):
        manifest.load(data, lambda gateway: None)
