"""Intruders at real brokers with the configuration that we generate.

MQTT 3.1.1 has no refusal of a publish: mosquitto acknowledges what it drops. So what counts is
what arrives at the hub, and at the gateway that is attacked.
"""

from __future__ import annotations

import datetime as dt
import secrets
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.hub_process import Client
from tests.support.secure_site import HOST, SecureSite, as_pem, make_authority, now
from vitalkeep.hub.consume import FILTERS
from vitalkeep.hub.giants import PatientDecoder

A, B, R = "a" * 16, "b" * 16, "e" * 16
BROKERS = [
    pytest.param("mosquitto", marks=pytest.mark.mosquitto),
    pytest.param("nats", marks=pytest.mark.nats),
]
_SOON_S = 5.0


class Scene:
    """A broker, a hub and gateway B that are attacked, and gateway A whose owner went bad."""

    def __init__(self, site: SecureSite, root: Path) -> None:
        self.site = site
        self.root = root
        self.clients: list[Client] = []
        self.victim = "victim-" + secrets.token_hex(4)
        self.hub = self.join(site.hub, "hub-" + self.victim, pem=True)
        self.hub.subscribe(*FILTERS)
        self.b = self.join(root / B, self.victim)
        self.b.subscribe(f"vk/{B}/receipt")

    def join(
        self, folder: Path | None, name: str, pem: bool = False, will: str | None = None
    ) -> Client:
        """Return a session of whoever holds the certificate in a folder."""
        if folder is not None and not pem:
            folder = as_pem(folder)
        client = Client(HOST, self.site.port, name, self.site.context(folder), will)
        self.clients.append(client)
        return client

    def hub_gets(self) -> list[tuple[str, bytes]]:
        """Return what arrived at the hub before a message of B's that is sent now."""
        return self._before(self.hub, lambda: self.b.publish(f"vk/{B}/health", b"mark"))

    def b_gets(self) -> list[tuple[str, bytes]]:
        return self._before(self.b, lambda: self.hub.publish(f"vk/{B}/receipt", b"mark"))

    def reads(self, client: Client, *filters: str) -> list[tuple[str, bytes]]:
        """Return what an intruder gets that asked for `filters`, of a talk of B with the hub."""
        for text in filters:
            try:
                client.subscribe(text)
            except (EOFError, TimeoutError, OSError):
                return []  # thrown out for the asking
        self.b.publish(f"vk/{B}/log/A", b"run")
        self.hub.publish(f"vk/{B}/receipt", b"receipt")
        assert [packet.payload for packet in self.hub.pump(_SOON_S)] == [b"run"]
        assert [packet.payload for packet in self.b.pump(_SOON_S)] == [b"receipt"]
        try:
            return [(packet.topic, packet.payload) for packet in client.pump(0.1)]
        except (EOFError, OSError):
            return []

    @staticmethod
    def _before(client: Client, send: object) -> list[tuple[str, bytes]]:
        send()
        found: list[tuple[str, bytes]] = []
        while all(payload != b"mark" for _, payload in found):
            packets = client.pump(_SOON_S)
            assert packets, "the mark itself did not arrive"
            found += [(packet.topic, packet.payload) for packet in packets]
        # What came by another subscription may be behind it.
        found += [(packet.topic, packet.payload) for packet in client.pump(0.1)]
        return [message for message in found if message[1] not in (b"mark", b"after")]


@pytest.fixture(scope="module", params=BROKERS)
def _site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp(request.param)
    site = SecureSite(root / "site", request.param)
    for name in (A, B):
        site.gateway(name, root / name)
    site.issue("relay", R, root / "relay")
    revoked = site.gateway("c" * 16, root / "revoked")
    site.revoke(revoked.issued)
    with site.running():
        yield site, root


@pytest.fixture
def scene(_site: tuple[SecureSite, Path]) -> Iterator[Scene]:
    made = Scene(*_site)
    yield made
    for client in made.clients:
        client.close()


def test_those_who_may_are_served(scene: Scene) -> None:
    a = scene.join(scene.root / A, "a")
    a.subscribe(f"vk/{A}/receipt")
    for leaf in ("log/A", "log/B", "log/C", "health", "state"):
        a.publish(f"vk/{A}/{leaf}", leaf.encode())
    found = set()
    while len(found) < 5:
        packets = scene.hub.pump(_SOON_S)
        assert packets, found
        found |= {packet.topic for packet in packets}
    scene.hub.publish(f"vk/{A}/receipt", b"yours")
    assert [packet.payload for packet in a.pump(_SOON_S)] == [b"yours"]


FORGED = [
    f"vk/{B}/log/A",
    f"vk/{B}/health",
    f"vk/{B}/state",
    f"vk/{B}/receipt",
    f"vk/{B}/command",
    f"vk/{A}/receipt",
    f"vk/{A}/radio",
    "vk/x/log/A",
    "anything",
]


def test_gateway_publishes_nothing_but_its_own(scene: Scene) -> None:
    for number, topic in enumerate(FORGED):
        a = scene.join(scene.root / A, f"a{number}")
        a.subscribe(f"vk/{A}/receipt")
        try:
            a.publish(topic, b"forged", retain=True)
            a.publish(f"vk/{A}/health", b"after")
            got = [packet.topic for packet in a.pump(0.05)]
        except (EOFError, OSError):
            got = []  # thrown out
        assert got == [], topic
    assert [topic for topic, payload in scene.hub_gets() if payload == b"forged"] == []
    assert scene.b_gets() == []
    late = scene.join(scene.site.hub, "late-hub", pem=True)
    late.subscribe(*FILTERS)
    assert [packet.topic for packet in late.pump(0.3) if packet.payload == b"forged"] == []


