"""Under load what can wait has to, and no commit waits for it."""

import contextlib
import math
import sqlite3
import threading
import time
from http.client import HTTPConnection, HTTPException
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.hub import FakeGateway
from tests.support.hub_process import HubProcess, Online
from vitalkeep.hub.load import Load, LoadSettings

_PATIENCE_S = 60


def feed(load, seconds, value, at=0.0):
    """Sample a steady value twice a second and return the time after."""
    end = at + seconds
    while at < end:
        at += 0.5
        load.sample(at, {"cpu": value, "commit": value / 2})
    return at


def test_a_peak_of_a_second_sheds_nothing():
    load = Load(LoadSettings())
    at = feed(load, 10, 0.3)
    at = feed(load, 1, 1.0, at)
    feed(load, 10, 0.3, at)
    assert not load.shedding
    assert load.worst == "cpu"


def test_shedding_begins_above_and_ends_below_only_after_a_while():
    load = Load(LoadSettings())
    at = feed(load, 20, 0.9)
    assert load.shedding
    at = feed(load, 60, 0.78, at)  # between the two: it goes on
    assert load.shedding
    at = feed(load, 8, 0.1, at)
    assert load.shedding
    feed(load, 10, 0.1, at)
    assert not load.shedding


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 3)), max_size=200))
def test_no_journey_flaps_faster_than_calm_allows(journey):
    settings = LoadSettings()
    load = Load(settings)
    now = 0.0
    ended = -math.inf
    for step, value in journey:
        now += step
        if load.sample(now, {"cpu": value}) and not load.shedding:
            assert now - ended >= settings.calm_s
            ended = now
        assert 0 <= load.value <= 3


def test_settings_that_would_flap_are_refused():
    with pytest.raises(ValueError, match="want less"):
        LoadSettings(shed_percent=60, calm_percent=60)


@contextlib.contextmanager
def page_storm(hub):
    """Ask for the whole ward and its metrics without a pause, as a hundred wall screens would."""
    over = threading.Event()

    def ask():
        # A connection that stays open: asking must cost less than answering.
        link = HTTPConnection(urlsplit(hub.where["http"]).netloc, timeout=5)
        with contextlib.closing(link):
            while not over.is_set():
                try:
                    for path in ("/api/ward", "/metrics"):
                        link.request("GET", path)
                        link.getresponse().read()
                except (OSError, HTTPException):
                    link.close()  # the next question opens it again

    threads = [threading.Thread(target=ask) for _ in range(100)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def slow_disk(hub):
    """Hold the database's lock most of the time, as a disk that is sick would."""
    over = threading.Event()

    def hold():
        with contextlib.closing(sqlite3.connect(hub.folder / "hub.db", timeout=30)) as database:
            database.isolation_level = None
            while not over.is_set():
                database.execute("BEGIN IMMEDIATE")
                over.wait(0.6)
                database.execute("COMMIT")
                time.sleep(0.02)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("trouble", "blamed"),
    [
        # On a busy machine a storm shows first wherever the hub is starved first.
        (page_storm, "cpu loop commit"),
        (slow_disk, "commit"),
    ],
)
def test_overloaded_hub_sheds_and_goes_on_receipting_class_a(tmp_path, vault, trouble, blamed):
    for number in range(150 if trouble is page_storm else 0):
        vault.add_gateway(f"other{number:03}".encode(), f"Bed {number}")
    vault._write()
    gateway = FakeGateway(site=vault.site_id)
    config = tmp_path / "hub.toml"
    # Half a core is enough of a storm: the machine of a test may have no more to give.
    config.write_text("[load]\nshed_percent = 50\ncalm_percent = 40\ncalm_s = 1\n")
    with HubProcess(tmp_path, "--config", str(config)) as hub:
        online = Online(gateway, hub.broker)
        online.talk(online.settled)

        def until(condition):
            deadline = time.monotonic() + _PATIENCE_S
            while not condition(hub.health()):
                assert time.monotonic() < deadline
                gateway.clock.now_ms += 1000
                gateway.observe(0, 0, p1=93)
                online.talk(online.settled, _PATIENCE_S)

        with urlopen(hub.where["http"] + "/events", timeout=5):
            with trouble(hub):
                until(lambda health: health["shedding"])
                found = hub.health()
                assert max(found["load"], key=found["load"].get) in blamed
                with pytest.raises(HTTPError, match="503"):
                    urlopen(hub.where["http"] + "/api/account", timeout=5)
                until(lambda _: _shed(hub, "page") > 0)  # receipts come all the time
            until(lambda health: not health["shedding"])
        assert _shed(hub, "api") >= 1
        texts = [line["text"] for line in hub.get("/api/ward")["story"]]
        assert any(text.startswith("Under load") for text in texts)
        assert any(text.startswith("The load is over") for text in texts)


def _shed(hub, work):
    with urlopen(hub.where["http"] + "/metrics", timeout=5) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f'vitalkeep_hub_shed_total{{work="{work}"}}'):
                return float(line.split()[-1])
    return 0
