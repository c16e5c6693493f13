"""An open sector is closed as silent after days in which somebody would have heard of it."""

import asyncio
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from tests.support.hub import FakeGateway, place
from tests.support.sites import Ward, deliver, recorded, stored, wait_for
from vitalkeep.hub.exchange import exchange as module
from vitalkeep.hub.exchange.exchange import Exchange
from vitalkeep.hub.exchange.settings import ExchangeSettings
from vitalkeep.hub.exchange.silence import Silence
from vitalkeep.hub.sectors import DAY_MS, OPEN, ORPHAN, PROVEN
from vitalkeep.hub.store import tables, utc_now_ms

_HOUR_S = 3600.0
ONE, TWO = (place(FakeGateway(), number) for number in (1, 2))


def test_silence_lasts_when_each_look_of_a_day_found_it():
    silence = Silence()
    for hour in range(24):
        assert silence.lasting([ONE, TWO] if hour else [ONE], hour * _HOUR_S) == []
    assert silence.lasting([ONE, TWO], 24 * _HOUR_S) == [ONE]
    assert silence.lasting([TWO], 25 * _HOUR_S) == [TWO]
    assert silence.lasting([ONE, TWO], 26 * _HOUR_S) == [TWO]  # the one was heard meanwhile
    silence.deaf()
    assert silence.lasting([ONE, TWO], 27 * _HOUR_S) == []


def test_hub_that_was_off_for_long_waits_for_its_gateways(tmp_path):
    gateway = recorded()
    ward = Ward(tmp_path, [gateway], "east west")
    ward.record("east", gateway)
    store = ward.store("east")
    with store.writing() as connection:
        ago = {"stored_ms": tables.sectors.c.stored_ms - 9 * DAY_MS}
        connection.execute(sa.update(tables.sectors).values(ago))
    with ward.hub("east") as hub:
        wait_for(store.days)  # it has kept house
        assert ORPHAN not in {found.state for found in stored(store).values()}
        gateway.fill(1)
        deliver(gateway, hub)
        assert {found.state for found in stored(store).values()} == {OPEN, PROVEN}
        assert all(row["name"] != "orphan" for row in store.recent("events", 0, 99))
    store.close()


@pytest.fixture
def site(path, store, monkeypatch):
    """Return an exchange's part that closes orphans, whose clocks are turned by the test."""
    clock = SimpleNamespace(mono_s=0.0, ahead_ms=0)
    monkeypatch.setattr(module, "monotonic", lambda: clock.mono_s)
    monkeypatch.setattr(module, "utc_now_ms", lambda: utc_now_ms() + clock.ahead_ms)

    async def read(work):
        return work()

    part = SimpleNamespace(
        store=store, intake=path.intake, settings=ExchangeSettings(), read=read,
        _consumer=SimpleNamespace(connected=True), _silence=Silence(),
    )  # fmt: skip

    def pass_hours(hours):
        for _ in range(hours):
            clock.mono_s += _HOUR_S
            asyncio.run(Exchange._close_orphans(part))

    return SimpleNamespace(clock=clock, pass_hours=pass_hours, hub=part)


def opened(path):
    gateway = FakeGateway()
    gateway.fill(1)
    path.send(gateway.heartbeat(), *gateway.sector_runs(0, 1))
    return gateway


def test_gateway_that_fell_silent_is_closed_after_a_day_of_listening(path, store, site):
    gateway = opened(path)
    site.pass_hours(50)
    assert store.unsealed() == [(place(gateway, 1), len(gateway.sector(0, 1)), OPEN)]
    site.clock.ahead_ms = 8 * DAY_MS
    site.pass_hours(24)
    assert store.unsealed()[0][2] == OPEN
    site.pass_hours(1)
    assert store.unsealed()[0][2] == ORPHAN


def test_clock_that_is_far_ahead_for_a_while_closes_nothing(path, store, site):
    opened(path)
    for _ in range(3):
        site.clock.ahead_ms = 400 * DAY_MS
        site.pass_hours(23)
        site.clock.ahead_ms = 0
        site.pass_hours(1)
    assert store.unsealed()[0][2] == OPEN


@pytest.mark.parametrize("deaf", ["broker", "store"])
def test_silence_while_nobody_could_be_heard_is_none(path, store, site, deaf, monkeypatch):
    opened(path)
    site.clock.ahead_ms = 8 * DAY_MS
    for _ in range(3):
        with monkeypatch.context() as patched:
            if deaf == "broker":
                patched.setattr(site.hub._consumer, "connected", False)
            else:
                patched.setattr(type(path.intake), "receipting", False)
            site.pass_hours(40)
        site.pass_hours(23)
    assert store.unsealed()[0][2] == OPEN
