"""A day of a flapping link in seconds: TLS to two sites, and no byte of a fast line is missed.

What a bad day does to a serial line is its handshakes: each stops a board's Python for up to a
second. A day has 300 flaps here; nothing but their number matters to a line, so they follow each
other as fast as the gateway takes them (a handshake with each site each 2 s). A few run in each
test run; a whole day takes a quarter of an hour and more:

    VITALKEEP_FLAPS=300 python -m pytest tests/firmware/test_flapping.py -s --timeout 3000
"""

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import dedent

import pytest

from hil.board import FIRMWARE, VirtualBoard
from hil.link import LinkProxy
from tests.support.certificates import SERVER_NAME, ThrowawayAuthority
from tests.support.gateway import GATEWAY, LOG_ID, SITE
from tests.support.mosquitto import mosquitto_broker
from tests.support.processes import free_port
from tests.support.site_client import ROOT, SECOND_SITE, SiteClient
from vitalkeep.keys.provision import key_region

FLAPS = int(os.environ.get("VITALKEEP_FLAPS", "4"))
BAUD = 115200
BLOCK = 2304  # bytes for one value: 0.2 s
CHUNK = 64

# The firmware as it is, with one more line in its table of protocols.
MAIN = f"""
    import sys

    sys.path.append({str(FIRMWARE)!r})
    from bridge.core import protocols

    protocols.PROTOCOLS["summing"] = ("summing", "Summing")
    __import__("bridge.app")
    with open({str(FIRMWARE / "main.py")!r}) as file:
        exec(file.read())
"""
DECODER = f"""
    from bridge.core.events import Observation
    from bridge.core.rxbuf import RxBuffer

    BLOCK = {BLOCK}


    class Summing:
        # Says a sum over all bytes so far, after each block: a lost byte changes all that follow.
        def __init__(self, options):
            self.rx = RxBuffer(1024)
            self._left = BLOCK
            self._sum = 0
            self._observation = Observation(1)

        def next_request(self, now_ms):
            pass

        def next_event(self):
            rx = self.rx
            count = min(rx.count, self._left)
            total = self._sum
            for index in range(count):
                total = (total * 31 + rx.data[index]) & 0x7FFF
            self._sum = total
            rx.drop(count)
            self._left -= count
            if self._left:
                return None
            self._left = BLOCK
            self._observation.begin(0, 0)
            self._observation.add(1, total, 0, 0)
            return self._observation
"""


class Stream:
    """A device that never pauses: pseudo-random bytes at the line's speed, and their sums."""

    def __init__(self, board: VirtualBoard) -> None:
        self.expected: list[int] = []
        self._board = board
        self._draw = random.Random(BAUD)
        self._sum = 0

    def _now(self) -> float:
        # A busy computer slows the board; its line slows with it.
        return asyncio.get_running_loop().time() - self._board.starved_s

    async def run(self, done: asyncio.Event) -> None:
        due = self._now()
        while not done.is_set():
            block = self._draw.randbytes(BLOCK)
            for start in range(0, BLOCK, CHUNK):
                due += CHUNK * 10 / BAUD
                while (early_s := due - self._now()) > 0:
                    await asyncio.sleep(early_s)
                assert os.write(self._board.lines[1].master, block[start : start + CHUNK]) == CHUNK
            for byte in block:
                self._sum = (self._sum * 31 + byte) & 0x7FFF
            self.expected.append(self._sum)


@contextlib.asynccontextmanager
async def secured_site(
    authority: ThrowawayAuthority, id: bytes
) -> AsyncIterator[tuple[LinkProxy, int, SiteClient]]:
    """Yield a link to a broker that wants certificates, its near port, and the site behind."""
    port = free_port()
    listener = f"listener {port} 127.0.0.1\n{authority.mosquitto()}"
    with mosquitto_broker(extra=listener) as address:
        link = LinkProxy("127.0.0.1", port)
        site = SiteClient(int(address.rsplit(":")[-1]), id)
        await site.start()
        try:
            yield link, await link.start(), site
        finally:
            await site.close()
            await link.close()


def config(ports: list[int]) -> dict[str, object]:
    return {
        "bed": "bed-1",
        "sites": [
            {
                "name": name,
                "id": id.hex(),
                "host": "127.0.0.1",
                "port": port,
                "server_name": SERVER_NAME,
            }
            for name, id, port in zip(
                ("primary", "standby"), (SITE, SECOND_SITE), ports, strict=True
            )
        ],
        "lines": [
            {
                "uart": 1,
                "protocol": "summing",
                "baud": BAUD,
                "devices": [{"name": "stream", "class": "A", "unit": 0}],
            }
        ],
    }


@pytest.mark.mosquitto
@pytest.mark.parametrize("name", ["VIRTUAL_ESP32S3", "VIRTUAL_RP2040"])
def test_no_byte_is_missed_while_the_link_flaps(name: str, tmp_path: Path) -> None:
    authority = ThrowawayAuthority(tmp_path / "ca")
    (tmp_path / "main.py").write_text(dedent(MAIN))
    (tmp_path / "summing.py").write_text(dedent(DECODER))
    draw = random.Random(FLAPS)

    async def story() -> None:
        async with (
            secured_site(authority, SITE) as (first_link, first_port, first),
            secured_site(authority, SECOND_SITE) as (second_link, second_port, second),
        ):
            sites, links = (first, second), (first_link, second_link)
            board = VirtualBoard(tmp_path / "board", board=name, uarts=(1,), firmware=tmp_path)
            authority.write_client(board.files / "tls" / "now")
            ids = [SITE, SECOND_SITE]
            board.write_partition("keys", key_region(ROOT, GATEWAY, LOG_ID, ids, 4))
            board.write_partition("journal", b"")
            board.write_config(config([first_port, second_port]))
            done = asyncio.Event()
            stream = Stream(board)
            try:
                await board.start()
                await board.wait_for("listening")
                feeding = asyncio.create_task(stream.run(done))
                for _ in range(FLAPS):
                    nonces = [
                        site.statuses[-1]["nonce"] if site.statuses else "" for site in sites
                    ]
                    for link in links:
                        link.restore()
                    board.plug_cable(True)
                    for site, nonce in zip(sites, nonces, strict=True):
                        await site.until(
                            lambda site=site, nonce=nonce: (
                                site.statuses and site.statuses[-1]["nonce"] != nonce
                            ),
                            30,
                        )
                    await asyncio.sleep(draw.uniform(0, 0.3))
                    for link in links:
                        link.cut()
                    board.plug_cable(False)
                    await asyncio.sleep(draw.uniform(0.2, 0.4))
                    for link in links:
                        link.reset()
                for link in links:
                    link.restore()
                board.plug_cable(True)
                done.set()
                await feeding
                for site in sites:
                    while (found := site.values()) != stream.expected:
                        assert found == stream.expected[: len(found)], board.overruns
                        await site.until(lambda site=site: len(site.values()) > len(found), 60)
                await first.until(lambda: first.statuses[-1]["backlog"]["A"] == 0)
                counters = first.counters()
                print(
                    f"{name}: {FLAPS} flaps, {BLOCK * len(stream.expected)} bytes, longest stall "
                    f"{counters['stall_ms_max']} ms, starved for {board.starved_s:.1f} s"
                )
                assert board.overruns == 0
                assert not any(count.endswith("overruns") for count in counters)
                assert not any(count.startswith("restart") for count in counters)
                assert board.resets == []
                # The handshakes were there, and cost what the chip is held to.
                assert counters["stall_ms_max"] >= 200
            finally:
                done.set()
                await board.close()

    asyncio.run(story())
