"""umqtt.simple tells a broken link from a broken gateway, and no line waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.core.journal import records
from tests.firmware.test_secure_site import BROKERS, NAME, secure_bedside
from tests.support.console import KNOWN, VAULT, alone, bench, install_umqtt
from tests.support.processes import free_port
from tests.support.secure_site import make_authority, now
from vitalkeep.diagnose import meanings
from vitalkeep.diagnose import probe as module
from vitalkeep.diagnose.probe import judge, probe
from vitalkeep.diagnose.usb import Usb
from vitalkeep.hub.address import Address
from vitalkeep.remote import desk as remote
from vitalkeep.remote.desk import Desk

LONG = os.environ.get("VITALKEEP_BEDSIDE") == "long"


@contextlib.asynccontextmanager
async def peer(answer: bytes | None) -> AsyncIterator[int]:
    """Yield the port of what is no broker: answers each connection so, or never (None)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if answer is not None:
            writer.write(answer)
            await writer.drain()
        with contextlib.suppress(OSError):
            while await reader.read(4096):
                pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def test_what_works_is_said_to_work_and_a_silent_hub_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with bench(tmp_path) as (bed, site):
            install_umqtt(bed)
            with Usb(bed.board.console_port, VAULT) as usb:
                verdict = await probe(usb, "primary")
                assert verdict.state == "ok", verdict
                assert verdict.sentence.startswith("Link, broker and gateway work")
                assert set(verdict.found["ms"]) == {"name", "connect", "login", "session"}
                await site.until(lambda: site.events(records.PROBED) == ["primary: it works"])
                assert site.probes == 1
                site.receipting = False
                monkeypatch.setattr(module, "_BACK_TRIES", 2)
                verdict = await probe(usb, "primary")
            assert verdict.state == "bad"
            assert "the hub behind the broker" in verdict.sentence
            assert bed.board.overruns == 0

    asyncio.run(story())


def test_over_mqtt_by_way_of_the_very_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "REPLY_S", 3.0)

    async def story() -> None:
        async with bench(tmp_path) as (bed, site):
            install_umqtt(bed)
            async with Desk.at(KNOWN, Address("127.0.0.1", site.port)) as desk:
                verdict = await probe(desk, "primary")
            assert verdict.state == "ok", verdict
            bed.say(97)
            await site.until(lambda: site.values() == [97])

    asyncio.run(story())


@pytest.mark.parametrize(
    ("answer", "fault", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol", "what answers is no MQTT broker"),
        (b"\x20\x02\x00\x05", "refused", "The broker is broken, not the gateway"),
        (b"", "silent_in_login", "does not answer MQTT"),
    ][0 if LONG else 1 :],
)
def test_peer_that_is_no_broker_for_us(
    tmp_path: Path, answer: bytes, fault: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with peer(answer or None) as port, alone(tmp_path, port, peer_silent_ms=2000) as bed:
            install_umqtt(bed)
            with Usb(bed.board.console_port, VAULT) as usb:
                asking = asyncio.create_task(probe(usb, "primary"))
                for value in range(60, 90):
                    bed.say(value)
                    await asyncio.sleep(0.1)
                verdict = await asking
                assert verdict.found["fault"] == fault, verdict
                assert words in verdict.sentence
            assert bed.board.overruns == 0

    monkeypatch.setattr(module, "_EVERY_S", 0.1)
    asyncio.run(story())


def test_no_broker_and_no_umqtt(tmp_path: Path) -> None:
    async def story() -> None:
        async with alone(tmp_path, free_port()) as bed:
            with Usb(bed.board.console_port, VAULT) as usb:
                report = await usb.ask("report")
                assert report["umqtt"] is False
                verdict = await probe(usb, "primary")
                assert "Nothing can be told" in verdict.sentence
                install_umqtt(bed)
                verdict = await probe(usb, "primary")
                assert verdict.found["fault"] == "unreachable"
                assert verdict.found["failed_in"] == "connect"
                assert verdict.sentence.startswith("The link is broken, not the gateway")

    asyncio.run(story())


def test_every_fault_has_a_verdict() -> None:
    for fault in (*meanings.FAULTS, *meanings.PROBE_FAULTS):
        for stage in ("name", "connect", "handshake", "login", "session", "begun"):
            for receipts in (False, True):
                found = {"site": "primary", "fault": fault, "failed_in": stage, "ms": {}}
                verdict = judge(found, receipts)
                assert verdict.state in ("warn", "bad")
                assert verdict.sentence.endswith(".")
                assert verdict.action


@pytest.mark.parametrize("broker", BROKERS if LONG else BROKERS[:1])
def test_over_tls_by_a_broker_that_goes_by_the_certificate(
    broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_EVERY_S", 0.3)

    async def story() -> None:
        async with secure_bedside(tmp_path, broker) as s:
            install_umqtt(s.bed)
            await s.deliver(97)
            with Usb(s.bed.board.console_port, VAULT) as usb:
                verdict = await probe(usb, "primary")
                assert verdict.state == "ok", verdict
                assert "handshake" in verdict.found["ms"]
                await s.deliver(96)
                # Another ward's certificate: what we show is refused.
                stranger, signer = make_authority(tmp_path / "stranger", "Other ward")
                made = stranger.issue(signer, "gateway", NAME, now(), (), 90)
                made.write(tmp_path / "other")
                ca = (tmp_path / "first" / "ca.der").read_bytes()
                (tmp_path / "other" / "ca.der").write_bytes(ca)
                s.put(tmp_path / "other", "now")
                await s.bed.board.restart()
                await s.bed.board.wait_for("listening")
                verdict = await probe(usb, "primary")
                assert verdict.state == "bad"
                # TLS 1.3 would say it only when the broker is spoken to.
                faults = ("refused_in_handshake", "broken_in_handshake", "broken_in_login")
                assert verdict.found["fault"] in faults
                assert "is broken, not the" in verdict.sentence

    asyncio.run(story())
