"""`vitalkeep provision` on a simulated ESP32 with the real firmware, real mpremote in between."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bedside import KIND, A, B, Bedside, flashed
from tests.support.secure_site import PASSPHRASE, now
from vitalkeep.board.errors import BoardError
from vitalkeep.board.mpremote import Mpremote
from vitalkeep.board.partitions import need
from vitalkeep.board.program import Run
from vitalkeep.keys.births import PROVISIONED, Register
from vitalkeep.keys.vault import Vault
from vitalkeep.provision.board import GatewayBoard
from vitalkeep.provision.sites import Sites

pytestmark = pytest.mark.mosquitto

KEYS, JOURNAL = need(KIND.partitions, "keys"), need(KIND.partitions, "journal")


@pytest.fixture
def bedside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Bedside:
    return Bedside(tmp_path, capsys, monkeypatch)


@pytest.fixture
def kit(bedside: Bedside) -> Iterator:
    board = flashed(bedside.root / "board", bedside.frozen)
    with bedside.plugged(board):
        yield board


def _outcomes(said: dict) -> dict[str, str]:
    return {step["name"]: step["outcome"] for step in said["steps"]}


def test_board_becomes_the_beds_gateway_and_a_second_run_changes_nothing(
    bedside: Bedside, kit
) -> None:
    done = bedside.run("provision", "--ward", bedside.ward, "--bed", "bed-a")
    assert (done["outcome"], done["gateway"], done["board"]) == ("done", A, "ESP32_GENERIC")
    assert _outcomes(done)["keys"] == "done"
    kit.wait_for(f"gateway {A}: listening")
    vault = Vault.open(bedside.vault.folder)
    known = vault.gateways()[0]
    assert (known.id.hex(), known.bed, known.logs[-1].hex()) == (A, "bed-a", done["log"])
    assert known.root not in bytes(kit.flash)  # it never reaches the board
    issued = [one for one in bedside.authority.issued() if one.role == "gateway"]
    assert [one.name for one in issued] == [A]
    again = bedside.run("provision", "--ward", bedside.ward, "--bed", "bed-a")
    assert (again["log"], again["fingerprint"]) == (done["log"], done["fingerprint"])
    steps = _outcomes(again)
    assert {steps[name] for name in ("keys", "certificate", "configuration")} == {"unchanged"}
    assert len(bedside.authority.issued()) == len(issued) + 2  # those of site and hub
    kit.wait_for(f"gateway {A}: listening")
    assert [entry.event for entry in Register(bedside.authority).entries()] == ["provisioned"]


def test_no_secret_is_in_arguments_or_in_what_is_said(
    bedside: Bedside, kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    start = subprocess.Popen.__init__

    def watched(self, arguments, *more, **named):
        seen.append(repr(arguments))
        start(self, arguments, *more, **named)

    monkeypatch.setattr(subprocess.Popen, "__init__", watched)
    bedside.run("provision", "--ward", bedside.ward, "--bed", "bed-a")
    kit.wait_for("listening")
    said = " ".join(seen) + bedside.said + kit.said.decode(errors="replace")
    root = Vault.open(bedside.vault.folder).gateways()[0].root
    key = Mpremote(str(kit.port), bedside.gateways).fetch("/tls/now/key.der")
    keys = kit.flash[KEYS.offset : KEYS.end]
    uplink, command = keys[21:53], keys[53:85]
    for secret in (root, key, key[-32:], uplink, command, bedside.wifi_key.encode()):
        assert secret.hex() not in said
        assert secret.decode("latin-1") not in said
    assert any("mpremote" in words for words in seen)


def test_run_that_was_cut_short_anywhere_is_done_again(bedside: Bedside, kit) -> None:
    """The cable is pulled after each script that the board ran."""
    whole = GatewayBoard._secret

    def cut(self: GatewayBoard, name: str, order: dict) -> None:
        whole(self, name, order)
        kit.cable(False)

    found = bedside.units()
    for _ in ("keys", "certificate", "configuration"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(GatewayBoard, "_secret", cut)
            patch.setattr("vitalkeep.board.mpremote._BACK_S", 0.5)
            patch.setattr("vitalkeep.commands.provision.find_units", lambda found=found: found)
            patch.setattr(Mpremote.wait_for_port, "__defaults__", (0.5,))
            said = bedside.run("provision", "--ward", bedside.ward, "--bed", "bed-a", code=1)
        assert said["outcome"] in ("no-answer", "no-board", "cable")
        assert said["hint"]
        kit.cable(True)
        kit.boot()
    done = bedside.run("provision", "--ward", bedside.ward, "--bed", "bed-a")
    kit.wait_for(f"gateway {A}: listening")
    known = Vault.open(bedside.vault.folder).gateways()[0]
    assert known.logs[-1].hex() == done["log"]
    live = [one for one in bedside.authority.issued() if one.role == "gateway" and not one.revoked]
    assert len(live) == 1


def test_wrong_board_and_wrong_gateway_are_refused_by_name(bedside: Bedside, kit) -> None:
    ward = ("provision", "--ward", bedside.ward)
    bedside.write_ward(**{'board = "ESP32_GENERIC"': 'board = "RPI_PICO_W"'})
    assert bedside.run(*ward, "--bed", "bed-a", code=1)["outcome"] == "wrong-board"
    bedside.write_ward(**{"uart = 1": "uart = 0"})
    assert bedside.run(*ward, "--bed", "bed-a", code=1)["outcome"] == "misfit"
    bedside.write_ward(**{"baud = 9600": "baud = 4000000"})
    assert bedside.run(*ward, "--bed", "bed-a", code=1)["outcome"] == "misfit"
    devices = ", ".join(f'{{ name = "d{n}", class = "C" }}' for n in range(8))
    bedside.write_ward(**{'[{ name = "oximeter", class = "A" }]': f"[{devices}]"})
    assert bedside.run(*ward, "--bed", "bed-a", code=1)["outcome"] == "budget"
    assert Vault.open(bedside.vault.folder).gateways() == []
    assert kit.flash[KEYS.offset : KEYS.end] == b"\xff" * KEYS.size
    bedside.write_ward()
    bedside.run(*ward, "--bed", "bed-a")
    before = kit.flash[KEYS.offset : KEYS.end]
    kit.wait_for("listening")
    kit.said.clear()
    said = bedside.run(*ward, "--bed", "bed-b", code=1)
    assert (said["outcome"], "retire" in said["hint"]) == ("other-gateway", True)
    kit.wait_for(f"gateway {A}: listening")  # it was not left at its prompt
    assert kit.flash[KEYS.offset : KEYS.offset + 4096] == before[:4096]


def test_id_of_another_board_and_a_log_without_keys_are_refused(bedside: Bedside, kit) -> None:
    ward = ("provision", "--ward", bedside.ward)
    bedside.run(*ward, "--bed", "bed-a")
    other = flashed(bedside.root / "other", bedside.frozen, number=2)
    with bedside.plugged(other):
        said = bedside.run(*ward, "--bed", "bed-a", code=1)
        assert said["outcome"] == "gateway-taken"
        other.flash[JOURNAL.offset : JOURNAL.offset + 4096] = bytes(4096)
        said = bedside.run(*ward, "--bed", "bed-b", code=1)
        assert said["outcome"] == "log-in-the-way"
        done = bedside.run(*ward, "--bed", "bed-b", "--erase-log")
        assert done["gateway"] == B
        other.wait_for(f"gateway {B}: listening")


def test_of_two_technicians_at_once_one_has_the_id(
    bedside: Bedside, kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one begins the same bed with another board once ours was looked at."""
    add = Sites.add

    def rival(self: Sites, *what: Any) -> Any:
        signer = bedside.authority.unlock(PASSPHRASE)
        Register(bedside.authority).add(signer, PROVISIONED, A, now(), unique_id="another")
        return add(self, *what)

    monkeypatch.setattr(Sites, "add", rival)
    said = bedside.run("provision", "--ward", bedside.ward, "--bed", "bed-a", code=1)
    assert said["outcome"] == "gateway-taken"
    assert kit.flash[KEYS.offset : KEYS.end] == b"\xff" * KEYS.size
    assert len(Register(bedside.authority).entries()) == 1


