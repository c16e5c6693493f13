"""A hub whose broker goes says that it is cut off, and by what; and when it is no longer."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.hub_process import HubProcess
from tests.support.mosquitto import mosquitto_broker
from tests.support.processes import free_port
from vitalkeep.hub.cut import BROKER_S

SOON_S = 60


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.mosquitto
def test_a_hub_without_its_broker_is_cut_off_and_says_by_what(tmp_path: Path) -> None:
    port = free_port()

    def is_cut() -> bool:
        return hub.health()["continuity"]["cut_off"]

    with HubProcess(tmp_path, "--new-vault", "--broker", f"mqtt://127.0.0.1:{port}") as hub:
        with mosquitto_broker(port):
            wait_for(lambda: hub.health()["broker"]["connected"])
            assert not is_cut()
        wait_for(is_cut)
        (evidence,) = hub.health()["continuity"]["evidence"]
        assert evidence.startswith("no broker for ")
        with mosquitto_broker(port):
            wait_for(lambda: not is_cut())
        story = [line["text"] for line in hub.get("/api/ward")["story"]]
        assert [text for text in story if "cut off" in text] == [
            f"This site is cut off: no broker for {BROKER_S:.0f} s",
            "This site is no longer cut off",
        ]
