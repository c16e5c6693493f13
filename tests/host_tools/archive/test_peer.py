"""A hub from nothing but the vault and another site's live hub, over the exchange's mutual TLS."""

import json
import signal
from collections import Counter

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from tests.support.sites import HOST, Ward, recorded, stored
from vitalkeep.archive.peer import PeerHub, PeerSource
from vitalkeep.archive.restore import Held, Restore, Source
from vitalkeep.commands.restore import restore
from vitalkeep.commands.verify import verify
from vitalkeep.errors import ToolError
from vitalkeep.hub.batch import Sealed
from vitalkeep.hub.config.load import load
from vitalkeep.hub.exchange.wire import Nothing, Tagged
from vitalkeep.hub.sectors import OPEN, PROVEN, Place
from vitalkeep.hub.store import tables, utc_now_ms
from vitalkeep.keys.vault import Vault


@pytest.fixture
def gateway():
    return recorded()


@pytest.fixture
def ward(tmp_path, gateway):
    """East has all, and west nothing; west's hub does not run."""
    made = Ward(tmp_path, [gateway], "east west")
    made.record("east", gateway)
    return made


def address(ward, name="hub-east@"):
    return f"https://{name}{HOST}:{ward.ports['east']}"


def run(command, ward, *more):
    folder = ward.root / "west"
    options = ("--config", folder / "hub.toml", "--vault", folder / "vault", "--data", folder)
    return CliRunner().invoke(command, [str(part) for part in (*options, *more)])


def content(ward, name):
    store = ward.store(name)
    found = stored(store)
    store.close()
    return found


def test_live_hub_brings_back_all_and_is_compared(ward):
    with ward.hub("east"):
        result = run(restore, ward, "--from", address(ward), "--json")
        assert result.exit_code == 0, result.output
        found = content(ward, "west")
        assert found == content(ward, "east")
        assert [s.state for p, s in sorted(found.items()) if p.cls == 0] == [PROVEN] * 4 + [OPEN]
        # Open sectors came as their gateway's own runs: this site can pass them on.
        store = ward.store("west")
        assert all(store.tags_of([p for p, s in found.items() if s.state == OPEN]).values())
        store.close()
        # Again, by the address that hub.toml has: nothing is fetched twice.
        result = run(restore, ward, "--from", address(ward, ""), "--json")
        report = json.loads(result.stdout)
        assert report["restored"]["taken"] == {}
        assert report["restored"]["skipped"] == len(found)

        result = run(verify, ward, "--against", address(ward), "--json")
        report = json.loads(result.stdout)
        assert (result.exit_code, report["compared"]) == (0, len(found)), report
        spoil(ward, "east")
        result = run(verify, ward, "--against", address(ward), "--json")
        report = json.loads(result.stdout)
        assert result.exit_code == 1
        assert report["wrong"] == {"sites": 1}
        assert "sector 2" in report["findings"][0]["where"]


def spoil(ward, name):
    store = ward.store(name)
    s = tables.sectors
    where = sa.and_(s.c.cls == 0, s.c.sector == 2)
    with store.writing() as connection:
        data = bytearray(connection.execute(sa.select(s.c.data).where(where)).scalar_one())
        data[700] ^= 4
        connection.execute(sa.update(s).where(where).values(data=bytes(data)))
    store.close()


def test_what_either_side_lacks_is_told(ward, gateway):
    ward.record("west", gateway, sectors=2)
    with ward.hub("east"):
        result = run(verify, ward, "--against", address(ward), "--json")
        report = json.loads(result.stdout)
        assert report["wrong"] == {"sites": 3}  # class A's sectors 2 to 4
        assert run(restore, ward, "--from", address(ward)).exit_code == 0
    gateway.observe(0, p1=1)
    ward.record("west", gateway)
    with ward.hub("east"):
        result = run(verify, ward, "--against", address(ward), "--json")
        report = json.loads(result.stdout)
        assert (result.exit_code, report["wrong"]) == (0, {"other site lacks": 1})


