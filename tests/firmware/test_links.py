"""Links on the virtual board, under the whole firmware: chosen, left, broken, and back.

Each link has a path of its own to the one broker, which the tests delay, cut and lose packets on.
The stories wait most of the time, so all are played at once, and each test tells how one ended.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path as Folder
from typing import Any

import pytest
from iotcore import Broker

from bridge.core.journal import records
from hil.board import BOARDS, NAME_SERVER
from hil.link import LinkProxy
from hil.modem import Modem
from hil.paths import Path, lay
from tests.support.processes import free_port
from tests.support.site_client import Bed, SiteClient

HOST = "10.0.0.5"
PORT = 1883
SITE = f"{HOST}:{PORT}"
WIFI = {"ssid": "ward", "key": "correct horse"}
CELLULAR = {"apn": "hospital"}
SLOW_MS = 150  # a loaded computer is slower than a ward's network
STEADY_MS = 1500
HOLD_MS = 4000

Story = Callable[[Folder], Awaitable[None]]
STORIES: dict[str, Story] = {}


def story(play: Story) -> Story:
    STORIES[play.__name__] = play
    return play


@pytest.fixture(scope="module")
def endings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BaseException | None]:
    """Play every story and return how each ended."""

    async def play_all() -> list[BaseException | None]:
        plays = [play(tmp_path_factory.mktemp("board")) for play in STORIES.values()]
        return await asyncio.gather(*plays, return_exceptions=True)

    return dict(zip(STORIES, asyncio.run(play_all()), strict=True))


@dataclass
class Ward:
    bed: Bed
    site: SiteClient
    paths: dict[str, Path]

    async def carries(self, link: str) -> bool:
        """Say whether a link has a session, which speaks, where a probe does not."""
        proxy = self.paths[link].proxies[f"tcp {SITE}"]
        assert isinstance(proxy, LinkProxy)
        before = proxy.carried_up
        beats = len(self.site.statuses) + 2
        await self.site.until(lambda: len(self.site.statuses) >= beats)
        return proxy.carried_up > before

    async def until_left(self, link: str) -> None:
        for _ in range(10):
            if not await self.carries(link):
                return
        raise AssertionError(f"the session stays on {link}")

    def pull(self, link: str) -> None:
        self.paths[link].cut()
        self.bed.board.plug(link, "down")

    def put_back(self, link: str) -> None:
        self.paths[link].restore()
        self.bed.board.plug(link, "up")

    def links(self) -> dict[str, list[Any]]:
        """Return the last heartbeat's word on each link: grade, median, lost, fault."""
        return {name: rest for name, *rest in self.site.statuses[-1]["links"]}

    async def until_clean(self, link: str, timeout_s: float = 40) -> None:
        """Wait until none of a link's last probes was lost.

        A busy computer loses some as well. With one of these in the window, the first two of a
        silence make three: the link is left as lossy, rightly, before three in a row make it deaf.
        """

        def is_clean() -> bool:
            grade, _, lost, _ = self.links()[link]
            return grade == "good" and not lost

        await self.site.until(is_clean, timeout_s)

    async def until_on(self, link: str, timeout_s: float = 20) -> None:
        def is_on() -> bool:
            chosen = self.site.events(records.LINK_CHOSEN)
            return bool(chosen) and chosen[-1].split(":")[0] == link

        await self.site.until(is_on, timeout_s)

    async def until_faulty(self, text: str, timeout_s: float = 30) -> None:
        await self.site.until(lambda: text in self.site.events(records.LINK_FAULT), timeout_s)

    async def until_up(self, link: str, times: int = 1, timeout_s: float = 30) -> None:
        await self.site.until(
            lambda: self.site.events(records.LINK_UP).count(link) >= times, timeout_s
        )

    async def says(self, spo2: int, timeout_s: float = 20) -> None:
        self.bed.say(spo2)
        await self.site.until(lambda: spo2 in self.site.values(), timeout_s)


