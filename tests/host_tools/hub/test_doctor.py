"""`vitalkeep hub doctor`: what keeps a hub from running has a finding, and that a next action."""

import asyncio
import json
import socket
import sqlite3
import threading

import pytest

from tests.host_tools.archive.test_bucket import s3_bucket
from tests.host_tools.hub.test_app import run_hub
from tests.support.archive import guarded, s3_server  # noqa: F401
from tests.support.hub_process import HubProcess
from tests.support.secure_site import SecureSite
from tests.support.time_servers import NtpServer
from vitalkeep.hub import migrations
from vitalkeep.hub.broker import free_port
from vitalkeep.hub.store import Store


@pytest.fixture
def data(tmp_path, vault):
    """Return a data folder with a vault of one gateway and a database that is up to date."""
    vault._write()
    tmp_path.chmod(0o700)
    made = Store(f"sqlite:///{tmp_path / 'hub.db'}")
    made.open()
    made.close()
    (tmp_path / "hub.db").chmod(0o600)
    return tmp_path


def examine(data, *arguments):
    """Return ({check: [(level, text, next)]}, exit code) of a run."""
    page = ("--http", f"127.0.0.1:{free_port()}", "--time", "127.0.0.1:0")
    done = run_hub("doctor", "--json", "--data", data, *page, *arguments)
    found = json.loads(done.stdout)
    checks = {}
    for finding in found["findings"]:
        assert finding["next"] or finding["level"] == "good", finding
        entry = (finding["level"], finding["text"], finding["next"])
        checks.setdefault(finding["check"], []).append(entry)
    assert (found["verdict"] == "bad") == (done.returncode == 1)
    return checks, done.returncode


def levels(entries):
    return [entry[0] for entry in entries]


def test_a_hub_that_can_run_is_told_so(data):
    checks, code = examine(data)
    assert code == 0
    for name in ("vault", "files", "database", "broker", "page"):
        assert levels(checks[name]) == ["good"], checks[name]


def test_archive_that_is_not_there_is_no_reason_not_to_run(data):
    (data / "hub.toml").write_text(f'[archive]\naddress = "file://{data}/archive"\n')
    checks, code = examine(data, "--config", data / "hub.toml")
    assert (levels(checks["archive"]), code) == (["warn"], 0)
    (data / "archive").mkdir()
    checks, _ = examine(data, "--config", data / "hub.toml")
    assert levels(checks["archive"]) == ["good"]
    assert "not locked" in checks["archive"][0][1]


@pytest.mark.s3
def test_lock_that_nobody_may_ask_for_is_told_before_anything_is_written(data, s3_server):  # noqa: F811
    with guarded(s3_server) as guard:
        s3_bucket(guard.address, "doctor", lock=True)
        text = f'[archive]\naddress = "s3://doctor"\nendpoint = "{guard.address}"\n'
        (data / "hub.toml").write_text(text + 'key = "env:HOME"\nsecret = "env:HOME"\n')
        (found,) = examine(data, "--config", data / "hub.toml")[0]["archive"]
        assert (found[0], "ObjectLockConfiguration" in found[2]) == ("warn", True)
        guard.rights.add("ask")
        (found,) = examine(data, "--config", data / "hub.toml")[0]["archive"]
        assert (found[0], "locked for 35 days" in found[1]) == ("good", True)


def test_people_get_lines_and_the_options_may_stand_before_it(data):
    done = run_hub("--data", data, "--http", "127.0.0.1:0", "doctor")
    assert "ok    vault" in done.stdout
    assert str(data) in done.stdout


def test_modes_that_let_others_in(data):
    (data / "hub.db").chmod(0o644)
    (data / "vault").chmod(0o755)
    checks, code = examine(data)
    assert code == 1
    assert "chmod 600" in checks["files"][0][2]
    assert "chmod 700" in checks["vault"][0][2]


def test_bad_file_is_the_only_thing_said(data):
    (data / "hub.toml").write_text("[page]\nlisten = 1\n")
    checks, code = examine(data, "--config", data / "hub.toml")
    assert (list(checks), code) == (["config"], 1)
    assert ":2: page.listen" in checks["config"][0][1]


