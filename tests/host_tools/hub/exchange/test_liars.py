"""Peers that lie, and strangers that ask: nothing false is stored, counted or given."""

import asyncio
import contextlib
import ssl

import httpx
import pytest

from tests.support.hub import FakeGateway
from tests.support.liars import Liar, lying
from tests.support.secure_site import HOST, as_pem, make_authority, now
from tests.support.sites import Ward, exchange_of, peer_of, stored, wait_for
from vitalkeep.hub.batch import Sealed
from vitalkeep.hub.exchange import wire
from vitalkeep.hub.exchange.plan import Holding
from vitalkeep.hub.exchange.ranges import Ranges
from vitalkeep.hub.sectors import OPEN, Place
from vitalkeep.hub.tls import Identity

SITES = {name: name.encode().ljust(8, b"-") for name in ("bytes", "proof", "huge", "mute", "role")}


class WrongBytes(Liar):
    """Has sectors and runs that its gateway never wrote, and others than were asked for."""

    def __init__(self, site, held, sectors):
        super().__init__(site, held)
        self.sectors = sectors

    async def fetch(self, body):
        items = []
        for asked in wire.parse_question(body):
            data = self.sectors.get(asked.place)
            if data is None:
                place = asked.place
                items.append(wire.Tagged(place.gateway, place.cls, bytes(100)))
                continue
            forged = data[:200] + bytes((data[200] ^ 1,)) + data[201:]
            items.append(Sealed(asked.place, forged, b"\x11" * 16))
            # The right bytes of another sector, which nobody asked for.
            items.append(Sealed(asked.place._replace(sector=77), data, None))
        return b"".join(map(wire.pack_item, items))


class Huge(Liar):
    async def fetch(self, body):
        place = wire.parse_question(body)[0].place
        return wire.pack_item(wire.Nothing(place)) * (wire.ANSWER_MAX // 20)


class Mute(Liar):
    async def summary(self, body):
        await asyncio.sleep(3600)


@pytest.fixture
def gateway():
    made = FakeGateway(sectors=40)
    made.fill(6)
    return made


def test_lies_are_named_and_change_nothing(tmp_path, gateway):
    ward = Ward(tmp_path, [gateway], "east " + " ".join(SITES))
    ward.record("east", gateway, sectors=4)
    store = ward.store("east")
    before = stored(store)
    stream = (gateway.id, gateway.log_id, 0)
    own = Holding(Ranges([(0, 3)]))
    more = Holding(Ranges([(0, 9)]), {10: (900, OPEN)})
    sectors = {Place(*stream, number): gateway.sector(0, number % 6) for number in range(4, 10)}
    liars = [
        WrongBytes(SITES["bytes"], {stream: more}, sectors),
        Liar(SITES["proof"], {stream: own}),
        Huge(SITES["huge"], {stream: Holding(Ranges([(20, 30)]))}),
        Mute(SITES["mute"], {}),
        Liar(SITES["role"], {stream: more}),
    ]
    ca = ward.root / "ca" / "ca.pem"
    with contextlib.ExitStack() as stack:
        for name, liar in zip(SITES, liars, strict=True):
            # The last is no hub: a broker's certificate of the same authority.
            role = "site" if name == "role" else "hub"
            files = ward.issue(role, name) if role == "site" else ward.root / f"tls-hub-{name}"
            stack.enter_context(lying(liar, ward.ports[name], files, ca, ["hub-east"]))
        east = stack.enter_context(ward.hub("east"))

        def counted(name, counter):
            return lambda: peer_of(east, name).get("counters", {}).get(counter)

        wait_for(counted("bytes", "refused_wrong_seal"), lambda: exchange_of(east))
        wait_for(counted("bytes", "refused_wrong_header"))
        wait_for(counted("bytes", "refused_run"))
        wait_for(counted("bytes", "unasked"))
        wait_for(counted("proof", "proof_wrong"), lambda: exchange_of(east))
        wait_for(
            lambda: "more than" in peer_of(east, "huge")["last_error"], lambda: exchange_of(east)
        )
        wait_for(
            lambda: "no answer" in peer_of(east, "mute")["last_error"], lambda: exchange_of(east)
        )
        wait_for(lambda: "is no hub" in peer_of(east, "role")["last_error"])
        assert set(liars[-1].asked) <= {"summary"}  # and what that said was not even read
        for name in SITES:
            assert {c["proved"] for c in peer_of(east, name)["classes"].values()} == {0}
        assert east.health()["receipting"]
        story = " ".join(line["text"] for line in east.get("/api/ward")["story"])
        assert "that are not its gateway's: wrong_seal" in story
        assert "hub-proof has other bytes of" in story
    assert stored(store) == before
    store.close()


def ask(ward, identity, path="summary"):
    """Ask a site's hub as whoever holds `identity`; returns the status, or the error."""
    context = ssl.create_default_context(cafile=ward.root / "ca" / "ca.pem")
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    url = f"https://{HOST}:{ward.ports['east']}/v1/{path}"
    question = {"instance": "00" * 8, "version": 0, "names": 0, "wait_ms": 0}
    try:
        with httpx.Client(verify=context, trust_env=False) as client:
            return client.post(url, content=wire.dump(question)).status_code
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__


def test_strangers_are_refused(tmp_path, gateway):
    ward = Ward(tmp_path, [gateway], "east west")
    ca = ward.root / "ca" / "ca.pem"

    def of(folder, ca=ca):
        return Identity(ca, folder / "certificate.pem", folder / "key.pem")

    board = ward.issue("gateway", gateway.id.hex(), hosts=())
    unnamed = ward.issue("hub", "elsewhere")
    relay = ward.issue("relay", "00" * 8, hosts=())
    other, signer = make_authority(tmp_path / "other-ca", "Other ward")
    other.issue(signer, "hub", "west", now(), (HOST,)).write(tmp_path / "false-west")
    with ward.hub("east") as east:
        wait_for(lambda: exchange_of(east).get("listen"))
        wait_for(lambda: ask(ward, of(ward.root / "tls-hub-west")) == 200)
        for folder in (as_pem(board), unnamed, relay, tmp_path / "false-west", None):
            assert ask(ward, of(folder) if folder else None) != 200
        refused = " ".join(exchange_of(east)["refused"])
        assert f"{gateway.id.hex()} is no hub: gateway" in refused
        assert "is no hub: relay" in refused
        assert "hub-elsewhere is not among the peers" in refused
        # A list that names the peer ends it at once; nobody has to restart anything.
        [west] = [i for i in ward.authority.issued() if i.name == "hub-west"]
        ward.authority.revoke(ward.signer, [west], now())
        wait_for(lambda: ask(ward, of(ward.root / "tls-hub-west")) != 200)
        assert "hub-west was revoked" in " ".join(exchange_of(east)["refused"])
        assert east.health()["receipting"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{" * 100_000, b'{"v":1}', b'{"v":1,"want":[[1]]}'])
def test_nonsense_is_refused_with_words(tmp_path, body):
    for parse in (
        wire.parse_summary,
        wire.parse_question,
        wire.parse_challenge,
        wire.parse_heads,
    ):
        with pytest.raises(wire.PeerError):
            parse(body)
