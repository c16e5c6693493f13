"""Another firmware comes, and is kept, refused or taken back; a good one runs whatever happens."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bridge.core.bundle import REFUSALS, Manifest
from bridge.core.journal import records
from bridge.core.protocols import PROTOCOLS
from hil.board import BOARDS, FIRMWARE
from tests.firmware.test_commands import back, bedside
from tests.support.firmware import authorise, deliver_by_hand, mpy_here, other_firmware
from tests.support.secure_site import make_authority
from tests.support.site_client import GATEWAY, LOG_ID, ROOT, Bed, SiteClient
from vitalkeep.board.bundle import Bundle, pack
from vitalkeep.board.kinds import open_kind
from vitalkeep.board.patch import make_patch
from vitalkeep.errors import ToolError
from vitalkeep.hub.address import Address
from vitalkeep.keys.vault import Gateway
from vitalkeep.remote.desk import Desk
from vitalkeep.remote.update import push

BOARD = "VIRTUAL_ESP32S3"
QUICK = {"device_silent_ms": 1000, "trial_ms": 5000}


@dataclass
class Ward:
    """An authority, and the firmwares that it has signed."""

    signer: ec.EllipticCurvePrivateKey
    certificate: bytes
    folder: Path

    def firmware(self, version: str, changes: Mapping[str, str] | None = None) -> Bundle:
        made = other_firmware(self.folder / f"{version}-{len(changes or {})}", version, changes)
        return made.sign(self.signer)


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    authority, signer = make_authority(tmp_path / "ca")
    der = authority.certificate.public_bytes(serialization.Encoding.DER)
    return Ward(signer, der, tmp_path / "firmware")


def said(site: SiteClient) -> list[str]:
    return site.events(records.FIRMWARE)


async def offer(site: SiteClient, number: int, bundle: Bundle, **fields: object) -> int:
    wanted = {"size": len(bundle.data), "digest": bundle.digest.hex(), **fields}
    answer = await site.command(number, do="firmware-offer", **wanted)
    return answer["at"]


async def send(site: SiteClient, number: int, data: bytes, at: int) -> int:
    part = base64.b64encode(data[at : at + 576]).decode()
    answer = await site.command(number, do="firmware-part", at=at, data=part)
    assert "error" not in answer, answer
    return answer["at"]


def small(ward: Ward, version: str = "0.2.0", **changes: object) -> Bundle:
    """Return a bundle with nothing in it, which is looked at and never run."""
    facts = {"version": version, "board": BOARD, "mpy": mpy_here(), "config": 1, **changes}
    made = pack({"bridge/nothing.mpy": b"M" * 700}, Manifest(**facts))
    return made.sign(ward.signer)


def test_what_is_wrong_is_refused_named_and_counted(tmp_path: Path, ward: Ward) -> None:
    good = small(ward)
    other = ec.generate_private_key(ec.SECP256R1())
    spoilt = bytearray(good.data)
    spoilt[200] ^= 1
    wrong = {
        "truncated": (good, good.data[:-300]),
        "damaged": (good, bytes(spoilt)),
        "unsigned": (replace(good, signature=bytes(64)), None),
        "board": (small(ward, board="VIRTUAL_RP2040"), None),
        "mpy": (small(ward, mpy=7), None),
        "image": (small(ward, base="0.0.7"), None),
        "config": (small(ward, config=2), None),
        "older": (small(ward, "0.0.9"), None),
    }
    assert tuple(wrong) == REFUSALS

    async def story() -> None:
        async with bedside(tmp_path) as (bed, site):
            authorise(bed.board, ward.certificate)
            number = 100
            for cause, (bundle, data) in [*wrong.items(), ("unsigned", (good.sign(other), None))]:
                data = bundle.data if data is None else data
                at = await offer(site, number, bundle)
                assert at == 0
                while at < len(data):
                    number += 1
                    at = await send(site, number, data, at)
                before = len(said(site))
                assert (await site.command(number + 1, do="firmware-take"))["checking"]
                await site.until(lambda before=before: len(said(site)) > before)
                assert said(site)[-1].startswith(f"refused: {cause}: "), said(site)
                number += 10
            wanted = {f"firmware_{cause}": 1 for cause in REFUSALS} | {"firmware_unsigned": 2}
            await site.until(lambda: wanted.items() <= site.counters().items())
            state = await site.command(number, do="firmware")
            assert (state["version"], state["slot"], state["at"]) == ("0.1.0", "", 0)
            assert bed.board.resets == []
            left = sorted(path.name for path in (bed.board.files / "bundles").iterdir())
            assert left == []

    asyncio.run(story())


def test_parts_may_be_lost_sent_twice_and_go_on_after_a_restart(
    tmp_path: Path, ward: Ward
) -> None:
    bundle = pack({"bridge/x.mpy": bytes(40000)}, small(ward).manifest).sign(ward.signer)

    async def story() -> None:
        async with bedside(tmp_path) as (bed, site):
            nothing = await site.command(1, do="firmware-part", at=0, data="")
            assert "nothing is offered" in nothing["error"]
            assert await offer(site, 2, bundle) == 0
            at = await send(site, 3, bundle.data, 0)
            assert await send(site, 4, bundle.data, 0) == at  # a second time
            assert await send(site, 5, bundle.data, 2 * at) == at  # one is missing
            number = 6
            while at < 20000:
                at = await send(site, number, bundle.data, at)
                number += 1
            boot = site.statuses[-1]["boot"]
            await bed.board.restart()
            await back(site, boot)
            held = await offer(site, number, bundle)
            assert 16384 <= held <= at
            assert await offer(site, number + 1, small(ward)) == 0  # another one: from the start
            too_large = await site.command(
                number + 2, do="firmware-offer", size=1 << 20, digest="00"
            )
            assert "want at most" in too_large["error"]

    asyncio.run(story())


async def becomes(bed: Bed, site: SiteClient, outcome: str, timeout_s: float = 60) -> None:
    """Wait until the log tells of an outcome; the oximeter speaks meanwhile."""
    end = asyncio.get_running_loop().time() + timeout_s
    while not any(outcome in text for text in said(site)):
        assert asyncio.get_running_loop().time() < end, (said(site), bed.board.output[-20:])
        bed.say(97)
        await asyncio.sleep(0.3)


BAD = {
    "raises": ({"app.py": "\nraise RuntimeError('a bad day')\n"}, "RuntimeError: a bad day"),
    "hangs": (
        {"app.py": "\nimport time\nwhile True:\n    time.ticks_ms()\n"}, "did not come back",
    ),
    "restarts": (
        {"app.py": "\nasync def _dead(self, beat):\n    machine.reset()\nApp._commit = _dead\n"},
        "did not come back",
    ),
    "deaf": (
        {"core/protocols/masimo_set.py": "\nMasimoDecoder.next_event = lambda self: None\n"},
        "oximeter-A is silent",
    ),
    "lost": (
        {"uplink/session.py": "\nasync def _deaf(*_):\n    raise OSError(110)\n"
         "Session.dial = _deaf\n"},
        "no site receipts",
    ),
}  # fmt: skip
LONG = ("hangs", "restarts", "lost")


def state_of(bed: Bed) -> dict[str, object]:
    return json.loads((bed.board.files / "bundles" / "state").read_text())


def test_new_firmware_is_kept_and_nothing_is_lost(tmp_path: Path, ward: Ward) -> None:
    async def story() -> None:
        async with bedside(tmp_path, **QUICK) as (bed, site):
            authorise(bed.board, ward.certificate)
            known = Gateway(GATEWAY, "bed-1", ROOT, (LOG_ID,))
            told: list[float] = []
            values = 0

            def tell(text: str, percent: float | None) -> None:
                nonlocal values
                if percent is not None:
                    told.append(percent)
                    if len(told) % 20 == 0:
                        bed.say(90 + values % 10)
                        values += 1

            async with Desk.at(known, Address("127.0.0.1", site.port)) as desk:
                bundle = ward.firmware("0.2.0")
                sending = asyncio.create_task(push(desk, bundle, False, tell))
                while not sending.done():
                    await asyncio.sleep(0.3)
                    bed.say(90 + values % 10)
                    values += 1
                assert await sending == "0.2.0 kept"
                assert told[-1] == 100
                assert await push(desk, bundle, False, tell) == "runs already"
                with pytest.raises(ToolError, match="older: "):
                    await push(desk, small(ward, "0.1.0"), False, tell)
            assert said(site) == ["0.2.0 in place of 0.1.0, on trial", "0.2.0 kept"]
            assert site.statuses[-1]["firmware"] == "0.2.0"
            assert (state_of(bed)["now"], bed.board.overruns) == ("a", 0)
            assert bed.board.resets == ["hard"]
            # What was said while the board started anew nobody heard; all else is there.
            await site.until(lambda: len(site.values()) >= values - 12)
            # A power cut later it is still what runs.
            await bed.board.restart()
            await bed.board.wait_for("firmware 0.2.0")

    asyncio.run(story())


@pytest.mark.parametrize("name", BAD)
def test_bad_firmware_is_taken_back(name: str, tmp_path: Path, ward: Ward) -> None:
    if name in LONG and os.environ.get("VITALKEEP_BEDSIDE") != "long":
        pytest.skip("VITALKEEP_BEDSIDE=long")
    changes, why = BAD[name]

    async def story() -> None:
        async with bedside(tmp_path, **QUICK) as (bed, site):
            authorise(bed.board, ward.certificate)
            bed.say(97)
            deliver_by_hand(bed.board, ward.firmware("0.2.0", changes))
            await bed.board.restart()
            await becomes(bed, site, "taken back: ")
            assert said(site)[0] == "0.2.0 in place of 0.1.0, on trial"
            assert why in said(site)[1], said(site)
            assert site.statuses[-1]["firmware"] == "0.1.0"
            assert (state_of(bed)["now"], state_of(bed)["tries"]) == ("", -1)
            bed.say(91)
            await site.until(lambda: 91 in site.values())

    asyncio.run(story())


def test_older_firmware_runs_when_ordered_and_gives_way_when_it_is_damaged(
    tmp_path: Path, ward: Ward
) -> None:
    async def story() -> None:
        async with bedside(tmp_path, **QUICK) as (bed, site):
            authorise(bed.board, ward.certificate)
            deliver_by_hand(bed.board, ward.firmware("0.0.9"), older=True)
            await bed.board.restart()
            await becomes(bed, site, "0.0.9 kept")
            assert site.statuses[-1]["firmware"] == "0.0.9"
            await bed.board.power_off()
            with (bed.board.files / "bundles" / "a").open("r+b") as file:
                file.seek(50000)
                file.write(b"rot")
            await bed.board.start()
            await becomes(bed, site, "taken back: bundle a: damaged")
            assert site.statuses[-1]["firmware"] == "0.1.0"

    asyncio.run(story())


PATCHED = {
    "core/protocols/__init__.py": "\nPROTOCOLS['another'] = PROTOCOLS['masimo_set']\n",
    "health/report.py": """
