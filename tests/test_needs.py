"""Services for tests work where they are, and their absence is never silent."""

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.run_micropython import ROOT

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


def test_a_broker_listens(mosquitto: str) -> None:
    host, port = mosquitto.removeprefix("mqtt://").split(":")
    with socket.create_connection((host, int(port)), 5) as link:
        link.sendall(bytes.fromhex("100d00044d5154540402003c000161"))  # CONNECT, client "a"
        assert link.recv(4) == bytes.fromhex("20020000")


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_an_empty_database(postgres: str, turn: int) -> None:
    from sqlalchemy import create_engine, text

    engine = create_engine(postgres)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE beds (name TEXT)"))
        assert connection.execute(text("SELECT count(*) FROM beds")).scalar() == 0
    engine.dispose()


def test_a_browser_runs_a_page(browser: "Chrome") -> None:
    browser.get("data:text/html,<body onload='document.title = 6 * 7'>")
    assert browser.title == "42"


@pytest.mark.parametrize(
    ("wanted", "code", "said"),
    [
        ("", 0, "NOT TESTED: 1 tests need mosquitto; apt-get install mosquitto"),
        ("mosquitto", 1, "mosquitto is missing: apt-get install mosquitto (VITALKEEP_REQUIRE"),
        ("mosquito", 4, "VITALKEEP_REQUIRE names mosquito"),
    ],
)
def test_a_missing_service_is_loud(wanted: str, code: int, said: str) -> None:
    hide = "import sys; import tests.support.needs as needs, pytest\n"
    hide += "needs.NEEDS['mosquitto'] = needs.Need(lambda: None, 'apt-get install mosquitto')\n"
    hide += "sys.exit(pytest.main(sys.argv[1:]))\n"
    done = subprocess.run(
        [sys.executable, "-c", hide, "-q", "tests/test_needs.py::test_a_broker_listens"],
        cwd=ROOT,
        env=dict(os.environ, VITALKEEP_REQUIRE=wanted),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stdout + done.stderr
