"""The gateway's time: from sites, from SNTP, from the log, from nowhere; and TLS that needs it.

The firmware runs on a virtual board and asks real UDP servers.
"""

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from iotcore import Broker

from bridge.core import timewire
from bridge.core.journal import layout, records
from tests.support.dated import DatedSite
from tests.support.processes import free_port
from tests.support.site_client import GATEWAY, Bed, SiteClient
from tests.support.time_servers import NtpServer, SiteClock, now_ms

HOUR_MS = 3_600_000


@dataclass
class Story:
    bed: Bed
    site: SiteClient
    clock: SiteClock
    servers: list[NtpServer]

    async def counted(self, *names: str) -> None:
        for name in names:
            await self.site.until(lambda name=name: self.site.counters().get(name, 0) >= 1)

    async def has_clock(self, state: int) -> None:
        site = self.site
        await site.until(lambda: site.statuses and site.statuses[-1]["clock"] == state)

    def is_right(self, off_ms: int = 0) -> bool:
        """Say whether the board's clock is that of this machine plus `off_ms`, by its own bound.

        A heartbeat may be seconds old when it comes, and is never younger than it is.
        """
        status = self.site.statuses[-1]
        behind_ms = self.site.heard_ms + off_ms - status["utc"]
        return -status["clock_error"] - 2 <= behind_ms < 20_000


@contextlib.asynccontextmanager
async def bedside(
    root: Path, ntp_off_ms: tuple[int, ...] = (), time_port: bool = True
) -> AsyncIterator[Story]:
    """A bed whose only time is what UDP brings: receipts tell none."""
    broker = Broker(port=free_port())
    broker.start()
    clock = SiteClock(root / "vault")
    servers = [NtpServer(off_ms) for off_ms in ntp_off_ms]
    ntp = [f"127.0.0.1:{await server.start()}" for server in servers]
    port = await clock.start()
    more = {"tls": False, "time_port": port if time_port else 0}
    bed = Bed(root / "board", broker.port, site=more, ntp=ntp, heartbeat_ms=500)
    site = SiteClient(broker.port)
    site.tells_time = False
    try:
        await site.start()
        yield Story(bed, site, clock, servers)
    finally:
        await site.close()
        await bed.board.close()
        for server in (clock, *servers):
            server.close()
        broker.stop()