_fields = Report.fields
def _more(self, *asked):
    from bridge.core.protocols import PROTOCOLS
    found = _fields(self, *asked)
    found["patched"] = VERSION + " " + str(len(PROTOCOLS))
    return found
Report.fields = _more
""",
    "inquiry.py": """
_told = DO["report"]
def _tell(desk, fields):
    then, found = _told(desk, fields)
    found["inquiry"] = "patched"
    return then, found
DO["report"] = _tell
""",
    "release.py": "\nVERSION = '0.2.0'\n",
}


def test_a_patch_changes_some_modules_of_the_image(tmp_path: Path, ward: Ward) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(FIRMWARE, changed, ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in PATCHED.items():
        file = changed / "bridge" / path
        file.write_text(file.read_text() + text)
    made = make_patch(changed, FIRMWARE, open_kind(BOARDS / BOARD), mpy_here())
    assert made.manifest.base == "0.1.0"
    order = made.manifest.patch
    assert sorted(order) == [
        "bridge.core.protocols.__init__", "bridge.health.report", "bridge.inquiry",
        "bridge.release",
    ]  # fmt: skip
    assert order.index("bridge.release") < order.index("bridge.health.report")
    assert len(made.data) < 16384

    async def story() -> None:
        async with bedside(tmp_path / "board", **QUICK) as (bed, site):
            authorise(bed.board, ward.certificate)
            deliver_by_hand(bed.board, made.sign(ward.signer))
            await bed.board.restart()
            await becomes(bed, site, "0.2.0 kept")
            status = site.statuses[-1]
            assert status["firmware"] == "0.2.0"
            assert status["patched"] == f"0.2.0 {len(PROTOCOLS) + 1}"
            for number in (1, 2):  # what is given up after each use stays what the patch made it
                report = await site.command(number, do="report")
                assert report["inquiry"] == "patched"

    asyncio.run(story())