@dataclass
class LoginPage:
    """A captive portal: whoever says anything is sent to its login."""

    port: int = 0
    asked: list[bytes] = field(default_factory=list)


@contextlib.asynccontextmanager
async def login_page() -> AsyncIterator[LoginPage]:
    page = LoginPage()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            data = await reader.read(1000)
            if data:
                page.asked.append(data)
                place = b"Location: http://login.portal/\r\n"
                writer.write(b"HTTP/1.0 302 Found\r\n" + place + b"\r\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        page.port = server.sockets[0].getsockname()[1]
        yield page
    finally:
        server.close()


class NameServer(asyncio.DatagramProtocol):
    """Gives every name one address, while it answers."""

    def __init__(self, address: str) -> None:
        self.address = bytes(map(int, address.split(".")))
        self.answers = True
        self.asked: list[bytes] = []
        self.port = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        labels = data[12:-5].replace(data[12:13], b"", 1)
        self.asked.append(labels.replace(b"\x04", b"."))
        if self.answers:
            head = data[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00"
            record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04" + self.address
            self._transport.sendto(head + data[12:] + record, addr)


@contextlib.asynccontextmanager
async def name_server(address: str) -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: NameServer(address), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()


@contextlib.asynccontextmanager
async def ward(root: Folder, *links: str, wiring: str = "", **options: Any) -> AsyncIterator[Ward]:
    """Yield a gateway at work whose links all lead to a broker."""
    broker = Broker(port=free_port())
    broker.start()
    settings = {"wifi": WIFI, "cellular": CELLULAR}
    config: dict[str, Any] = {
        "links": {link: settings[link] for link in links if link in settings},
        "host": HOST,
        "modem": "cellular" in links,
        "receipt_wait_ms": 5000,
        "heartbeat_ms": 500,
        "probe_ms": 200,
        "link_slow_ms": SLOW_MS,
        "link_steady_ms": STEADY_MS,
        "link_hold_ms": HOLD_MS,
        **options,
    }
    bed = Bed(root, PORT, **config)
    if wiring:
        bed.board.wiring = root / "wiring"
        bed.board.wiring.mkdir()
        (bed.board.wiring / "wiring.py").write_text(wiring)
    paths = {link: Path(link) for link in links}
    site = SiteClient(broker.port)
    try:
        for path in paths.values():
            await path.add_tcp(SITE, broker.port)
        lay(bed.board, *paths.values())
        await site.start()
        yield Ward(bed, site, paths)
    finally:
        await site.close()
        await bed.board.close()
        for path in paths.values():
            await path.close()
        broker.stop()


async def begin(w: Ward) -> None:
    await w.bed.board.start()
    await w.bed.board.wait_for("listening")
    await w.site.until(lambda: w.site.statuses)


@story
async def sessions_follow_the_better_link_and_nothing_is_lost(root: Folder) -> None:
    async with ward(root, "lan", "wifi") as w:
        await begin(w)
        # The ports' own default route is the Wi-Fi.
        await w.until_up("wifi")
        await w.says(97)
        assert await w.carries("lan")
        await w.site.until(lambda: w.links()["wifi"][0] == w.links()["lan"][0] == "good")
        assert not await w.carries("wifi")

        w.pull("lan")
        await w.until_on("wifi")
        await w.says(96)
        assert w.site.events(records.LINK_DOWN) == ["lan: cable_out"]
        w.put_back("lan")
        await w.until_on("lan")
        await w.says(95)
        await w.until_left("wifi")

        await w.until_clean("lan")
        w.paths["lan"].cut()  # nobody tells the board
        await w.until_on("wifi", 10)
        await w.says(94)
        w.paths["lan"].restore()
        await w.until_on("lan")
        await w.says(93)
        downs = w.site.events(records.SITE_DOWN)

        # Slow is not down: the session moves, and the site never goes.
        await w.until_clean("lan")
        w.paths["lan"].delay_s = 0.12
        await w.until_on("wifi")
        await w.says(92)
        await w.site.until(lambda: w.links()["lan"][0] == "slow")
        await w.until_left("lan")
        w.paths["lan"].delay_s = 0
        await w.until_on("lan")
        await w.says(91)
        assert w.site.events(records.SITE_DOWN) == downs
        assert w.site.values() == [97, 96, 95, 94, 93, 92, 91]
        assert w.site.events(records.LINK_CHOSEN) == [
            "lan", "wifi: lan is down", "lan: steady", "wifi: lan is deaf", "lan: steady",
            "wifi: lan is slow", "lan: steady",
        ]  # fmt: skip


@story
async def a_link_that_loses_packets_or_flaps_is_left_and_not_followed(root: Folder) -> None:
    async with ward(root, "lan", "wifi") as w:
        await begin(w)
        await w.site.until(lambda: w.links()["wifi"][0] == "good")
        await w.site.until(lambda: w.links()["lan"][0] == "good")
        w.paths["lan"].loss = 0.4
        await w.until_on("wifi")
        w.paths["lan"].loss = 0
        await w.until_on("lan")
        changes = len(w.site.events(records.LINK_CHOSEN))
        for _ in range(8):
            w.pull("lan")
            await asyncio.sleep(0.5)
            w.put_back("lan")
            await asyncio.sleep(0.7)
        await w.says(90)
        assert len(w.site.events(records.LINK_CHOSEN)) == changes + 1
        await w.until_on("lan")


@story
async def faults_of_wifi_and_modem_are_named_and_go_away_by_themselves(root: Folder) -> None:
    async def wifi(w: Ward) -> None:
        board = w.bed.board
        for state, fault in (
            ("refused", "wrong_password"),
            ("down", "no_access_point"),
            ("w-security", "wrong_security"),
            ("no-address", "no_address"),
        ):
            board.plug("wifi", state)
            await w.until_faulty(f"wifi: {fault}")
        ups = w.site.events(records.LINK_UP).count("wifi")
        board.plug("wifi", "up")
        await w.until_up("wifi", ups + 1)

    async def cellular(w: Ward, modem: Modem) -> None:
        await w.until_faulty("cellular: no_sim")
        modem.sim = "SIM PIN"
        await w.until_faulty("cellular: sim_locked")
        modem.sim, modem.registered = "READY", 2
        await w.until_faulty("cellular: no_network")
        modem.registered, modem.apn = 1, "another"
        await w.until_faulty("cellular: no_carrier")
        modem.apn = "hospital"
        await w.until_up("cellular")
        assert not any("+CPIN=" in command for command in modem.commands)

    async with ward(root, "lan", "wifi", "cellular") as w:
        modem = Modem(w.bed.board, 0, w.paths["cellular"], sim="")
        w.bed.board.plug("wifi", "refused")
        modem.start()
        try:
            await begin(w)
            await asyncio.gather(wifi(w), cellular(w, modem))
            await w.says(97)
            assert await w.carries("lan")
            counters = w.site.counters()
            assert counters["link_wifi_wrong_password"] == 1
            assert counters["link_cellular_no_sim"] == 1
            assert not any(name.startswith(("restart", "late")) for name in counters)
            # After a reboot of the board the modem is still in its session.
            ups = w.site.events(records.LINK_UP).count("cellular")
            await w.bed.board.restart()
            await w.until_up("cellular", ups + 1)
            assert modem.resets == 0
        finally:
            await modem.close()


@story
async def a_modem_that_was_reset_is_dialled_again_without_a_reboot(root: Folder) -> None:
    async with ward(root, "lan", "cellular") as w:
        modem = Modem(w.bed.board, 0, w.paths["cellular"])
        modem.start()
        try:
            await begin(w)
            await w.until_up("cellular")
            w.pull("lan")
            await w.until_on("cellular")
            await w.says(97)
            modem.reset()  # PPP stays "connected", and nothing comes through
            await w.says(96, 40)
            assert modem.commands.count("ATD*99#") == 2
            # Nothing to hear at all: the board pulls the modem's reset pin.
            modem.powered = False
            w.put_back("lan")
            await w.until_on("lan")
            await w.until_faulty("cellular: modem_silent", 40)
            assert w.bed.board.powered
            modem.powered = True
            ups = w.site.events(records.LINK_UP).count("cellular")
            await w.until_up("cellular", ups + 1)
            assert not w.bed.board.resets
        finally:
            await modem.close()


@story
async def a_name_is_looked_up_over_the_link_and_its_address_outlives_the_server(
    root: Folder,
) -> None:
    # An ESP32 with its cable on a W5500
    board = BOARDS / "VIRTUAL_ESP32S3" / "wiring.py"
    pins = '"spi": 2, "sck": 12, "mosi": 11, "miso": 13, "cs": 10, "int": 14'
    wiring = board.read_text().replace('{"kind": "lan",', '{"kind": "w5500", %s,' % pins)
    assert "w5500" in wiring
    options = {"host": "broker.ward", "wiring": wiring}
    async with ward(root, "w5500", "wifi", **options) as w, name_server(HOST) as server:
        for path in w.paths.values():
            await path.add_udp(f"{NAME_SERVER}:53", server.port)
        lay(w.bed.board, *w.paths.values())
        await begin(w)
        await w.says(97)
        assert set(server.asked) == {b"broker.ward"}
        server.answers = False
        await w.bed.board.restart()
        await w.bed.board.wait_for("listening")
        await w.says(96, 30)
        await w.until_faulty("w5500: dns_gone")
        assert w.site.counters()["dns_silent"] >= 1
        server.answers = True
        await w.site.until(lambda: w.links()["w5500"][3] == "", 30)


@story
async def a_login_page_in_the_sites_place_is_named_and_left(root: Folder) -> None:
    async with ward(root, "lan", "wifi") as w, login_page() as page:
        wifi = w.paths["wifi"]
        for address in (SITE, f"{HOST}:80"):
            await wifi.add_tcp(address, page.port)
        lay(w.bed.board, *w.paths.values())
        w.pull("lan")
        await w.bed.board.start()
        await w.bed.board.wait_for("listening")
        await w.site.until(lambda: any(data[:5] == b"GET /" for data in page.asked))
        w.put_back("lan")
        await w.until_on("lan", 30)
        await w.until_faulty("wifi: captive_portal")
        assert w.links()["wifi"][0] == "deaf"
        # Somebody logs in.
        await wifi.add_tcp(SITE, w.site.port)
        wifi.ports.pop(f"tcp {HOST}:80")
        lay(w.bed.board, *w.paths.values())
        await w.site.until(lambda: w.links()["wifi"][0] == "good", 30)
        w.pull("lan")
        await w.until_on("wifi")
        await w.says(97)


@story
async def where_sockets_cannot_be_bound_links_have_their_turns(root: Folder) -> None:
    board = BOARDS / "VIRTUAL_RP2040" / "wiring.py"
    wiring = board.read_text().replace('"reset": 20},', '"reset": 20}, {"kind": "wifi"},')
    assert "wifi" in wiring
    options = {"kind": "VIRTUAL_RP2040", "wiring": wiring}
    async with ward(root, "w5500", "wifi", **options) as w:
        await begin(w)
        await w.says(97)
        assert await w.carries("w5500")
        assert w.links()["wifi"][3] == "resting"
        w.pull("w5500")
        await w.until_on("wifi", 30)
        await w.says(96)
        # The Wi-Fi is left in its turn when it fails, and the cable is there again.
        w.put_back("w5500")
        w.pull("wifi")
        await w.until_on("w5500", 30)
        await w.says(95)
        assert w.site.values() == [97, 96, 95]


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str, endings: dict[str, BaseException | None]) -> None:
    ending = endings[name]
    if ending is not None:
        raise ending
