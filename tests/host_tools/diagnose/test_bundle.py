"""A support file: secrets and values are planted everywhere, and none of them is in it."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from bridge.core.journal import records
from tests.support.console import KNOWN, VAULT, bench
from tests.support.site_client import COMMAND_KEY, ROOT, UPLINK_KEY
from vitalkeep.diagnose import take_report
from vitalkeep.diagnose.bundle import write_bundle
from vitalkeep.diagnose.events import Entry, FromGateway, Place
from vitalkeep.diagnose.redact import Redactor, secrets_of
from vitalkeep.diagnose.report import build
from vitalkeep.diagnose.usb import Usb
from vitalkeep.errors import ToolError

WIFI, SSID, PASSWORD = "wifi-key-3141592", "ward-three-east", "apn-password-27182"
PATIENT, SERIAL = "MUELLER^ANNA", "SN0000123456"
SPOKEN = "spo2=61.803"


def members(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return b"\n".join(archive.read(name) for name in archive.namelist())


def forms(secret: bytes | str) -> list[bytes]:
    data = secret.encode() if isinstance(secret, str) else secret
    shown = [data, data.hex().encode(), data.hex().upper().encode(), base64.b64encode(data)]
    return [*shown, repr(data)[2:-1].encode()]


def is_clean(path: Path, *planted: bytes | str) -> None:
    text = members(path)
    for secret in planted:
        for form in forms(secret):
            assert form not in text, (secret, form)


def planted_report() -> dict[str, Any]:
    pem = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIAbcdefghij\n-----END EC PRIVATE KEY-----"
    return {
        "gateway": KNOWN.id.hex(), "bed": "bed-1", "firmware": "0.1.0", "micropython": "1.28",
        "reset": "watchdog", "mono": 5000, "clock": 0, "hours_left": 30.5, "pool": [100, 40],
        "heads": {"A": [0, 3, 900], "B": [0, 0, 90], "C": [0, 0, 90]},
        "counters": {"line0_check": 3, f"restart_{PATIENT}": 1, "worn": SPOKEN, "commands": 2},
        "last_error": f"line0: ValueError: invalid number with base 10: '{SPOKEN}' {WIFI} "
        f"{ROOT.hex()} {base64.b64encode(UPLINK_KEY).decode()} b'{PATIENT}' \"{SERIAL}\" {pem}",
        "sites": [{"name": "primary", "host": "10.0.0.5", "port": 8883, "up": False,
                   "session": False, "backlog": 7, "fault": "no_tls", "key": WIFI,
                   "last": SPOKEN}],
        "devices": [{"name": "oximeter", "class": "A", "quiet_ms": None, "value": SPOKEN}],
        "lines": [{"name": "oximeter", "state": "live", "values": [SPOKEN]}],
        "links": [["wifi", "down", -1, 20, "wrong_password"]],
        "values": {"spo2": SPOKEN}, "patient": PATIENT, "tls": pem, "key": COMMAND_KEY.hex(),
        "nonce": "00" * 8,
    }  # fmt: skip


CONFIG = {
    "bed": "bed-1", "console": "closed", "passphrase": PASSWORD, "trial_ms": 300000,
    "sites": [{"name": "primary", "id": "5e" * 8, "host": "10.0.0.5", "port": 8883,
               "password": PASSWORD}],
    "lines": [{"uart": 1, "protocol": "masimo_set", "baud": 9600, "patient": PATIENT,
               "options": {"login": PASSWORD}, "devices": [{"name": "oximeter", "class": "A",
                                                            "unit": 0, "serial": SERIAL}]}],
    "links": {"wifi": {"ssid": SSID, "key": WIFI},
              "cellular": {"apn": "internet", "user": "gate", "key": PASSWORD},
              "dns": ["10.0.0.2"]},
}  # fmt: skip


def test_nothing_planted_gets_out(tmp_path: Path) -> None:
    said = planted_report()
    events = [
        Entry(Place(0, 1, 2, number), 7, 100, None, name, text)
        for number, (name, text) in enumerate([
            ("boot", f"reset watchdog; firmware 0.1.0; {WIFI}"),
            ("identity", f"oximeter: {SERIAL} {PATIENT}"),
            ("link-fault", f"wifi: wrong_password '{SSID}'"),
            ("unheard-of", f"{PATIENT} {SPOKEN}"),
            ("certificate", f"tls/now does not load: {ROOT.hex()}"),
        ])
    ]  # fmt: skip
    path = tmp_path / "support.zip"
    redactor = Redactor(secrets_of(CONFIG))
    report = build(said, "usb", 1_700_000_000_000)
    names = write_bundle(path, report, events, CONFIG, redactor)
    assert {"report.json", "report.txt", "events.jsonl", "configuration.json"} <= set(names)
    is_clean(path, WIFI, SSID, PASSWORD, PATIENT, SERIAL, SPOKEN, ROOT, UPLINK_KEY, COMMAND_KEY,
             "MHcCAQEEIAbcdefghij")  # fmt: skip
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with zipfile.ZipFile(path) as archive:
        shown = json.loads(archive.read("report.json"))
        kept = json.loads(archive.read("configuration.json"))
        lines = archive.read("events.jsonl").splitlines()
    # What helps is there all the same.
    assert shown["raw"]["counters"] == {"line0_check": 3, "commands": 2}
    assert shown["raw"]["sites"][0]["fault"] == "no_tls"
    assert "no_tls" in json.dumps(shown["items"])
    assert kept["lines"][0]["protocol"] == "masimo_set"
    assert kept["links"]["dns"] == ["10.0.0.2"]
    assert kept["links"]["wifi"] == "(hidden)"
    assert json.loads(lines[0])["text"].startswith("reset watchdog; firmware 0.1.0")
    assert len(lines) == len(events)


def test_bundle_of_a_real_gateway(tmp_path: Path) -> None:
    async def story() -> None:
        links = {"wifi": {"ssid": SSID, "key": WIFI}}
        async with bench(tmp_path / "bed", links=links) as (bed, site):
            bed.say(61)
            await site.until(lambda: site.values() == [61])
            with Usb(bed.board.console_port, VAULT) as usb:
                await usb.ask("open-console", minutes=1)
                configuration = await usb.ask("configuration")
                assert WIFI not in json.dumps(configuration)  # it never left the board
                report = await take_report(usb, "usb")
                events = await FromGateway(usb, KNOWN).fetch()
            path = tmp_path / "support.zip"
            redactor = Redactor([WIFI, SSID])
            write_bundle(path, report, events, configuration, redactor)
            is_clean(path, WIFI, SSID, ROOT, UPLINK_KEY, COMMAND_KEY, "0000123456", "SPO2=061")
            names = [entry.name for entry in events]
            assert names.count("boot") == 1, "what all classes say is said once"
            assert "site-up" in names
            assert names[-1] == records.EVENT_NAMES[records.CONSOLE]
            assert all(entry.utc_ms for entry in events), "receipts told the time"
            text = members(path).decode()
            assert "opened for 1 min by a command" in text

    asyncio.run(story())


def test_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    report = build({}, "usb", 0)
    with pytest.raises(ToolError, match="No such file"):
        write_bundle(tmp_path / "no" / "x.zip", report, [], {}, Redactor())
