"""Messages between hubs: what is packed is what is parsed, and garbage is a PeerError."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalkeep.hub.batch import Sealed
from vitalkeep.hub.exchange import proof, wire
from vitalkeep.hub.exchange.holdings import Holdings, View
from vitalkeep.hub.exchange.plan import Holding, Want
from vitalkeep.hub.exchange.ranges import Ranges
from vitalkeep.hub.exchange.wire import Frames, Nothing, PeerError, Speaker, Tagged
from vitalkeep.hub.sectors import BROKEN, OPEN, PROVEN, Place, Stored

ME = Speaker(b"site---1", b"epoch--1")
PLACE = Place(b"gateway1", b"logid--1", 1, 7)
SEAL = bytes.fromhex("fe0004") + b"t" * 16
DATA = b"x" * 1024 + b"\xff" * (4076 - 1024)


def sealed_data():
    from bridge.core.journal import layout

    return DATA + bytes(layout.pack_seal(1024, b"t" * 16))


ITEMS = [
    Sealed(PLACE, sealed_data(), b"p" * 16),
    Sealed(PLACE, sealed_data(), None),
    Tagged(PLACE.gateway, 2, b"run" * 20),
    Nothing(PLACE),
]


@given(st.lists(st.sampled_from(ITEMS), max_size=6), st.integers(1, 5000))
def test_items_arrive_however_the_answer_is_cut(items, step):
    data = b"".join(map(wire.pack_item, items))
    frames, found = Frames(), []
    for at in range(0, len(data), step):
        found += frames.feed(data[at : at + step])
    assert found == items


def test_blank_of_a_sector_does_not_travel():
    assert len(wire.pack_item(ITEMS[0])) < 1200


@given(st.binary(max_size=200))
def test_garbage_is_no_answer(data):
    for parse in (wire.parse_summary, wire.parse_question, wire.parse_heads):
        with pytest.raises(PeerError):
            parse(data)
    frames = Frames()
    try:
        list(frames.feed(data))
    except PeerError:
        pass


def test_frame_and_answer_have_bounds():
    with pytest.raises(PeerError, match="a frame of"):
        list(Frames().feed((wire.FRAME_MAX + 1).to_bytes(4, "little")))
    frames = Frames()
    many = wire.pack_item(ITEMS[0]) * (wire.ANSWER_MAX // 2000)
    list(frames.feed(many))
    with pytest.raises(PeerError, match="an answer of more"):
        list(frames.feed(many))


def test_questions_and_challenges_go_through():
    want = Want(PLACE, False, 100)
    (asked,) = wire.parse_question(wire.pack_question([(want, b"digest--")]))
    assert asked == wire.Asked(PLACE, False, 100, b"digest--")
    claims = [(PLACE, 4096), (PLACE._replace(sector=8), 10)]
    nonce = bytes(range(16))
    assert wire.parse_challenge(wire.pack_challenge(nonce, claims)) == (nonce, claims)
    with pytest.raises(PeerError):
        wire.parse_proof(wire.pack_proof(ME, [None]), 2)
    too_many = [(want, b"digest--")] * (wire.ASK_MAX + 1)
    with pytest.raises(PeerError):
        wire.parse_question(wire.pack_question(too_many))


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 9),
            st.sampled_from([(90, OPEN), (900, OPEN), (4096, BROKEN), (4096, PROVEN)]),
        ),
        st.just("ask"),
        st.just("restart"),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 400))
def test_summaries_of_the_news_alone_add_up(steps, room):
    """However they are cut, whenever either side starts again."""
    held, view = Holdings(b"instance"), View()

    def ask():
        while True:
            news = held.since(ME, view.instance or bytes(8), view.version, len(view.names), room)
            summary = wire.parse_summary(wire.pack_summary(news))
            view.take(summary)
            if not summary.more and view.version == held.version and view.instance:
                break

    number = 0
    for step in steps:
        if step == "ask":
            ask()
        elif step == "restart":
            number += 1
            fresh = Holdings(b"instan%02d" % (number % 100))
            for stream in held.streams():
                for pair in held[stream].sealed.pairs():
                    fresh.set_sealed(stream, *pair)
                for sector, part in held[stream].parts.items():
                    fresh.set(Place(*stream, sector), *part)
            held = fresh
        else:
            log, sector, part = step
            held.set(Place(b"gateway%d" % log, b"logid---", log % 3, sector), *part)
    ask()
    assert view.held == {stream: held[stream] for stream in held.streams()}


def test_old_news_changes_nothing():
    held = Holdings(b"instance")
    held.set(PLACE, 900, OPEN)
    held.set(PLACE, 90, OPEN)
    assert held[PLACE[:3]].parts == {7: (900, OPEN)}
    held.set(PLACE, 4096, PROVEN)
    held.set(PLACE, 900, OPEN)
    assert held[PLACE[:3]] == Holding(Ranges([(7, 7)]))


def test_proof_is_of_these_bytes_this_site_and_this_moment():
    claims = [(PLACE, 4096), (PLACE._replace(sector=8), 4096), (PLACE._replace(sector=9), 50)]
    stored = {place: Stored(sealed_data(), PROVEN) for place, _ in claims}
    nonce, site = bytes(16), b"site---2"
    right = proof.answer(nonce, site, claims, stored)
    assert len(set(right)) == 3
    places = [place for place, _ in claims]
    assert proof.judge(nonce, site, claims, stored, right) == (places, [], [])
    for other in (
        proof.answer(b"\x01" * 16, site, claims, stored),
        proof.answer(nonce, b"site---3", claims, stored),
        right[::-1],
    ):
        proved, _, wrong = proof.judge(nonce, site, claims, stored, other)
        assert places[0] in wrong
        assert places[0] not in proved
    there = stored | {places[0]: None, places[1]: Stored(b"short", OPEN)}
    answer = proof.answer(nonce, site, claims, there)
    assert proof.judge(nonce, site, claims, stored, answer) == (places[2:], places[:2], [])