def test_a_site_s_answer_sets_the_clock_within_its_bound_and_the_log_says_so(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as s:
            # Not the time of this machine: that cannot have come from anywhere else.
            s.clock.off_ms = 10 * HOUR_MS
            await s.bed.board.start()
            await s.has_clock(layout.CLOCK_SITE)
            assert s.is_right(10 * HOUR_MS)
            await s.site.until(lambda: s.site.events(records.TIME))
            assert s.site.events(records.TIME)[0].startswith("set by site primary, to ")
            for cls in range(3):
                found = [r for r in s.site.records(cls) if r.kind == records.CLOCK]
                assert [r.clock for r in found] == [layout.CLOCK_SITE]
                assert abs(found[0].utc_ms - now_ms() - 10 * HOUR_MS) < 60_000
                assert 0 < found[0].error_ms <= 501  # an answer takes at most a second

    asyncio.run(story())


def test_forged_stale_and_malformed_answers_are_counted_and_change_nothing(
    tmp_path: Path,
) -> None:
    def lies(question: bytes, answer: bytes) -> list[bytes]:
        far = timewire.TimeAnswer(answer[3:11], question[11:19], now_ms() + HOUR_MS, 2)
        forged = timewire.pack_answer(b"x" * 32, GATEWAY, far)
        far.nonce = bytes(8)
        stale = timewire.pack_answer(site_key, GATEWAY, far)
        flipped = answer[:30] + bytes([answer[30] ^ 1]) + answer[31:]
        return [b"", answer[:-1], forged, flipped, stale]

    site_key = b""

    async def story() -> None:
        nonlocal site_key
        async with bedside(tmp_path) as s:
            site_key = s.site.key
            s.clock.before = lies
            s.clock.answering = False
            await s.bed.board.start()
            await s.counted("time_forged", "time_stale", "time_malformed", "time_unanswered")
            assert s.site.statuses[-1]["clock"] == layout.CLOCK_UNKNOWN
            s.clock.answering = True
            await s.has_clock(layout.CLOCK_SITE)
            assert s.is_right()

    asyncio.run(story())


def test_an_answer_that_comes_too_late_is_none(tmp_path: Path) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as s:
            s.clock.late_s = 3.0
            await s.bed.board.start()
            await s.counted("time_unanswered")
            await s.site.until(lambda: s.clock.asked >= 3)
            assert s.site.statuses[-1]["clock"] == layout.CLOCK_UNKNOWN
            s.clock.late_s = 0.0
            await s.has_clock(layout.CLOCK_SITE)
            assert s.is_right()

    asyncio.run(story())


def test_of_three_sntp_servers_the_one_that_lies_is_refused_and_a_refusal_is_counted(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with bedside(tmp_path, (0, HOUR_MS, 3, 0), time_port=False) as s:
            s.servers[3].kiss = b"DENY"
            await s.bed.board.start()
            await s.has_clock(layout.CLOCK_SNTP)
            assert s.is_right()
            await s.counted("sntp_outlier", "sntp_kiss")
            await s.site.until(lambda: len(s.site.events(records.TIME)) >= 2)
            said = s.site.events(records.TIME)
            assert "refused: 1 of 3 SNTP servers are wrong" in said
            assert any(text.startswith("set by SNTP, to ") for text in said)

    asyncio.run(story())


def test_sntp_servers_that_all_lie_do_not_move_what_a_site_said(tmp_path: Path) -> None:
    async def story() -> None:
        lie_ms = 5 * HOUR_MS
        async with bedside(tmp_path, (lie_ms, lie_ms, lie_ms)) as s:
            s.clock.silent = True
            await s.bed.board.start()
            # Without a site they are all there is.
            await s.has_clock(layout.CLOCK_SNTP)
            assert s.is_right(lie_ms)
            s.clock.silent = False
            await s.bed.board.restart()
            await s.has_clock(layout.CLOCK_SITE)
            await s.counted("sntp_refused")
            assert s.is_right()
            await s.site.until(
                lambda: any("refused: SNTP is off by" in t for t in s.site.events(records.TIME))
            )

    asyncio.run(story())


def test_without_any_source_the_time_is_unknown_and_values_flow(tmp_path: Path) -> None:
    async def story() -> None:
        async with bedside(tmp_path) as s:
            s.clock.silent = True
            await s.bed.board.start()
            await s.bed.board.wait_for("listening")
            s.bed.say(97)
            await s.site.until(lambda: s.site.values() == [97])
            await s.site.until(lambda: s.clock.asked >= 2)
            status = s.site.statuses[-1]
            assert (status["clock"], status["utc"], status["clock_error"]) == (0, 0, None)

    asyncio.run(story())


@pytest.mark.parametrize("name", ["VIRTUAL_ESP32S3", "VIRTUAL_RP2040"])
def test_tls_waits_for_a_date_gets_it_and_has_it_after_a_reboot(name: str, tmp_path: Path) -> None:
    """ESP32 starts in 2000, RP2 in 2021: no certificate is valid then."""
    now = dt.datetime.now(dt.timezone.utc)
    fault = "session_certificate_not_yet_valid"

    async def story() -> None:
        ward = DatedSite(
            tmp_path / "site", now - dt.timedelta(minutes=30), now + dt.timedelta(days=30)
        )
        broker = Broker(port=free_port())
        broker.start()
        clock = SiteClock(tmp_path / "vault")
        clock.silent = True
        site = SiteClient(broker.port)
        site.tells_time = False
        async with ward.in_front_of(broker.port) as port:
            more = {"time_port": await clock.start()}
            bed = Bed(tmp_path / "board", port, site=more, kind=name, heartbeat_ms=500)
            ward.copy_to_board(bed.board.files)
            try:
                await site.start()
                await bed.board.start()
                await site.until(lambda: clock.asked >= 3)
                assert not site.statuses
                clock.silent = False
                await site.until(lambda: site.statuses, 60)
                assert site.counters()[fault] >= 1
                assert site.statuses[-1]["clock"] == layout.CLOCK_SITE
                bed.say(95)
                await site.until(lambda: site.values() == [95])
                # Nobody tells the time any more: the log's last one lets TLS pass.
                clock.silent = True
                await bed.board.power_off()
                boots = len({status["boot"] for status in site.statuses})
                await bed.board.start()
                await site.until(lambda: len({s["boot"] for s in site.statuses}) > boots)
                status = site.statuses[-1]
                assert fault not in status["counters"]
                assert (status["clock"], status["utc"]) == (layout.CLOCK_UNKNOWN, 0)
            finally:
                await site.close()
                await bed.board.close()
                clock.close()
        broker.stop()

    asyncio.run(story())
