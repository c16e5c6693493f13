"""What a peer with a certificate can make a hub keep, wait for or put its name under."""

import asyncio
import contextlib
import datetime as dt
import json
import ssl
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.support.hub import FakeGateway
from tests.support.liars import Liar, lying
from tests.support.processes import free_port
from tests.support.secure_site import HOST, make_authority, now
from tests.support.sites import Ward, exchange_of, peer_of, wait_for
from vitalkeep.hub.exchange import days, proof, wire
from vitalkeep.hub.exchange.bucket import Bucket
from vitalkeep.hub.exchange.calendar import Calendar
from vitalkeep.hub.exchange.copies import Copies
from vitalkeep.hub.exchange.desk import Desk
from vitalkeep.hub.exchange.heads import Heads
from vitalkeep.hub.exchange.holdings import Holdings, View
from vitalkeep.hub.exchange.link import Link
from vitalkeep.hub.exchange.plan import Holding, Want
from vitalkeep.hub.exchange.ranges import Ranges
from vitalkeep.hub.exchange.settings import Peer
from vitalkeep.hub.exchange.wire import PeerError, Speaker, Summary
from vitalkeep.hub.sectors import OPEN, Place, Stored
from vitalkeep.hub.tls import Identity

ME = Speaker(b"site---1", b"epoch--1")
STREAM = (b"gateway1", b"logid---", 0)


async def on_this_thread(work):
    return work()


# --- what is said ---


def summary_of(pairs):
    held = {"v": 1, "site": "00" * 8, "epoch": "00" * 8, "instance": "00" * 8, "version": 1}
    held |= {"more": False, "first": 0, "names": [["00" * 8, "00" * 8, 0]]}
    return json.dumps(held | {"held": [[0, pairs, []]]}).encode()


def test_ranges_come_in_order_or_not_at_all():
    assert wire.parse_summary(summary_of([[0, 3], [5, 5]])).holdings[0].sealed.pairs()
    for pairs in ([[5, 5], [0, 3]], [[0, 3], [3, 4]], [[2, 2], [2, 2]]):
        with pytest.raises(PeerError):
            wire.parse_summary(summary_of(pairs))


def test_words_that_are_no_text_are_refused_in_words_that_are():
    for body in (b'{"v":1,"want":[["00","00",0,"\\ud800",0,0,""]]}', b'{"v":1,"want":"\\ud800"}'):
        with pytest.raises(PeerError) as error:
            wire.parse_question(body)
        str(error.value).encode()
    with pytest.raises(PeerError) as error:
        wire.whole("\ud800", 0, 1)
    str(error.value).encode()
    with pytest.raises(PeerError):
        days.parse_offer(b'{"v":1,"document":"\\ud800","signature":{}}')


def test_view_of_a_peer_has_an_end(monkeypatch):
    view = View()

    def tell(first, names, holdings=None):
        view.take(Summary(ME, b"instance", 1, True, first, names, holdings or {}))

    tell(0, [STREAM])
    with pytest.raises(PeerError, match="more than"):
        tell(1, [STREAM] * wire.LOGS_MAX)
    assert not view.names
    monkeypatch.setattr("vitalkeep.hub.exchange.holdings.RANGES_MAX", 100)
    many = Holding(Ranges((2 * n, 2 * n) for n in range(60)), {})
    for _ in range(3):  # the same log again is no more than it was
        tell(len(view.names), [] if view.names else [STREAM, (*STREAM[:2], 1)], {0: many})
    with pytest.raises(PeerError, match="more than"):
        tell(2, [], {1: many})
    assert not view.held


# --- heartbeats ---


class Talker:
    """A peer that answers questions for heartbeats, from `pages` on."""

    def __init__(self, pages):
        self.pages = iter(pages)
        self.since = []

    async def ask(self, path, body):
        self.since.append(wire.parse(body)["since"])
        return wire.pack_heads(next(self.pages))


def link_to(gateway):
    vault = SimpleNamespace(gateways=lambda: [gateway.vault_entry()])
    kept = []
    store = SimpleNamespace(set_witnesses=lambda site, rows: kept.append(rows))
    settings = SimpleNamespace(every_s=1)
    exchange = SimpleNamespace(
        vault=vault, store=store, settings=settings, heads=Heads(), read=on_this_thread
    )
    link = Link(Peer("hub-west", "https://west"), exchange, lambda: None)
    link.speaker = ME
    return link, kept


def endless(gateway):
    at_ms = 0
    while True:
        at_ms += 1000
        yield [(gateway.id, at_ms + n, b"no heartbeat") for n in range(wire.HEADS_MAX)]


def test_heartbeats_without_end_have_one():
    gateway = FakeGateway()
    link, _ = link_to(gateway)
    talker = Talker(endless(gateway))
    asyncio.run(asyncio.wait_for(link._hear(talker), 30))
    assert len(talker.since) == 100
    assert link.counters["refused_heartbeat"] == 100 * wire.HEADS_MAX