OTHERS = [
    "#",
    "+/#",
    "vk/#",
    f"vk/{B}/receipt",
    f"vk/{B}/#",
    "vk/+/receipt",
    "vk/+/log/A",
    "$SYS/#",
    "$MQTT/#",
    "$MQTT/sub/#",
    "$MQTT/msgs/#",
    "$JS/#",
]


def test_gateway_reads_nothing_of_others(scene: Scene) -> None:
    for number, text in enumerate(OTHERS):
        a = scene.join(scene.root / A, f"a{number}")
        assert scene.reads(a, text) == [], text


def test_client_identifier_of_another_is_of_no_use(scene: Scene) -> None:
    if scene.site.broker == "nats":
        # It ends the other's session: for this reason nobody can guess a gateway's identifier.
        scene.join(scene.root / A, scene.victim)
        with pytest.raises((EOFError, OSError)):
            scene.b.pump(_SOON_S)
        return
    for name in (scene.victim, "hub-" + scene.victim, B):
        scene.join(scene.root / A, name)
    assert scene.hub_gets() == []
    assert scene.b_gets() == []


def test_will_on_anothers_topic_is_not_published(scene: Scene) -> None:
    try:
        a = scene.join(scene.root / A, "a", will=f"vk/{B}/state")
        a.abort()
    except (EOFError, OSError, AssertionError):
        pass  # refused at the door
    assert scene.hub.pump(0.5) == []
    a = scene.join(scene.root / A, "a2", will=f"vk/{A}/state")
    a.abort()
    assert [packet.topic for packet in scene.hub.pump(_SOON_S)] == [f"vk/{A}/state"]


def test_relay_has_its_radio_and_nothing_else(scene: Scene) -> None:
    relay = scene.join(scene.root / "relay", "r", pem=True)
    relay.subscribe(f"vk/{R}/air")
    relay.publish(f"vk/{R}/radio", b"frame")
    assert [packet.payload for packet in scene.hub.pump(_SOON_S)] == [b"frame"]
    scene.hub.publish(f"vk/{R}/air", b"answer")
    assert [packet.payload for packet in relay.pump(_SOON_S)] == [b"answer"]
    for number, topic in enumerate((f"vk/{B}/radio", f"vk/{B}/log/A", f"vk/{R}/log/A")):
        relay = scene.join(scene.root / "relay", f"w{number}", pem=True)
        try:
            relay.publish(topic, b"forged")
        except OSError:
            pass
        assert scene.hub_gets() == [], topic
    for number, text in enumerate(("#", "vk/+/air", "vk/+/radio", f"vk/{B}/receipt")):
        relay = scene.join(scene.root / "relay", f"r{number}", pem=True)
        assert scene.reads(relay, text) == [], text


def _refused(scene: Scene, context: ssl.SSLContext | None) -> bool:
    """Say whether a client with a context gets no further than the door."""
    try:
        client = Client(HOST, scene.site.port, "stranger", context)
    except (OSError, EOFError, TimeoutError, AssertionError):
        return True
    client.close()
    return False


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nobody_comes_in_without_a_good_certificate(scene: Scene, tmp_path: Path) -> None:
    site = scene.site
    assert not _refused(scene, site.context(as_pem(scene.root / A)))
    assert _refused(scene, None)  # no TLS at all
    assert _refused(scene, site.context(None))
    assert _refused(scene, site.context(as_pem(scene.root / "revoked")))
    ended = site.issue("gateway", A, tmp_path / "ended", days=10, from_days=-20)
    assert ended.issued.days_left(now()) < 0
    assert _refused(scene, site.context(as_pem(tmp_path / "ended")))
    # A self-made authority of the very same name
    other, signer = make_authority(tmp_path / "ca")
    other.issue(signer, "gateway", A, now()).write(tmp_path / "self")
    assert _refused(scene, site.context(as_pem(tmp_path / "self")))
    # A certificate for servers lets no client in
    assert _refused(scene, site.context(site.folder / "tls"))
    old = site.context(as_pem(scene.root / A))
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    assert _refused(scene, old)
    assert scene.hub_gets() == []


def test_certificate_for_a_gateway_that_the_vault_does_not_know_is_worth_nothing(
    scene: Scene,
) -> None:
    stranger = "d" * 16
    folder = scene.root / stranger
    if not folder.exists():
        scene.site.issue("gateway", stranger, folder)
    try:
        client = scene.join(folder, "d")
        client.publish(f"vk/{stranger}/health", b"hello")
    except (OSError, EOFError, AssertionError):
        pass
    assert scene.hub_gets() == []


def test_giant_message_does_not_end_the_hubs_session(scene: Scene) -> None:
    # mosquitto ends the sender's; nats-server 2.9 bounds no publish of MQTT, so the hub does.
    scene.hub.decoder = PatientDecoder(65536)
    a = scene.join(scene.root / A, "a")
    try:
        a.publish(f"vk/{A}/log/A", bytes(300_000))
    except OSError:
        pass
    assert scene.hub_gets() in ([], [(f"vk/{A}/log/A", b"")])
    assert scene.hub_gets() == []


def test_dates_of_the_list_do_not_end_before_the_authority(scene: Scene) -> None:
    crl = x509.load_pem_x509_crl((scene.site.folder / "crl.pem").read_bytes())
    assert crl.next_update_utc == scene.site.authority.certificate.not_valid_after_utc
    assert crl.last_update_utc < now() - dt.timedelta(hours=1)
