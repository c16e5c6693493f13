"""The guided page of `vitalkeep setup`: the same runs, begun over HTTP and in a browser."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from cryptography import x509

from tests.support.bedside import A, B, Bedside, bare, first_setting_only, flashed, speaking
from tests.support.secure_site import PASSPHRASE
from tests.support.technician import Technician, at_the_page
from vitalkeep import cli
from vitalkeep.board.errors import BoardError
from vitalkeep.board.program import run_module
from vitalkeep.board.progress import Progress
from vitalkeep.board.units import Unit, locked
from vitalkeep.keys.births import Register
from vitalkeep.keys.vault import Vault
from vitalkeep.provision import acceptance
from vitalkeep.provision.page import TOKEN

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

_WAIT_S = 90


@pytest.fixture
def bedside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Bedside:
    return Bedside(tmp_path, capsys, monkeypatch)


def _run(state: dict[str, Any], bed: str) -> dict[str, Any]:
    return next(run for run in state["runs"] if run["bed"] == bed)


def _outcomes(run: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["outcome"] for step in run["steps"]}


def _register(bedside: Bedside) -> list[tuple[str, str]]:
    return sorted((e.event, e.gateway) for e in Register(bedside.authority).entries())


@pytest.mark.mosquitto
def test_two_bare_boards_at_once_become_accepted_gateways(bedside: Bedside) -> None:
    kits = [bare(bedside.root / f"board{n}", bedside.frozen, n) for n in (1, 2)]
    answers: list[str] = []

    def story(technician: Technician) -> None:
        state = technician.state()
        assert [(bed["name"], bed["last"]) for bed in state["beds"]] == [
            ("bed-a", None), ("bed-b", None),
        ]  # fmt: skip
        assert [board["id"] for board in state["boards"]] == ["bench-0", "bench-1"]
        assert technician.begin("bed-a", "bench-0").status_code == 202
        assert technician.begin("bed-b", "bench-1").status_code == 202
        for bed, board in (("bed-b", "bench-0"), ("bed-a", "bench-1")):
            no = technician.begin(bed, board)
            assert (no.status_code, no.json()["outcome"]) == (409, "locked")
        technician.wait_for(lambda state: all(run["steps"] for run in state["runs"]))
        # A run in a terminal has the same locks.
        with (
            pytest.raises(BoardError, match="another run"),
            locked("bench-0", bedside.home / "locks"),
        ):
            pass
        state = technician.wait_for(
            lambda state: (
                all(run["state"] != "at work" for run in state["runs"])
                and all(
                    bed["last"] and bed["last"]["event"] == "accepted" for bed in state["beds"]
                )
            )
        )
        for bed, gateway in (("bed-a", A), ("bed-b", B)):
            run = _run(state, bed)
            assert run["state"] == "accepted", run["failure"]
            assert run["done"]["acceptance"]["proved"] == {"primary": "ABC"}
            assert _outcomes(run)["write the image"] == "done"
            assert run["line"]["hash"] == run["done"]["entry"]
            label = technician.label(bed)
            assert label.headers["content-type"].startswith("image/svg+xml")
            assert all(word in label.text for word in (gateway, bed))
        assert {board["bed"] for board in state["boards"]} == {"bed-a", "bed-b"}
        # Once more, and ended in its midst: no board stays in its loader or at its prompt.
        for kit in kits:
            kit.said.clear()
        technician.begin("bed-a", "bench-0")
        technician.wait_for(lambda state: bool(_run(state, "bed-a")["steps"]))
        answers.extend(technician.answers)

    with bedside.running(), bedside.plugged(*kits), speaking(*kits):
        code, said = at_the_page(bedside, story, *bedside.image(), "--listen", 2)
        assert code == 0
        assert "waits for the end of a step: bed-a (" in said
        kits[0].wait_for(f"gateway {A}: listening")
    assert _register(bedside) == [
        ("accepted", A), ("accepted", B), ("provisioned", A), ("provisioned", B),
    ]  # fmt: skip
    issued = bedside.authority.issued()
    live = [one for one in issued if not one.revoked]
    assert sorted(one.role for one in live) == ["gateway", "gateway", "hub", "site"]
    # Two runs revoked at once, and the list has what both did.
    crl = x509.load_pem_x509_crl((bedside.authority.folder / "crl.pem").read_bytes())
    gone = {f"{entry.serial_number:x}" for entry in crl}
    assert gone == {one.serial for one in issued if one.revoked}
    shown = " ".join(answers) + said
    for secret in (bedside.wifi_key.encode(), PASSPHRASE, *_roots(bedside)):
        assert secret.hex() not in shown
        assert secret.decode("latin-1") not in shown


def _roots(bedside: Bedside) -> list[bytes]:
    return [known.root for known in Vault.open(bedside.vault.folder).gateways()]


def test_who_has_no_token_or_comes_from_elsewhere_begins_nothing(bedside: Bedside) -> None:
    bedside.patch.setattr("vitalkeep.commands.provision.find_units", list)

    def story(technician: Technician) -> None:
        ask, token, origin = technician.ask, technician.token, technician.origin
        host = origin.removeprefix("http://")
        for path in ("/", "/page.js", "/dom.js", "/page.css", "/style.css"):
            shown = ask("GET", path)
            assert shown.status_code == 200
            assert "default-src 'self'" in shown.headers["content-security-policy"]
            assert token not in shown.text
        refused = [
            ask("GET", "/api/state"),
            ask("GET", "/api/label?bed=bed-a"),
            ask("GET", "/api/state", **{TOKEN: "x" * len(token)}),
            ask("GET", f"/api/state?token={token}"),
            ask("GET", "/", host=f"localhost:{host.partition(':')[2]}"),
            ask("GET", "/api/state", host="ward.example", **{TOKEN: token}),
            ask("GET", "/api/state", origin="http://ward.example", **{TOKEN: token}),
            ask("GET", "/api/state", origin="null", **{TOKEN: token}),
            ask("POST", "/api/runs", **{TOKEN: token}),
            ask("POST", "/api/runs", origin=origin),
            ask("POST", "/api/runs", origin=origin + "0", **{TOKEN: token}),
            ask("OPTIONS", "/api/runs", origin="http://ward.example"),
        ]
        assert {answer.status_code for answer in refused} == {403}
        assert "access-control-allow-origin" not in refused[-1].headers
        for order in (
            b"",
            b"{}",
            b"[1]",
            b'{"bed": 1, "board": "b", "silent": true}',
            b"x" * 5000,
        ):
            assert technician.post(order).status_code == 400
        no = technician.begin("bed-z", "bench-0")
        assert (no.status_code, "bed-z" in no.json()["message"]) == (409, True)
        assert technician.state()["runs"] == []
        address = ("127.0.0.2", int(host.partition(":")[2]))
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(address, 5)

    code, said = at_the_page(bedside, story)
    assert code == 0
    assert "not let in: host 2, origin 5, token 5" in said


def test_second_ctrl_c_breaks_a_step_off(bedside: Bedside) -> None:
    unit = Unit("bench-0", os.devnull, None, "ESP32")
    bedside.patch.setattr("vitalkeep.commands.provision.find_units", lambda: [unit])

    def takes_long(unit: Unit, wishes: Any, office: Any, progress: Progress, units: Any) -> None:
        progress.begin("write the image")
        run_module("timeit", ["-n1", "-r1", "import time; time.sleep(300)"], 300)
        raise BoardError("tool", "it was killed", "Run the same again.")

    bedside.patch.setattr("vitalkeep.provision.setup.set_up", takes_long)
    programs: list[psutil.Process] = []

    def story(technician: Technician) -> None:
        assert technician.begin("bed-a", "bench-0").status_code == 202
        technician.wait_for(lambda state: bool(state["runs"][0]["steps"]))
        while not programs:
            children = psutil.Process().children()
            programs.extend(child for child in children if "timeit" in child.cmdline())
        os.kill(os.getpid(), signal.SIGINT)
        technician.wait_for(lambda state: state["ending"])
        assert technician.begin("bed-b", "bench-1").status_code == 409
        assert technician.state()["runs"][0]["state"] == "at work"

    code, said = at_the_page(bedside, story)
    assert code == 130
    assert "waits for the end of a step: bed-a (write the image)" in said
    assert "broken off" in said
    assert psutil.wait_procs(programs, timeout=10)[1] == []


def test_page_takes_no_choice_that_it_asks_for(bedside: Bedside) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["setup", "--page", "--ward", str(bedside.ward), "--bed", "bed-a"])
    assert ended.value.code == 2
    assert "--page asks for bed and board itself" in bedside.capsys.readouterr().err


@pytest.mark.mosquitto
@pytest.mark.browser
def test_failure_has_cause_and_next_action_and_goes_on_in_a_browser(
    bedside: Bedside, browser: Chrome
) -> None:
    """No device speaks, so the wiring fails; then the technician says that it comes later."""
    from selenium.webdriver.support.ui import WebDriverWait

    kit = flashed(bedside.root / "board", bedside.frozen)
    bedside.patch.setattr(acceptance, "scan", first_setting_only)

    def wait(script: str) -> Any:
        return WebDriverWait(browser, _WAIT_S, 0.1).until(lambda b: b.execute_script(script))

    def click(selector: str) -> None:
        browser.execute_script(f"document.querySelector({selector!r}).click()")

    def story(technician: Technician) -> None:
        browser.get(technician.address)
        wait("return !document.querySelector('#begin').disabled")  # the only board is chosen
        assert technician.token not in browser.current_url
        text = browser.execute_script("return document.body.innerText")
        assert all(word in text for word in ("bench-0", "bed-a \u2014 new, ESP32_GENERIC"))
        click("#begin")
        wait("return document.querySelector('.card .go-on')")
        text = browser.execute_script("return document.querySelector('.card').innerText")
        assert "failed" in text
        assert "wiring: not heard: oximeter; uart 1: " in text
        assert "Put the line right" in text
        assert "unchanged" not in text
        browser.refresh()  # the tab keeps the token
        wait("return document.querySelector('.card .go-on')")
        click(".card .tick input")
        click(".card .go-on")
        wait("return document.querySelector('.card .label')")
        text = browser.execute_script("return document.querySelector('.card').innerText")
        assert "accepted" in text
        assert "unchanged" in text
        wait("return document.querySelector('.register').innerText.includes('line 2, accepted')")
        assert wait("return document.querySelector('.card .label').naturalWidth")
        browser.execute_script("window.print = () => { document.title = 'printed'; }")
        wait("return document.querySelector('.card button')")
        click(".card button")
        wait("return document.title === 'printed'")
        assert wait("return document.querySelector('#print img').naturalWidth")
        for width in (390, 1280):
            metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            fits = f"return document.documentElement.scrollWidth <= {width}"
            assert browser.execute_script(fits)
        log = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert log == []

    with bedside.running(), bedside.plugged(kit):
        code, _ = at_the_page(bedside, story, "--no-flash", "--listen", 1)
        assert code == 0
        wait("return document.querySelector('#banner').innerText.includes('ended')")
        kit.wait_for(f"gateway {A}: listening")