def test_bytes_that_a_peer_changed_are_refused_and_named(ward, monkeypatch):
    """What it gives of one sector is not what was sealed, its digest notwithstanding."""
    fetch = PeerHub.fetch

    def lie(hub, asked):
        items = fetch(hub, asked)
        for at, item in enumerate(items):
            if isinstance(item, Sealed) and item.place[2:] == (0, 2):
                data = item.data[:700] + bytes((item.data[700] ^ 4,)) + item.data[701:]
                items[at] = Sealed(item.place, data, item.previous)
        return items

    monkeypatch.setattr(PeerHub, "fetch", lie)
    with ward.hub("east"):
        result = run(restore, ward, "--from", address(ward), "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["restored"]["refused"] == {"wrong_seal": 1}
    assert 2 not in [place.sector for place in content(ward, "west") if place.cls == 0]


def test_hub_that_needs_time_for_a_sector_is_asked_again(ward, monkeypatch):
    """As one does that has to fetch it from its archive first."""
    monkeypatch.setattr("vitalkeep.archive.peer._PAUSE_S", 0.01)
    fetch, prove, asked = PeerHub.fetch, PeerHub.prove, Counter()

    def late(hub, wanted):
        asked.update(want.place for want in wanted)
        return [
            Nothing(item.place)
            if isinstance(item, Sealed) and item.place.sector == 2 and asked[item.place] < 4
            else item
            for item in fetch(hub, wanted)
        ]

    def silent(hub, claims):
        nonce, site, digests = prove(hub, claims)
        asked.update(("prove", place) for place, _ in claims)
        first = [asked["prove", place] == 1 for place, _ in claims]
        return nonce, site, [None if no else d for no, d in zip(first, digests, strict=True)]

    monkeypatch.setattr(PeerHub, "fetch", late)
    monkeypatch.setattr(PeerHub, "prove", silent)
    with ward.hub("east"):
        assert run(restore, ward, "--from", address(ward)).exit_code == 0
        result = run(verify, ward, "--against", address(ward), "--json")
    assert json.loads(result.stdout)["wrong"] == {}
    assert content(ward, "west") == content(ward, "east")


class Runs(Source):
    """Gives runs as what it says they are."""

    def __init__(self, held, payloads):
        super().__init__("runs")
        self.given = [(held, [Tagged(held.place.gateway, held.place.cls, p) for p in payloads])]

    def parts(self, want):
        yield self.given


@pytest.mark.parametrize("spoilt", [False, True])
def test_runs_of_another_sector_or_with_a_wrong_tag_are_refused(ward, gateway, spoilt):
    payloads = [payload for _, payload in gateway.sector_runs(2, 0)]
    place = Place(gateway.id, gateway.log_id, 2, 0)
    if spoilt:
        payloads = [payload[:-1] + bytes((payload[-1] ^ 1,)) for payload in payloads]
    else:
        place = place._replace(sector=1)
    vault = Vault.open(ward.root / "west" / "vault")
    store = ward.store("west")
    source = Runs(Held(place, 4096, 0), payloads)
    result = Restore(store, vault.gateways(), utc_now_ms()).run(source)
    assert result.refused == {"wrong_run": 1}
    assert stored(store) == {}
    store.close()


def test_peer_that_ends_in_the_midst_of_it_is_gone_on_with(ward, monkeypatch):
    from vitalkeep.hub.exchange import wire

    monkeypatch.setattr("vitalkeep.archive.peer._PAUSE_S", 0.01)
    monkeypatch.setattr(wire, "ASK_MAX", 2)
    monkeypatch.setattr("vitalkeep.archive.restore._AT_ONCE", 2)
    folder = ward.root / "west"
    vault = Vault.open(folder / "vault")
    store = ward.store("west")
    with ward.hub("east") as east:
        source = PeerSource(PeerHub.at(address(ward), load(folder / "hub.toml")))

        def stop(count):
            if count == 2:
                east.stop(signal.SIGKILL)

        with pytest.raises(ToolError, match="hub-east"):
            Restore(store, vault.gateways(), utc_now_ms()).run(source, stop)
        source.close()
    before = len(stored(store))
    store.close()
    assert before == 2
    with ward.hub("east"):
        result = run(restore, ward, "--from", address(ward), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["restored"]["skipped"] == before
    assert content(ward, "west") == content(ward, "east")


def test_hub_that_is_not_named_there_gets_nothing(ward, monkeypatch):
    monkeypatch.setattr("vitalkeep.archive.peer._PAUSE_S", 0.01)
    ward.configure("east", [])
    with ward.hub("east"):
        result = run(restore, ward, "--from", address(ward))
    assert "hub-east" in result.exception.message
    assert "one of its peers" in result.exception.hint
    assert content(ward, "west") == {}


def test_who_answers_must_be_who_was_named(ward, monkeypatch):
    monkeypatch.setattr("vitalkeep.archive.peer._PAUSE_S", 0.01)
    with ward.hub("east"):
        result = run(restore, ward, "--from", address(ward, "hub-north@"))
    assert "hub-east is not among the peers" in result.exception.message


def test_address_without_a_name_or_a_certificate_says_what_to_do(ward):
    with pytest.raises(ToolError, match="whose certificate"):
        PeerHub.at("https://127.0.0.1:1", load(ward.root / "west" / "hub.toml"))
    from vitalkeep.hub.config.load import Config

    with pytest.raises(ToolError, match="no certificate to show"):
        PeerHub.at("https://hub-east@127.0.0.1:1", Config())
