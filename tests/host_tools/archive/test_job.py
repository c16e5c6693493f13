"""A hub does its archive's work by itself, and says how it went."""

import socket
import time
from urllib.request import urlopen

import pytest

from tests.host_tools.archive.test_bucket import s3_bucket
from tests.support.archive import guarded
from tests.support.hub import FakeGateway
from tests.support.hub_process import HubProcess, Online
from vitalkeep.archive.backup import due
from vitalkeep.archive.settings import ArchiveSettings
from vitalkeep.errors import ToolError
from vitalkeep.hub.config.load import parse
from vitalkeep.keys.vault import Vault


def wait_for(hub, check, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = hub.health().get("archive", {})
        if found and check(found):
            return found
        time.sleep(0.2)
    raise TimeoutError(str(hub.health()))


def s3_section(address, endpoint):
    text = f'[archive]\naddress = "{address}"\nendpoint = "{endpoint}"\n'
    return text + 'key = "env:HOME"\nsecret = "env:HOME"\n'


@pytest.fixture
def started(tmp_path):
    """Return a function that starts a hub with a section [archive]."""
    vault = Vault.create(tmp_path / "vault")
    gateway = FakeGateway(site=vault.site_id)
    entry = gateway.vault_entry()
    vault.add_gateway(entry.id, entry.bed, entry.root, entry.logs[0])

    def start(text):
        (tmp_path / "hub.toml").write_text(text)
        options = ("--config", str(tmp_path / "hub.toml"), "--vault", str(vault.folder))
        return HubProcess(tmp_path, *options), gateway

    return start


def test_hub_backs_up_by_itself_and_says_so(started, tmp_path):
    (tmp_path / "bucket").mkdir()
    process, gateway = started(f'[archive]\naddress = "file://{tmp_path}/bucket"\n')
    with process as hub:
        online = Online(gateway, hub.broker)
        gateway.observe()
        online.talk(online.settled, 30)
        online.client.close()
        found = wait_for(hub, lambda found: found["backups"]["C"]["count"])
    for name in "ABC":
        assert found["backups"][name]["success_percent"] == 100
        assert found["backups"][name]["last_full_ms"]
    assert list((tmp_path / "bucket" / "manifest").rglob("*-full-*.json"))


def test_archive_that_fails_is_said_and_stops_nothing_else(started, tmp_path):
    process, gateway = started(f'[archive]\naddress = "file://{tmp_path}/bucket"\n')
    with process as hub:
        online = Online(gateway, hub.broker)
        gateway.observe()
        online.talk(online.settled, 30)
        online.client.close()
        found = wait_for(hub, lambda found: found["backups"]["A"]["count"])
        assert hub.health()["receipting"]
        story = [line["text"] for line in hub.get("/api/ward")["story"]]
    assert found["backups"]["A"]["success_percent"] == 0
    assert found["backups"]["A"]["last_failure"]["why"].startswith("missing: ")
    assert any("backup of class" in text and "failed" in text for text in story)


@pytest.mark.s3
def test_lock_that_is_refused_is_said_and_nothing_else_waits_for_it(started, s3_server):
    with guarded(s3_server) as guard:
        s3_bucket(guard.address, "job-unlocked", lock=True)
        process, gateway = started(s3_section("s3://job-unlocked", guard.address))
        with process as hub:
            online = Online(gateway, hub.broker)
            gateway.observe()
            online.talk(online.settled, 30)
            online.client.close()
            said = "Archive: objects are written without their retention lock: No."
            found = wait_for(
                hub, lambda _: said in [line["text"] for line in hub.get("/api/ward")["story"]]
            )
            with urlopen(hub.where["http"] + "/metrics") as answer:
                metrics = answer.read().decode()
    assert (found["lock"], found["lock_refusal"]) == ("unlocked", "No.")
    assert {found["backups"][name]["success_percent"] for name in "ABC"} == {100}
    assert f"vitalkeep_hub_archive_unlocked_total {found['unlocked']:.1f}" in metrics


_MINUTE = 60_000
_DAY = 24 * 60 * _MINUTE


def row(kind, minutes_ago, ok=True):
    return {"kind": kind, "began_ms": _DAY * 9 - minutes_ago * _MINUTE, "ok": ok}


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([], "full"),
        ([row("full", 5)], None),
        ([row("full", 16)], "incremental"),
        ([row("incremental", 5), row("full", 60)], None),
        ([row("incremental", 15), row("full", 1441)], "full"),
        # One that failed is tried again when the next one is due, not at once.
        ([row("full", 5, ok=False)], None),
        ([row("full", 15, ok=False), row("full", 1500)], "full"),
    ],
)
def test_what_is_due(rows, wanted):
    assert due(rows, 15 * _MINUTE, _DAY, _DAY * 9) == wanted


def test_settings_are_checked_and_differ_by_class():
    found = parse('[archive]\naddress = "s3://b"\n[archive.b]\nhot_days = 2\n')[ArchiveSettings]
    minutes = [found.schedule(cls).incremental_min for cls in range(3)]
    assert minutes == [15, 60, 240]
    assert [found.schedule(cls).hot_days for cls in range(3)] == [7, 2, 3]
    for wrong, why in (
        ("[archive]\nkey = 'env:X'", "belong together"),
        ("[archive]\nkey = 'AKIA123'\nsecret = 'env:X'", "no secret here"),
        ("[archive.a]\nhot_days = 9\nwarm_days = 3", "no less than hot_days"),
        ("[archive.a]\nincremental_min = 0", "1 min or more"),
    ):
        with pytest.raises(ToolError, match=why) as raised:
            parse(wrong)
        assert "AKIA123" not in raised.value.message


@pytest.mark.s3
def test_hub_stops_at_once_in_the_midst_of_a_backup(started, tmp_path):
    """A storage that never answers holds nobody up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        process, gateway = started(s3_section("s3://ward", f"http://127.0.0.1:{port}"))
        with process as hub:
            online = Online(gateway, hub.broker)
            gateway.observe()
            online.talk(online.settled, 30)
            online.client.close()
            assert silent.accept()
            assert hub.stop() == 0  # within the ten seconds that it gives