def test_board_that_was_put_in_anothers_place_is_left_as_it_is(bedside: Bedside, kit) -> None:
    board = GatewayBoard(str(kit.port), bedside.gateways)
    assert board.look().keys == "blank"
    kit.stop()
    kit.mac = b"\x24\x0a\xc4\x00\x00\x99"
    kit.boot()
    before = bytes(kit.flash)
    jobs: list[Callable[[], object]] = [
        board.look,
        lambda: board.write_keys([(0, 0, b"k" * 64)]),
        lambda: board.wipe("KEYS"),
        lambda: board.put([("/config.json", b"{}")]),
    ]
    for job in jobs:
        with pytest.raises(BoardError, match="another chip") as caught:
            job()
        assert caught.value.cause == "wrong-board"
    assert bytes(kit.flash) == before


_SEEN = {"board": "ESP32_GENERIC", "unique_id": "aa", "firmware": "0.1.0", "keys": "blank"}


@pytest.mark.parametrize(
    "said",
    [
        "[" * 2000 + "]" * 2000, "(" * 150 + ")" * 150, "1", "None", "{}", repr({"board": 1}),
        repr(_SEEN | {"unique_id": "no hex"}), repr(_SEEN | {"sites": [7]}),
        repr(_SEEN | {"keys": "gateway", "gateway": "ab"}), repr(_SEEN | {"epoch": "9"}),
        repr(_SEEN | {"files": []}), repr(_SEEN | {"journal": 7}), repr(_SEEN | {"files": {1: 2}}),
    ],
)  # fmt: skip
def test_board_that_says_what_no_firmware_says_is_refused(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mpremote, "wait_for_port", lambda self: None)
    monkeypatch.setattr(Mpremote, "_checked", lambda self, *more, **named: Run(0, said))
    monkeypatch.setattr("vitalkeep.provision.board.START_S", 0.0)
    board = GatewayBoard("/dev/none")
    for job in (board.look, board.heads, lambda: board.wipe("KEYS")):
        if job is not board.look and said == "1":
            continue  # what one says that has a single block
        with pytest.raises(BoardError) as caught:
            job()
        assert caught.value.cause == "no-answer"


