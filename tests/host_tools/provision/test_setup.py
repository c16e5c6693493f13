"""`vitalkeep setup` from a bare board to a label: real firmware, broker, hub, mpremote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.bedside import A, B, Bedside, bare, first_setting_only, flashed, speaking
from vitalkeep.keys.births import Register
from vitalkeep.keys.vault import Vault
from vitalkeep.provision import acceptance
from vitalkeep.remote import desk

pytestmark = pytest.mark.mosquitto


@pytest.fixture
def bedside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Bedside:
    return Bedside(tmp_path, capsys, monkeypatch)


def _outcomes(said: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["outcome"] for step in said["steps"]}


def test_bare_boards_side_by_side_become_accepted_gateways(bedside: Bedside) -> None:
    """The real esptool at bare chips, an image with the whole firmware, and all that follows."""
    kits = [bare(bedside.root / f"board-{n}", bedside.frozen, n) for n in (1, 2)]
    setup = ("setup", "--ward", bedside.ward, *bedside.image(), "--listen", 2)
    with bedside.running(), bedside.plugged(*kits), speaking(*kits):
        assert bedside.run(*setup, "--bed", "bed-a", code=1)["outcome"] == "several-boards"
        with bedside.together() as start:
            runs = [
                start(*setup, "--bed", bed, "--id", f"bench-{number}")
                for number, bed in enumerate(("bed-a", "bed-b"))
            ]
            done = [run() for run in runs]
        for kit, id in zip(kits, (A, B), strict=True):
            kit.wait_for(f"gateway {id}: listening")
        _check_accepted(bedside, done)
        # Whose bed it is, this computer remembers.
        again = bedside.run(*setup, "--id", "bench-0")
        assert (again["gateway"], again["image_written"]) == (A, False)
        steps = _outcomes(again)
        assert {steps[name] for name in ("keys", "certificate", "configuration")} == {"unchanged"}
    # Who visited is gone.
    live = [one for one in bedside.authority.issued() if not one.revoked]
    assert sorted(one.role for one in live) == ["gateway", "gateway", "hub", "site"]
    assert "bench-" not in (bedside.site.folder / "acl").read_text()


def _check_accepted(bedside: Bedside, done: list[dict[str, Any]]) -> None:
    assert [(one["gateway"], one["unique_id"], one["image_written"]) for one in done] == [
        (A, "240ac4000001", True), (B, "240ac4000002", True),
    ]  # fmt: skip
    for one in done:
        found = one["acceptance"]
        assert found["proved"] == {"primary": "ABC"}
        assert found["devices"] == {"oximeter": "live"}
        assert set(found["links"]) == {"wifi"}
        assert found["sites"]["primary"]["clock"] == "a site's"
        assert found["hours"] > 24
        assert found["rate"] > 0
        bedside.command("births", "verify", "--ca", bedside.authority.folder,
                        "--head", one["entry"][:16])  # fmt: skip
    svg, png = map(Path, done[0]["label"])
    assert png.read_bytes().startswith(b"\x89PNG")
    assert all(word in svg.read_text() for word in (A, "bed-a", done[0]["fingerprint"][:16]))
    entries = Register(bedside.authority).entries()
    assert sorted((entry.event, entry.gateway) for entry in entries) == [
        ("accepted", A), ("accepted", B), ("provisioned", A), ("provisioned", B),
    ]  # fmt: skip
    vault = Vault.open(bedside.vault.folder)
    assert {(known.id.hex(), known.bed) for known in vault.gateways()} == {
        (A, "bed-a"), (B, "bed-b"),
    }  # fmt: skip


def test_what_is_not_right_at_the_bed_is_named(bedside: Bedside) -> None:
    kit = flashed(bedside.root / "board", bedside.frozen)
    other = flashed(bedside.root / "other", bedside.frozen, number=2)
    setup = ("setup", "--ward", bedside.ward, "--no-flash", "--listen", 1)
    bedside.patch.setattr(acceptance, "ONLINE_S", 5.0)
    with bedside.running():
        with bedside.plugged(kit):
            bedside.patch.setattr(acceptance, "scan", first_setting_only)
            said = bedside.run(*setup, "--bed", "bed-a", code=1)  # nobody speaks on its line
            assert said["outcome"] == "wiring"
            assert "oximeter; uart 1: " in said["message"]
            done = bedside.run(*setup, "--no-devices")
            assert _outcomes(done)["devices"] == "skipped"
            kit.wait_for("listening")
        with bedside.plugged(other):
            said = bedside.run(*setup, code=1)
            assert (said["outcome"], "240ac4000002" in said["message"]) == ("wrong-board", True)
            bedside.hub.stop()
            bedside.patch.setattr(desk, "HEARD_S", 5.0)
            said = bedside.run(*setup, "--bed", "bed-b", "--no-devices", code=1)
            assert (said["outcome"], said["hint"] != "") == ("not-heard", True)
    live = [one for one in bedside.authority.issued() if not one.revoked]
    assert sorted(one.role for one in live) == ["gateway", "gateway", "hub", "site"]
