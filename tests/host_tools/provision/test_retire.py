"""`vitalkeep retire` and `vitalkeep rotate-keys` with everything real but the board's chip."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hil.bedside.devkit import Devkit
from tests.support.bedside import KIND, A, B, Bedside, flashed, say
from vitalkeep.board.errors import BoardError
from vitalkeep.board.partitions import need
from vitalkeep.keys.births import Register
from vitalkeep.keys.provision import spare_seeds
from vitalkeep.keys.vault import Vault
from vitalkeep.provision import board as on_board
from vitalkeep.provision import proof
from vitalkeep.provision.board import GatewayBoard

pytestmark = pytest.mark.mosquitto

KEYS, JOURNAL = need(KIND.partitions, "keys"), need(KIND.partitions, "journal")


@pytest.fixture
def bedside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bedside]:
    made = Bedside(tmp_path, capsys, monkeypatch)
    with made.running():
        yield made


@pytest.fixture
def kit(bedside: Bedside) -> Iterator[Devkit]:
    board = flashed(bedside.root / "board", bedside.frozen)
    with bedside.plugged(board):
        bedside.run("provision", "--ward", bedside.ward, "--bed", "bed-a")
        board.wait_for("listening")
        yield board


def speak(kit: Devkit, values: range) -> None:
    """Have the oximeter say these values, and give the gateway the time to seal them."""
    for value in values:
        say(kit, value)
        time.sleep(0.15)
    time.sleep(1)


def start(kit: Devkit) -> None:
    """Take the power away and give it back."""
    kit.stop()
    kit.said.clear()
    kit.boot()
    kit.wait_for("listening")


def opened(bedside: Bedside, kit: Devkit) -> set[int]:
    """Return the SpO2 values that the vault opens of what is on the board's flash."""
    dump = bedside.root / "journal.bin"
    dump.write_bytes(bytes(kit.flash[JOURNAL.offset : JOURNAL.end]))
    out = bedside.root / "values.jsonl"
    out.unlink(missing_ok=True)
    bedside.command("journal", "inspect", dump, "--vault", bedside.vault.folder, "--jsonl", out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    return {int(row["value"]) for row in rows if "SpO2" in json.dumps(row)}


def test_nothing_is_erased_before_a_site_has_it_all(
    bedside: Bedside, kit: Devkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    speak(kit, range(81, 91))
    hub = bedside.hub
    monkeypatch.setattr(proof, "_ANSWER_S", 2.0)
    hub.child.send_signal(19)  # it stands still: the broker takes all, and nobody receipts
    try:
        said = bedside.run("retire", "--ward", bedside.ward, "--wait", 0, code=1)
        assert said["outcome"] in ("not-drained", "error")
        assert kit.flash[KEYS.offset : KEYS.offset + 4] == b"VKID"
    finally:
        hub.child.send_signal(18)
        monkeypatch.setattr(proof, "_ANSWER_S", 15.0)
    done = bedside.run("retire", "--ward", bedside.ward)
    assert (done["outcome"], done["gateway"], done["lost"]) == ("done", A, 0)
    assert kit.flash[KEYS.offset : KEYS.end] == b"\xff" * KEYS.size
    assert kit.flash[JOURNAL.offset : JOURNAL.end] == b"\xff" * JOURNAL.size
    known = Vault.open(bedside.vault.folder).gateways()[0]
    assert known.revoked
    assert known.root  # what was stored stays readable
    entries = Register(bedside.authority).entries()
    assert [entry.event for entry in entries] == ["provisioned", "drained", "retired"]
    assert entries[1].fields["receipted"] == {"primary": "ABC"}
    said = bedside.run("provision", "--ward", bedside.ward, "--bed", "bed-a", code=1)
    assert said["outcome"] == "gateway-taken"
    # The board may be another, under a new id. What that has may be lost, if that is ordered; and
    # a retirement that was cut short goes on.
    assert bedside.run("provision", "--ward", bedside.ward, "--bed", "bed-b")["gateway"] == B
    kit.wait_for(f"gateway {B}: listening")
    assert bedside.run("retire", code=1)["outcome"] == "not-drained"
    wipe = GatewayBoard.wipe

    def cut(self: GatewayBoard, place: str, *more: object, **named: object) -> None:
        if place == "JOURNAL":
            raise BoardError("cable", "pulled", "Plug it in.")
        wipe(self, place, *more, **named)

    with monkeypatch.context() as patch:
        patch.setattr(GatewayBoard, "wipe", cut)
        assert bedside.run("retire", "--lose", code=1)["outcome"] == "cable"
    assert kit.flash[KEYS.offset : KEYS.end] == b"\xff" * KEYS.size
    done = bedside.run("retire", "--ward", bedside.ward)
    assert (done["gateway"], done["lost"] > 0) == (B, True)
    last = Register(bedside.authority).entries()[-1]
    assert (last.event, last.gateway, last.fields["lost"]) == ("retired", B, done["lost"])


def test_keys_are_rotated_and_no_record_is_lost(
    bedside: Bedside, kit: Devkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    speak(kit, range(81, 86))
    before = [one.serial for one in bedside.authority.issued() if one.name == A]
    seen = GatewayBoard(str(kit.port), bedside.gateways).look()
    old_seeds = bytes(kit.flash[KEYS.end - 4096 : KEYS.end - 4096 + 512])
    done = bedside.run("rotate-keys")
    assert (done["outcome"], done["epoch"], seen.epoch) == ("done", 9, 0)
    assert done["certificate"] not in before
    live = [one for one in bedside.authority.issued() if one.name == A and not one.revoked]
    assert [one.serial for one in live] == [done["certificate"]]
    start(kit)
    speak(kit, range(91, 96))
    again = GatewayBoard(str(kit.port), bedside.gateways).look()
    assert (again.epoch, again.slots) == (9, 3)
    new_seeds = bytes(kit.flash[KEYS.end - 4096 : KEYS.end - 4096 + 512])
    old = {old_seeds[at : at + 64] for at in range(0, 512, 64)}
    assert new_seeds[:64] == bytes(64)  # epoch 9 has begun
    assert not old & {new_seeds[at : at + 64] for at in range(0, 512, 64)}
    assert set(range(81, 86)) | set(range(91, 96)) <= opened(bedside, kit)
    # Cut short behind the first of three classes, and done again.
    script = on_board._script

    def cut(name: str, order: dict[str, Any]) -> str:
        return script(name, order).replace("_ring.clear(_slot)", "_ring.clear(_slot)\n    1 / 0")

    with monkeypatch.context() as patch:
        patch.setattr(on_board, "_script", cut)
        assert bedside.run("rotate-keys", "--no-certificate", code=1)["outcome"] == "tool"
    start(kit)
    assert bedside.run("rotate-keys", "--no-certificate")["epoch"] == 27
    # Cut short before it starts again: the next one is behind what the board has by then.
    board = GatewayBoard(str(kit.port), bedside.gateways)
    seen = board.look()
    known = Vault.open(bedside.vault.folder).gateways()[0]
    board.end_epoch(spare_seeds(known.root, known.id, bytes.fromhex(seen.log), seen.epoch + 8))
    again = board.look()
    assert (seen.epoch, seen.slots, again.epoch, again.slots) == (27, 3, 35, 0)
    start(kit)
    speak(kit, range(96, 99))
    assert set(range(81, 86)) | set(range(91, 99)) <= opened(bedside, kit)
    # And the site has all of it, of each epoch.
    assert bedside.run("retire", "--ward", bedside.ward)["lost"] == 0