def test_what_is_heard_after_a_clock_was_ahead_is_heard():
    gateway = FakeGateway()
    link, kept = link_to(gateway)
    _, payload = gateway.heartbeat()
    ahead = [(gateway.id, 2**60, payload)]
    talker = Talker([ahead, [(gateway.id, 1_800_000_000_000, payload)]])
    asyncio.run(link._hear(talker))
    asyncio.run(link._hear(talker))
    assert len(kept) == 2
    assert talker.since[1] < 2**59


# --- logs that our vault does not know ---


def test_log_of_a_stranger_counts_once_and_is_fetched_once_the_vault_knows_it():
    link, _ = link_to(FakeGateway())
    known = set()
    exchange = link.exchange
    exchange.knows = known.__contains__
    exchange.holdings, exchange.copies = Holdings(b"instance"), Copies()
    link._view.held[STREAM] = Holding(Ranges([(0, 3)]))
    for _ in range(3):
        link.touch([STREAM])
        asyncio.run(link._refresh())
    assert link.state()["unknown_logs"] == 1
    known.add(STREAM)
    asyncio.run(link._look_again(None))
    asyncio.run(link._refresh())
    assert link.state()["unknown_logs"] == 0
    assert link.state()["classes"]["A"]["missing"] == 4


# --- what one peer's trouble costs ---


class Holder(Liar):
    """Has what it says; each kind of trouble is a subclass."""

    def __init__(self, site, gateway):
        self.gateway = gateway
        stream = (gateway.id, gateway.log_id, 0)
        newest = gateway.journal.newest(0)[0]
        super().__init__(site, {stream: Holding(Ranges([(0, newest - 1)]))})
        self.version = 1

    async def summary(self, body):
        said = wire.parse(body)
        first = min(said["names"], 1)
        held = dict(enumerate(self.held.values() if said["version"] < self.version else ()))
        names = list(self.held)[first:]
        told = Summary(self.me, b"instance", self.version, False, first, names, held)
        return wire.pack_summary(told)

    def reads(self, sector):
        return True

    async def prove(self, body):
        nonce, claims = wire.parse_challenge(body)
        stored = {
            place: Stored(self.gateway.sector(0, place.sector), 2)
            for place, _ in claims
            if self.reads(place.sector)
        }
        return wire.pack_proof(self.me, proof.answer(nonce, self.me.site, claims, stored))


class Rotten(Holder):
    """Its disk has lost the oldest sectors."""

    def reads(self, sector):
        return sector >= 66


class Shrunk(Holder):
    """Loses everything when it is told to."""

    def shrink(self):
        self.held = {stream: Holding() for stream in self.held}
        self.version = 2


class Busy(Holder):
    """Signs no day."""

    async def day(self, body):
        raise PeerError("a day of another site, or of one that was never asked")


def test_trouble_of_a_peer_stays_what_it_is(tmp_path):
    gateway = FakeGateway(sectors=80)
    gateway.fill(70)
    names = {"rotten": Rotten, "shrunk": Shrunk, "busy": Busy}
    ward = Ward(tmp_path, [gateway], "east " + " ".join(names))
    ward.record("east", gateway)
    ca = ward.root / "ca" / "ca.pem"
    with contextlib.ExitStack() as stack:
        liars = {}
        for name, kind in names.items():
            liar = liars[name] = kind(name.encode().ljust(8, b"-"), gateway)
            files = ward.root / f"tls-hub-{name}"
            stack.enter_context(lying(liar, ward.ports[name], files, ca, ["hub-east"]))
        east = stack.enter_context(ward.hub("east"))

        def proved(name):
            peer = peer_of(east, name)
            return peer["classes"]["A"]["proved"] if peer else 0

        # What cannot be read back is in the way of nothing else.
        wait_for(lambda: proved("rotten") == 4, lambda: exchange_of(east))
        # All of what is gone is taken back, however much it is.
        wait_for(lambda: proved("shrunk") == 70, lambda: exchange_of(east))
        liars["shrunk"].shrink()
        wait_for(lambda: proved("shrunk") == 0, lambda: exchange_of(east))
        # A question that is refused is asked again when it is due, and the others go on.
        wait_for(lambda: "day" in liars["busy"].asked)
        before = len(liars["busy"].asked)
        wait_for(lambda: len(liars["busy"].asked) > before + 8)
        assert peer_of(east, "busy")["up"]
        assert "broken" not in peer_of(east, "busy")["counters"]
        story = [line["text"] for line in east.get("/api/ward")["story"]]
        assert len([text for text in story if "cannot read back" in text]) == 1


# --- a narrow line ---


