"""The whole firmware over mutual TLS: real brokers with the configuration that we generate."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.core.journal import records
from tests.support.secure_site import HOST, SecureSite
from tests.support.site_client import GATEWAY, Bed, SiteClient

NAME = GATEWAY.hex()
BROKERS = [
    pytest.param("mosquitto", marks=pytest.mark.mosquitto),
    pytest.param("nats", marks=pytest.mark.nats),
]


@dataclass
class Story:
    site: SecureSite
    bed: Bed
    client: SiteClient
    root: Path

    @property
    def tls(self) -> Path:
        return self.bed.board.files / "tls"

    async def deliver(self, spo2: int, timeout_s: float = 30) -> None:
        """Put a value on the wire and wait until it is at the site."""
        self.bed.say(spo2)
        await self.client.until(lambda: spo2 in self.client.values(), timeout_s)

    async def until_told(self, text: str) -> None:
        """Wait for an event of the gateway about its certificates."""
        told = self.client.events
        await self.client.until(
            lambda: any(text in said for said in told(records.CERTIFICATE)), 30
        )

    def put(self, folder: Path, name: str = "new") -> None:
        """Put a certificate on the board as provisioning does."""
        self.site.copy_to_board(folder, self.bed.board.files, name)


@contextlib.asynccontextmanager
async def secure_bedside(
    root: Path, broker: str, before: Callable[[Story], None] = lambda story: None
) -> AsyncIterator[Story]:
    """Yield a running broker, site and board; `before` may spoil what the board starts with."""
    site = SecureSite(root / "site", broker)
    site.gateway(NAME, root / "first")
    with site.running():
        bed = Bed(
            root / "bed",
            site.port,
            site={"server_name": HOST},
            receipt_wait_ms=1000,
            heartbeat_ms=500,
            peer_silent_ms=3000,
            console=True,
        )
        # Its clock is right: certificates are what is asked about here.
        bed.board.power_on_s = round(time.time())
        client = SiteClient(site.port, context=site.context(site.hub))
        story = Story(site, bed, client, root)
        story.put(root / "first", "now")
        try:
            await client.start()
            before(story)
            await bed.board.start()
            await bed.board.wait_for("listening")
            yield story
        finally:
            await client.close()
            await bed.board.close()


@pytest.mark.parametrize("broker", BROKERS)
def test_values_arrive_and_are_receipted(broker: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with secure_bedside(tmp_path, broker) as s:
            await s.deliver(97)
            client = s.client
            await client.until(lambda: client.statuses[-1]["backlog"]["A"] == 0)
            await client.until(lambda: client.statuses[-1]["certificate_days"] == 89)
            assert "session_broken" not in client.counters()

    asyncio.run(story())


@pytest.mark.parametrize("broker", BROKERS)
def test_successor_takes_over_without_a_reboot_and_revocation_counts_at_once(
    broker: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with secure_bedside(tmp_path, broker) as s:
            await s.deliver(90)
            old = next(i for i in s.site.authority.issued() if i.name == NAME)
            s.site.gateway(NAME, tmp_path / "second", days=200)
            s.site.reload()
            s.put(tmp_path / "second")
            await s.until_told("the new certificate works")
            await s.deliver(91)
            key = "key.der"
            assert (s.tls / "now" / key).read_bytes() == (tmp_path / "second" / key).read_bytes()
            assert sorted(path.name for path in s.tls.iterdir()) == ["now"]
            await s.client.until(lambda: s.client.statuses[-1]["certificate_days"] == 199)
            s.site.revoke(old)
            s.site.reload()
            await s.deliver(92)
            await s.bed.board.restart()
            await s.bed.board.wait_for("listening")
            await s.deliver(93)
            assert len({status["boot"] for status in s.client.statuses}) == 2
            # Stolen: all of its certificates are revoked, and its session is worth nothing now.
            s.site.revoke(*(i for i in s.site.authority.issued() if i.name == NAME))
            s.site.reload()
            await asyncio.sleep(0.5)
            s.bed.say(60)
            await asyncio.sleep(2)
            assert s.client.values() == [90, 91, 92, 93]
            s.site.gateway(NAME, tmp_path / "third")
            s.site.reload()
            s.put(tmp_path / "third")
            await s.client.until(lambda: s.client.values() == [90, 91, 92, 93, 60], 40)

    asyncio.run(story())


def _self_made(s: Story) -> None:
    other = SecureSite(s.root / "other", "mosquitto")
    other.gateway(NAME, s.root / "self_made")
    shutil.copy(s.root / "first" / "ca.der", s.root / "self_made" / "ca.der")
    s.put(s.root / "self_made")


def _of_another_authority(s: Story) -> None:
    other = SecureSite(s.root / "other", "mosquitto")
    other.gateway(NAME, s.root / "foreign")
    s.put(s.root / "foreign")


def _revoked(s: Story) -> None:
    bundle = s.site.gateway(NAME, s.root / "revoked")
    s.site.revoke(bundle.issued)
    s.site.reload()
    s.put(s.root / "revoked")


def _of_another_gateway(s: Story) -> None:
    # The broker lets it in, and drops all that it publishes as us.
    s.site.gateway("ffffffffffffffff", s.root / "another")
    s.site.reload()
    s.put(s.root / "another")


def _ended(s: Story) -> None:
    s.site.issue("gateway", NAME, s.root / "ended", days=10, from_days=-20)
    s.put(s.root / "ended")


def _with_another_key(s: Story) -> None:
    s.site.gateway(NAME, s.root / "mixed")
    s.site.gateway(NAME, s.root / "mixed_2")
    shutil.copy(s.root / "mixed_2" / "key.der", s.root / "mixed" / "key.der")
    s.put(s.root / "mixed")


def _garbage(s: Story) -> None:
    s.put(s.root / "first")
    (s.tls / "new" / "gateway.der").write_bytes(b"0\x82\x00\x10garbage")


BAD = {
    _self_made: "failed: ",
    _of_another_authority: "failed: certificate_untrusted",
    _revoked: "failed: ",
    _of_another_gateway: "failed: refused",
    _ended: "failed: ",
    _with_another_key: "failed: ",
    _garbage: "does not load",
}


@pytest.mark.mosquitto
def test_bad_successor_is_named_and_locks_nobody_out(tmp_path: Path) -> None:
    async def story(spoil: Callable[[Story], None], said: str) -> None:
        folder = tmp_path / spoil.__name__
        async with secure_bedside(folder, "mosquitto", spoil) as s:
            await s.deliver(95)
            await s.until_told(said)
            assert (s.tls / "new").exists()
            now = (s.tls / "now" / "key.der").read_bytes()
            assert now == (folder / "first" / "key.der").read_bytes()
            assert ("certificate_failed" in s.client.counters()) == ("failed" in said)

    async def all_stories() -> None:
        await asyncio.gather(*(story(spoil, said) for spoil, said in BAD.items()))

    asyncio.run(all_stories())


@pytest.mark.mosquitto
def test_board_without_a_certificate_records_and_delivers_once_it_has_one(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with secure_bedside(tmp_path, "mosquitto", lambda s: shutil.rmtree(s.tls)) as s:
            s.bed.say(88)
            await asyncio.sleep(1)
            s.put(tmp_path / "first")
            await s.client.until(lambda: s.client.values() == [88], 30)
            await s.until_told("no certificate")
            assert s.client.counters()["session_certificate_missing"] >= 1
            assert (s.tls / "now").exists()

    asyncio.run(story())


def _site_ended(s: SecureSite) -> None:
    s.issue("site", "primary", s.folder / "tls", (HOST,), days=10, from_days=-20)


def _site_of_the_future(s: SecureSite) -> None:
    s.issue("site", "primary", s.folder / "tls", (HOST,), from_days=5)


def _site_elsewhere(s: SecureSite) -> None:
    s.issue("site", "primary", s.folder / "tls", ("broker.test",))


@pytest.mark.mosquitto
def test_each_fault_of_the_site_is_named_and_heals_when_put_right(tmp_path: Path) -> None:
    async def story(spoil: Callable[[SecureSite], None], fault: str) -> None:
        folder = tmp_path / fault
        good = folder / "good"

        def before(s: Story) -> None:
            shutil.copytree(s.site.folder / "tls", good)
            spoil(s.site)
            s.site.signal_reload()

        async with secure_bedside(folder, "mosquitto", before) as s:
            s.bed.say(96)
            await asyncio.sleep(2)
            assert s.client.statuses == []
            shutil.copytree(good, s.site.folder / "tls", dirs_exist_ok=True)
            s.site.signal_reload()
            await s.client.until(lambda: s.client.values() == [96], 30)
            await s.client.until(lambda: f"session_{fault}" in s.client.counters())

    faults = {
        _site_ended: "certificate_expired",
        _site_of_the_future: "certificate_not_yet_valid",
        _site_elsewhere: "certificate_of_another",
    }

    async def all_stories() -> None:
        await asyncio.gather(*(story(spoil, fault) for spoil, fault in faults.items()))

    asyncio.run(all_stories())
