"""The page in a browser, on a phone and on a desk, and its feed."""

import asyncio
from urllib.error import HTTPError

import pytest

from tests.support.hub import FakeGateway
from tests.support.hub_process import HubProcess, Online
from vitalkeep.hub.cards import TRENDS_MAX
from vitalkeep.hub.page import QUEUE_MAX, Feed
from vitalkeep.keys.vault import Gateway

_SECONDS = 10


def test_slow_viewer_is_dropped_and_the_others_go_on():
    async def story():
        feed = Feed()
        slow, quick = feed.join(), feed.join()
        for number in range(QUEUE_MAX + 1):
            feed.publish("beds", number)
            assert await quick.get() == f"event: beds\r\ndata: {number}\r\n\r\n".encode()
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


def observe(online, **values):
    online.gateway.clock.now_ms += 1000
    online.gateway.observe(0, 0, **values)
    online.talk(online.settled)


def test_trends_are_asked_for_bed_by_bed(hub, online):
    for number in (97, 95, 93):
        observe(online, p1=number)
    id = online.gateway.id.hex()

    def ask():
        return hub.get(f"/api/ward/trends?gateway={id},{b'stranger'.hex()}")

    # Values are decoded right after their receipt.
    online.talk(
        lambda: len(ask().get(id, {}).get("vent", {}).get("SpO2", {"past": ()})["past"]) == 3
    )
    found = ask()
    assert found[id]["vent"]["SpO2"]["past"] == [97, 95, 93]
    assert list(found) == [id]
    (bed,) = hub.get("/api/ward")["beds"]
    (device,) = [device for device in bed["devices"] if device["name"] == "vent"]
    assert found[id]["vent"]["SpO2"]["at"] == device["at"]
    for wrong in ("", "?gateway=", "?gateway=xy", f"?gateway={id},"):
        with pytest.raises(HTTPError, match="400"):
            hub.get("/api/ward/trends" + wrong)
    with pytest.raises(HTTPError, match="400"):
        hub.get("/api/ward/trends?gateway=" + ",".join([id] * (TRENDS_MAX + 1)))


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
    open_page(browser, hub, width)
    observe(online, p1=93, p2=61, p6=368)
    numbers = "return [...document.querySelectorAll('.number')].map(n => n.textContent).join()"
    wait(browser, f"return ({numbers.replace('return ', '')}).includes('93')")
    assert "61" in browser.execute_script(numbers)
    # A change arrives over the stream that is open already.
    observe(online, p1=88, p2=62)
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


WARD = 1000
FAR = "Bed 900"


@pytest.fixture
def far_bed(tmp_path, vault):
    """A bed that is talking, far down a page of a thousand; yields (hub, online)."""
    gateway = FakeGateway(b"far away", site=vault.site_id)
    vault.add_gateways(
        Gateway(number.to_bytes(8, "big"), f"Bed {number}", gateway.root, ())
        for number in range(2, WARD + 1)
        if f"Bed {number}" != FAR
    )
    vault.add_gateway(gateway.id, FAR, gateway.root, gateway.log_id)
    with HubProcess(tmp_path) as hub:
        online = Online(gateway, hub.broker)
        online.talk(online.settled)
        yield hub, online


FAR_CARD = f"document.querySelector('.card[aria-label=\"{FAR}\"]')"
FAR_NUMBERS = f"[...{FAR_CARD}.querySelectorAll('.number')].map(n => n.textContent).join()"
# Of the first value: how many points its line has.
FAR_POINTS = f"""
    const line = {FAR_CARD}.querySelector('polyline');
    return line ? (line.getAttribute('points') || '').split(' ').filter(Boolean).length : 0"""


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_thousand_beds_stand_in_order_and_none_is_forgotten(browser, far_bed, width):
    hub, online = far_bed
    open_page(browser, hub, width)
    wait(browser, f"return document.querySelectorAll('.card').length === {WARD}", 30)
    names = browser.execute_script(
        "return [...document.querySelectorAll('.card h2')].map(n => n.textContent)"
    )
    assert names == [f"Bed {number}" for number in range(1, WARD + 1)]
    chip = "document.querySelector('#chip-beds').textContent"
    wait(browser, f"return {chip} === 'Beds: 1 of {WARD} heard'")
    # Nobody looks at the bed. It is as new as the others, for who searches or listens.
    observe(online, p1=93)
    wait(browser, f"return ({FAR_NUMBERS}).includes('93')", 30)
    observe(online, p1=88)
    wait(browser, f"return ({FAR_NUMBERS}).includes('88')", 30)
    online.gateway.alarm("SpO2 LOW")
    online.talk(online.settled)
    wait(browser, "return document.querySelector('#live').textContent.includes('SpO2 LOW')")
    assert FAR in browser.execute_script("return document.querySelector('#live').textContent")
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    # Silence looks like silence there, too.
    wait(browser, f"return {FAR_CARD}.querySelectorAll('.value.old').length", 40)
    assert "link down" in browser.execute_script(f"return {FAR_CARD}.textContent")
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.browser
def test_a_bed_off_screen_gets_its_trend_when_somebody_looks(browser, far_bed):
    hub, online = far_bed
    for number in range(12):
        observe(online, p1=85 + number)
    open_page(browser, hub, 1280)
    wait(browser, f"return {FAR_CARD} && ({FAR_NUMBERS}).includes('96')", 30)
    assert browser.execute_script(FAR_POINTS) == 0
    look = f"{FAR_CARD}.scrollIntoView({{block: 'center'}})"
    browser.execute_script(look)
    wait(browser, f"return (() => {{{FAR_POINTS}}})() === 12")
    observe(online, p1=70)  # and what comes then is added to it
    wait(browser, f"return (() => {{{FAR_POINTS}}})() === 13")
    browser.execute_script("scrollTo(0, 0)")
    wait(browser, f"return (() => {{{FAR_POINTS}}})() === 0")
    observe(online, p1=71)
    wait(browser, f"return ({FAR_NUMBERS}).includes('71')", 30)
    browser.execute_script(look)
    wait(browser, f"return (() => {{{FAR_POINTS}}})() === 14")


@pytest.mark.browser
def test_counters_of_every_bed_are_shown_to_whoever_opens_them(browser, hub, online):
    open_page(browser, hub, 1280)
    rows = "[...document.querySelectorAll('#counters div')].map(r => r.textContent)"
    assert browser.execute_script(f"return {rows}") == []
    browser.execute_script("document.querySelector('details').open = true")
    wait(browser, f"return {rows}.some(r => r.startsWith('hub: runs'))")
    assert "Bed 1: line0 noise3" in browser.execute_script(f"return {rows}")
    observe(online, p1=93)
    runs = hub.get("/api/health")["counters"]["runs"]
    wait(browser, f"return {rows}.includes('hub: runs{runs}')")