def test_answers_fit_the_line_that_whoever_answers_has(path, store):
    gateway = FakeGateway()
    gateway.fill(12)
    for number in range(12):
        path.send(*gateway.sector_runs(0, number))
    path.send(gateway.heartbeat())
    holdings = Holdings(b"instance")
    for log in range(2000):
        holdings.set(Place(b"gateway1", b"%08d" % log, 0, 0), 900, OPEN)
    rate = 5000
    stream = (gateway.id, gateway.log_id, 0)
    asked = [(Want(Place(*stream, number), True), bytes(8)) for number in range(12)]
    since = wire.dump({"instance": "00" * 8, "version": 0, "names": 0, "wait_ms": 0})

    async def ask(which, body):
        desk = Desk(ME, store, holdings, Bucket(rate), on_this_thread, cold)
        return await asyncio.wait_for(getattr(desk, which)("hub-west", body), 10)

    cold = SimpleNamespace(fill=lambda stored, within_s: on_this_thread(lambda: dict(stored)))
    items = list(wire.Frames().feed(asyncio.run(ask("fetch", wire.pack_question(asked)))))
    assert 1 <= len(items) < 12
    summary = wire.parse_summary(asyncio.run(ask("summary", since)))
    assert summary.more
    assert 1 <= len(summary.holdings) < 2000
    assert len(wire.parse_heads(asyncio.run(ask("heads", wire.dump({"since": 0}))))) == 1


# --- connections ---


def test_a_peer_has_no_more_connections_than_it_needs(tmp_path):
    authority, signer = make_authority(tmp_path / "ca")
    for name in ("east", "west"):
        authority.issue(signer, "hub", name, now(), (HOST,)).write(tmp_path / name)
    ca, port = tmp_path / "ca" / "ca.pem", free_port()
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(tmp_path / "west" / "certificate.pem", tmp_path / "west" / "key.pem")

    async def flood():
        made = []
        for _ in range(12):
            reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
            writer.write(
                b"POST /v1/summary HTTP/1.1\r\nhost: a\r\ncontent-length: 4000000\r\n\r\n"
            )
            await writer.drain()
            made.append((reader, writer))
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        left = [reader for reader, _ in made if not reader.at_eof()]
        for _, writer in made:
            writer.transport.abort()
        return left, [reader for reader, _ in made]

    with lying(Liar(b"east----", {}), port, tmp_path / "east", ca, ["hub-west"]):
        left, made = asyncio.run(flood())
    assert left == made[-8:]


# --- days ---


class Desks:
    """Two sites' calendars on one store each, and what they told people."""

    def __init__(self, root, store):
        authority, signer = make_authority(root / "ca")
        self.told = []
        self.held = {STREAM: Ranges([(0, 3)])}
        for name in ("east", "west"):
            authority.issue(signer, "hub", name, now(), (HOST,)).write(root / name)
        self.west = self.identity(root, "west")
        exchange = SimpleNamespace(
            identity=self.identity(root, "east"),
            store=store,
            me=Speaker(b"east----", b"epoch--1"),
            read=on_this_thread,
            held=lambda: self.held,
            site_of=lambda name: b"west----",
            say_soon=lambda gateway, tone, text: self.told.append(text),
        )
        self.calendar = Calendar(exchange)

    @staticmethod
    def identity(root, name):
        return Identity(
            root / "ca" / "ca.pem", root / name / "certificate.pem", root / name / "key.pem"
        )

    def offer(self, ago, spans):
        """Have east sign a day of west's; returns its signature."""
        day = (now().date() - dt.timedelta(days=ago)).isoformat()
        logs = [
            [STREAM[0].hex(), STREAM[1].hex(), 0, *span, days.digest_of([]).hex()]
            for span in spans
        ]
        document = wire.dump({"site": b"west----".hex(), "day": day, "logs": logs})
        key = load_pem_private_key(self.west.key.read_bytes(), None)
        certificate = x509.load_pem_x509_certificate(self.west.certificate.read_bytes())
        body = days.pack_offer(document, days.sign(document, key, certificate))
        return days.parse_verdict(asyncio.run(self.calendar.answer("hub-west", body)))[2]


@pytest.fixture
def desks(tmp_path, store):
    return Desks(tmp_path, store)


def test_a_day_is_signed_once_as_it_was_stated_first(desks):
    first = [(0, 1), (3, 3)]
    assert desks.offer(1, first)
    assert desks.offer(1, first)
    assert desks.offer(1, first[:1]) is None
    assert "otherwise before" in desks.told[0]
    assert desks.offer(2, first[:1])


def test_only_days_that_ended_not_long_ago_are_kept(desks):
    for ago in (-3, 60, 100_000):
        with pytest.raises(PeerError):
            desks.offer(ago, [])
    assert desks.offer(-1, [])  # by a clock that is a little ahead


def test_a_day_that_names_a_sector_twice_costs_nobody_a_thing(desks):
    for spans in ([(0, 3), (0, 3)], [(0, 3), (2, 3)], [(2, 3), (0, 1)]):
        with pytest.raises(PeerError):
            desks.offer(1, spans)


def test_days_are_stated_after_a_clock_was_ahead(desks):
    today = now().date()
    asyncio.run(desks.calendar.state_yesterday(today + dt.timedelta(days=400)))
    asyncio.run(desks.calendar.state_yesterday(today))
    yesterday = (today - dt.timedelta(days=1)).isoformat()
    assert yesterday in desks.calendar.state
