"""The page in a browser, on a phone and on a desk, and its feed."""

import asyncio

import pytest

from tests.support.hub import FakeGateway
from tests.support.hub_process import HubProcess, Online
from vitalkeep.hub.page import QUEUE_MAX, Feed

_SECONDS = 10


def test_slow_viewer_is_dropped_and_the_others_go_on():
    async def story():
        feed = Feed()
        slow, quick = feed.join(), feed.join()
        for number in range(QUEUE_MAX + 1):
            feed.publish("beds", number)
            assert (await quick.get())[1] == str(number)
        assert len(feed) == 1
        assert feed.dropped == 1
        assert await slow.get() is None
        feed.close()
        assert await quick.get() is None

    asyncio.run(story())


def test_nan_never_reaches_a_browser():
    feed = Feed()
    feed._queues.add(asyncio.Queue())
    with pytest.raises(ValueError, match="JSON compliant"):
        feed.publish("beds", float("nan"))


@pytest.fixture
def hub(tmp_path, vault):
    vault._write()
    with HubProcess(tmp_path) as made:
        yield made


@pytest.fixture
def online(hub, vault):
    made = Online(FakeGateway(site=vault.site_id), hub.broker)
    made.talk(made.settled)
    return made


def wait(browser, script, seconds=_SECONDS):
    """Wait until a script returns something true; returns it."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds, 0.05).until(lambda b: b.execute_script(script))


def open_page(browser, hub, width):
    """Open the page with a viewport of `width` pixels, whatever the window's frame takes."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(hub.where["http"])
    wait(browser, "return document.querySelectorAll('.card').length")
    assert browser.execute_script("return innerWidth") == width


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_values_appear_and_nothing_scrolls_sideways(browser, hub, online, width):
    gateway = online.gateway
    open_page(browser, hub, width)
    gateway.clock.now_ms += 1000
    gateway.observe(0, 0, p1=93, p2=61, p6=368)
    online.talk(online.settled)
    numbers = "return [...document.querySelectorAll('.number')].map(n => n.textContent).join()"
    wait(browser, f"return ({numbers.replace('return ', '')}).includes('93')")
    assert "61" in browser.execute_script(numbers)
    # A change arrives over the stream that is open already.
    gateway.clock.now_ms += 1000
    gateway.observe(0, 0, p1=88, p2=62)
    online.talk(online.settled)
    wait(browser, f"return ({numbers.replace('return ', '')}).includes('88')")
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    text = browser.execute_script("return document.body.innerText")
    for words in ("Bed 1", "link up", "Receipting", "SpO2", "Backlog", "Gateway clock"):
        assert words in text
    log = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert log == []


@pytest.mark.browser
def test_names_are_shown_as_text_never_as_markup(browser, tmp_path, vault):
    gateway = FakeGateway(site=vault.site_id)
    vault.add_gateway(gateway.id, "<img src=x onerror=alert(1)>")
    with HubProcess(tmp_path) as hub:
        online = Online(gateway, hub.broker)
        gateway.alarm("<script>document.title='hacked'</script>")
        gateway.observe()
        online.talk(online.settled)
        open_page(browser, hub, 1280)
        wait(browser, "return document.querySelectorAll('.number').length")
        assert browser.execute_script("return document.querySelectorAll('main img').length") == 0
        assert browser.title == "Vitalkeep"
        assert "<img src=x" in browser.execute_script("return document.body.innerText")


@pytest.mark.browser
def test_silence_looks_like_silence(browser, hub, online):
    online.gateway.observe()
    online.talk(online.settled)
    open_page(browser, hub, 1280)
    wait(browser, "return document.body.innerText.includes('link down')", 12)
    wait(browser, "return document.querySelectorAll('.value.old').length", 12)
    assert "old" in browser.execute_script("return document.querySelector('.age').textContent")
    assert "link down" in browser.execute_script(
        "return document.querySelector('#live').textContent"
    )


@pytest.mark.browser
def test_room_and_what_was_attained_are_shown_beside_the_plan(browser, hub, online):
    open_page(browser, hub, 390)
    wait(browser, "return document.querySelector('#chip-room').textContent.includes('free')")
    wait(browser, "return !document.querySelector('#attained').hidden", 30)
    rows = "return [...document.querySelectorAll('#attained-rows tr')].map(r => r.innerText)"
    found = browser.execute_script(rows)
    assert [row[0] for row in found] == ["A", "B", "C"]
    assert "not known yet" in found[0]  # no hour has passed
    assert "none, plan 5 min" in found[0]
    # What the hub would send is what the table says, in words and not by colour alone.
    browser.execute_script(
        "showHealth({...health, shedding: true, ready: false, not_ready: ['the store is slow'],"
        " room: {...health.room, days_until_full: 3.2}, attained: {A: {rpo_s: 11, rto_s: 42,"
        " span_s: 1000, stored_s: 999, plan: {rto_s: 300, rpo_s: 10}}}})"
    )
    (row,) = browser.execute_script(rows)
    assert "11 s, plan 10 s: missed" in row
    assert "42 s, plan 5 min" in row
    assert "99.90 %" in row
    text = browser.execute_script("return document.body.innerText")
    assert "Store: Full in 3 d" in text
    assert "Under load" in text
    assert "Not ready: the store is slow" in text
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
def test_lost_hub_is_said_in_a_banner(browser, hub, online):
    open_page(browser, hub, 390)
    assert browser.execute_script("return document.querySelector('#banner').hidden")
    hub.stop()
    wait(browser, "return !document.querySelector('#banner').hidden")
    assert "lost" in browser.execute_script("return document.querySelector('#banner').textContent")
