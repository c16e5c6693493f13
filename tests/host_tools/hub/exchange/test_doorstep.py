"""Strangers occupy the exchange's port with real sockets and say nothing: a peer gets in."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import selectors
import socket
import ssl
import threading
import time
from asyncio.sslproto import SSLProtocol
from collections import Counter
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from tests.support.liars import Liar, lying
from tests.support.processes import free_port
from tests.support.secure_site import HOST, make_authority, now
from tests.support.sites import Ward, exchange_of, peer_of, recorded, wait_for
from vitalkeep.hub.exchange import doorstep, wire
from vitalkeep.hub.exchange.client import Client
from vitalkeep.hub.exchange.doorstep import OF_ADDRESS_MAX, WAITING_MAX, Friends
from vitalkeep.hub.exchange.settings import Peer
from vitalkeep.hub.exchange.tls import Doorkeeper
from vitalkeep.hub.tls import Identity

PATIENCE_S = 60
QUESTION = wire.dump({"instance": "00" * 8, "version": 0, "names": 0, "wait_ms": 0})


class Strangers:
    """Connections that say nothing, and come again as soon as they are hung up on.

    count  how many, in turn from this computer's addresses 127.0.0.`first` and up
    """

    def __init__(self, port: int, count: int, addresses: int = 1, first: int = 1) -> None:
        self.port = port
        self.hung_up: Counter[str] = Counter()
        self._sources = [f"127.0.0.{first + n % addresses}" for n in range(count)]
        self._lock = threading.Lock()
        self._open: selectors.BaseSelector = selectors.DefaultSelector()
        self._stop = threading.Event()
        for source in self._sources:
            self._connect(source)
        self._thread = threading.Thread(target=self._stay)
        self._thread.start()

    def _connect(self, source: str) -> None:
        sock = socket.create_connection((HOST, self.port), PATIENCE_S, (source, 0))
        self._open.register(sock, selectors.EVENT_READ, source)

    def _stay(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._open.select(0.1):
                self._open.unregister(key.fileobj)
                key.fileobj.close()
                self.hung_up[key.data] += 1
                with contextlib.suppress(OSError):
                    self._connect(key.data)
            self._stop.wait(0.02)

    def __enter__(self) -> Strangers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for key in list(self._open.get_map().values()):
            key.fileobj.close()
        self._open.close()


class Silent:
    """Connections that say nothing and are watched."""

    def __init__(self, port: int, sources: list[str]) -> None:
        self.socks = [socket.create_connection((HOST, port), PATIENCE_S, (s, 0)) for s in sources]

    def left(self) -> list[str]:
        """Return the addresses of those that were not hung up on so far."""
        found = []
        for sock in self.socks:
            sock.setblocking(False)
            try:
                ended = not sock.recv(1)
            except BlockingIOError:
                ended = False
            except ConnectionResetError:
                ended = True
            if not ended:
                found.append(sock.getsockname()[0])
        return found

    def close(self) -> None:
        for sock in self.socks:
            sock.close()


@pytest.fixture
def site(tmp_path) -> Iterator[tuple[int, ssl.SSLContext, Counter]]:
    """Yield the port of a hub, what a peer of it shows, and what the hub counted."""
    authority, signer = make_authority(tmp_path / "ca")
    for name in ("east", "west"):
        authority.issue(signer, "hub", name, now(), (HOST,)).write(tmp_path / name)
    files = tmp_path / "west"
    context = Identity(files / "ca.pem", files / "certificate.pem", files / "key.pem").context()
    port, counted = free_port(), Counter()
    ca = tmp_path / "east" / "ca.pem"
    liar = Liar(b"site---2", {})
    with lying(liar, port, tmp_path / "east", ca, ["hub-west"], lambda why: counted.update([why])):
        yield port, context, counted


def ask(port: int, context: ssl.SSLContext, source: str = HOST) -> bytes:
    """Ask for news as a peer does; returns the first line of the answer."""
    raw = socket.create_connection((HOST, port), PATIENCE_S, (source, 0))
    with context.wrap_socket(raw, server_hostname=HOST) as sock:
        head = f"POST /v1/summary HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {len(QUESTION)}\r\n"
        sock.sendall(head.encode() + b"connection: close\r\n\r\n" + QUESTION)
        return sock.makefile("rb").readline().strip()


GOOD = b"HTTP/1.1 200 OK"


def patient(condition) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_one_address_has_its_share_and_others_are_not_touched(site, monkeypatch):
    monkeypatch.setattr(doorstep, "WAIT_S", PATIENCE_S)
    port, context, counted = site
    quiet = Silent(port, ["127.0.0.2"])
    loud = Silent(port, ["127.0.0.3"] * 3 * OF_ADDRESS_MAX)
    patient(lambda: len(loud.left()) == OF_ADDRESS_MAX)
    assert quiet.left() == ["127.0.0.2"]
    assert counted == {"crowd": 2 * OF_ADDRESS_MAX}
    assert ask(port, context, "127.0.0.3") == GOOD, "a peer may be behind the same address"
    quiet.close()
    loud.close()


def test_when_all_room_is_taken_the_greediest_make_room_and_a_peers_address_last(
    site, monkeypatch
):
    monkeypatch.setattr(doorstep, "WAIT_S", PATIENCE_S)
    port, context, counted = site
    assert ask(port, context, "127.0.0.2") == GOOD
    friend = Silent(port, ["127.0.0.2"])
    greedy = Silent(port, ["127.0.0.3"] * 5)
    sources = [f"127.0.1.{n}" for n in range(1, WAITING_MAX - 1)]
    crowd = Silent(port, sources)
    patient(lambda: counted["crowd"] == 4)
    assert len(crowd.left()) == len(sources)
    assert greedy.left() == ["127.0.0.3"]
    more = Silent(port, [f"127.0.2.{n}" for n in range(1, 20)])
    patient(lambda: counted["crowd"] == 23)
    left = friend.left() + greedy.left() + crowd.left() + more.left()
    assert len(left) == WAITING_MAX
    assert friend.left() == ["127.0.0.2"]
    for some in (friend, greedy, crowd, more):
        some.close()


def test_who_made_room_leaves_nothing_behind_for_the_collector(site):
    def remaining() -> int:
        return sum(isinstance(one, SSLProtocol) for one in gc.get_objects())

    port, _, counted = site
    gc.collect()
    gc.disable()  # a hub's own comes seldom: everything stands still meanwhile
    try:
        crowds = [Silent(port, [f"127.0.{n}.{m}" for m in range(1, 101)]) for n in range(1, 5)]
        patient(lambda: counted["crowd"] >= 400 - WAITING_MAX)
        patient(lambda: remaining() <= WAITING_MAX)
    finally:
        gc.enable()
    for crowd in crowds:
        crowd.close()


def test_a_peer_that_was_asked_is_known_when_it_comes(site, tmp_path):
    port, context, _ = site
    door = Doorkeeper(tmp_path / "west" / "ca.pem", ["hub-east"], None)
    assert HOST not in door.friends

    async def asks() -> None:
        async with Client(Peer("hub-east", f"https://{HOST}:{port}"), context, door) as client:
            await client.ask("summary", QUESTION)

    asyncio.run(asks())
    assert HOST in door.friends


def test_addresses_of_ipv6_count_by_network_and_friends_have_an_end():
    friends = Friends()
    friends.note("2001:db8:1:2::7")
    assert "2001:db8:1:2::/64" in friends
    friends.note("::ffff:192.0.2.1")
    assert "192.0.2.1" in friends
    for number in range(100):
        friends.note(f"198.51.100.{number}")
    assert "192.0.2.1" not in friends
    assert "198.51.100.99" in friends


def test_whoever_says_nothing_is_hung_up_on_and_whoever_shows_nothing_is_counted(site):
    port, _, counted = site
    silent = Silent(port, ["127.0.0.2"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    raw = socket.create_connection((HOST, port), PATIENCE_S)
    with contextlib.suppress(ssl.SSLError, ConnectionError), context.wrap_socket(raw) as sock:
        # Its own part of the handshake may be over before ours.
        assert sock.recv(1) == b""
    patient(lambda: not silent.left())
    assert counted == {"late": 1, "handshake": 1}
    silent.close()


def test_a_peer_is_answered_while_strangers_fill_the_port(site):
    port, context, counted = site

    def gets_in() -> bool:
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            return ask(port, context) == GOOD
        return False

    with Strangers(port, 100, addresses=100, first=10) as strangers:
        patient(gets_in)  # the first time it may take several, as a peer makes
        for _ in range(10):
            assert ask(port, context) == GOOD
        patient(lambda: sum(strangers.hung_up.values()) > 100)
    assert counted["crowd"] > 100 - WAITING_MAX


def test_two_sites_meet_while_strangers_fill_their_ports(tmp_path):
    ward = Ward(tmp_path, [recorded()], "east west")
    with ward.hub("east") as east:
        wait_for(lambda: exchange_of(east).get("listen"))
        with Strangers(ward.ports["east"], 100, addresses=50), ward.hub("west") as west:
            wait_for(lambda: peer_of(west, "east").get("up"), lambda: peer_of(west, "east"))
            with urlopen(east.where["http"] + "/metrics", timeout=PATIENCE_S) as answer:
                counted = answer.read().decode()
            assert 'vitalkeep_hub_exchange_unfinished_total{why="crowd"}' in counted
        story = [line["text"] for line in east.get("/api/ward")["story"]]
        assert any("a crowd that shows no certificates" in text for text in story)