@pytest.mark.parametrize("count", ["-1", "0", "2.5", "10**12", "1000000000000"])
def test_wipe_goes_on_for_no_longer_than_a_chip_has_blocks(
    count: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mpremote, "_checked", lambda self, *more, **named: Run(0, count))
    with pytest.raises(BoardError):
        GatewayBoard("/dev/none").wipe("KEYS")


@pytest.mark.parametrize(
    "row", [(0, 1 << 31, 9, "ab"), (0, 3, "9", "ab"), (0, 3, 9, "x"), (0, 1 << 40, 1, ""), (1,)]
)
def test_log_that_no_chip_holds_is_refused(row: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    said = repr(dict.fromkeys("ABC", row))
    monkeypatch.setattr(Mpremote, "_checked", lambda self, *more, **named: Run(0, said))
    with pytest.raises(BoardError):
        GatewayBoard("/dev/none").heads()


def test_new_site_gets_its_receipt_key_and_the_log_goes_on(bedside: Bedside, kit) -> None:
    ward = ("provision", "--ward", bedside.ward, "--bed", "bed-a")
    first = bedside.run(*ward)
    kit.wait_for("listening")
    standby = Vault.create(bedside.root / "standby", "standby")
    more = (
        f'[[sites]]\nname = "standby"\nid = "{standby.site_id.hex()}"\nhost = "10.1.0.5"\n\n'
        "[links.wifi]"
    )
    bedside.write_ward(**{"[links.wifi]": more})
    assert "vault" in bedside.run(*ward, code=1)["message"]
    kit.said.clear()
    done = bedside.run(*ward, "--vault", standby.folder)
    assert done["log"] == first["log"]
    kit.wait_for(f"gateway {A}: listening")
    seen = GatewayBoard(str(kit.port), bedside.gateways).look()
    assert list(seen.sites) == [bedside.vault.site_id.hex(), standby.site_id.hex()]
    assert seen.spares == 8
    roots = {Vault.open(v.folder).gateways()[0].root for v in (bedside.vault, standby)}
    assert len(roots) == 1