def test_database_gone_older_newer_or_none(data):
    with sqlite3.connect(data / "hub.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    checks, code = examine(data)
    assert code == 1
    assert "9999 is newer" in checks["database"][0][1]
    with sqlite3.connect(data / "hub.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '0001'")
    checks, code = examine(data)
    assert (levels(checks["database"]), code) == (["warn"], 0)
    with sqlite3.connect(data / "hub.db") as database:  # it was only looked at
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
    checks, _ = examine(data, "--database", f"sqlite:///{data / 'new.db'}")
    assert levels(checks["database"]) == ["warn"]
    assert not (data / "new.db").exists()
    checks, code = examine(data, "--database", f"postgresql://a@127.0.0.1:{free_port()}/x")
    assert code == 1
    assert "refused" in checks["database"][0][1]


def test_spoilt_sectors_are_named(data):
    with sqlite3.connect(data / "hub.db") as database:
        columns = "gateway, log, cls, sector, length, state, data, spans, stored_ms"
        row = (bytes(8), bytes(8), 0, 3, 4096, 2, b"rot", "{}", 0)
        database.execute(f"INSERT INTO sectors ({columns}) VALUES (?,?,?,?,?,?,?,?,?)", row)
    checks, code = examine(data)
    assert code == 1
    assert levels(checks["database"]) == ["good", "bad"]
    assert "1 sectors are spoilt, one is 0000000000000000 A sector 3" in checks["database"][1][1]


@pytest.mark.postgres
def test_postgres_is_reached_and_its_clock_compared(data, postgres):
    made = Store(postgres)
    made.open()
    made.close()
    checks, _ = examine(data, "--database", postgres)
    assert levels(checks["database"]) == ["good"]
    assert any("the database's" in text for _, text, _ in checks["clock"])
    assert migrations.newest() in checks["database"][0][1]


def test_broker_that_is_not_there(data):
    checks, code = examine(data, "--broker", f"mqtt://127.0.0.1:{free_port()}")
    assert code == 1
    assert "Connect call failed" in checks["broker"][0][1]


@pytest.mark.mosquitto
def test_broker_with_certificates_and_one_that_ends_soon(data):
    site = SecureSite(data / "site", "mosquitto")
    site.issue("hub", "primary", site.hub, days=20)
    names = {"--ca": "ca.pem", "--certificate": "certificate.pem", "--key": "key.pem"}
    files = [part for option, name in names.items() for part in (option, site.hub / name)]
    with site.running():
        checks, code = examine(data, "--broker", f"mqtts://127.0.0.1:{site.port}", *files)
        assert code == 0
        assert levels(checks["broker"]) == ["good"]
        assert sorted(levels(checks["certificates"])) == ["good", "good", "warn"]
        assert "vitalkeep ca issue hub" in str(checks["certificates"])
        (site.hub / "key.pem").chmod(0o644)
        checks, code = examine(data, "--broker", f"mqtts://127.0.0.1:{site.port}", *files)
        assert code == 1
        assert "chmod 600" in checks["broker"][0][2]


def test_page_port_taken_by_a_stranger_and_by_a_hub(data):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        # Nobody answers there: the question itself must end.
        checks, code = examine(data, "--http", where)
        assert code == 1
        assert "no hub" in checks["page"][0][1]
    with HubProcess(data) as hub:
        where = hub.where["http"].removeprefix("http://")
        checks, _ = examine(data, "--http", where)
        assert where in checks["page"][0][1]
        assert "a hub runs" in checks["page"][0][1] or "not ready" in checks["page"][0][1]


def test_clock_is_compared_with_a_time_server(data):
    loop = asyncio.new_event_loop()
    server = NtpServer(off_ms=5000)
    port = loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        checks, code = examine(data, "--ntp", f"127.0.0.1:{port}")
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert code == 1
    (text,) = [text for level, text, _ in checks["clock"] if level == "bad"]
    assert "behind" in text
    checks, code = examine(data, "--ntp", f"127.0.0.1:{port}")
    assert code == 1
    assert "does not tell the time" in str(checks["clock"])
