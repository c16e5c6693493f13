"""A base station that has no broker, hears others, and keeps to its measure."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.core.airtime import make_plan
from hil.air import Air
from tests.support.processes import free_port
from tests.support.radio import RADIO, base_station, plug_driver
from vitalkeep.commands.base_station import base_station as command
from vitalkeep.errors import ToolError
from vitalkeep.hub.consume import Message
from vitalkeep.radio.station import Station

ANSWER = b"\x12" + bytes(14)


def on_air(tmp_path: Path, story: Callable[[Air, Station], Awaitable[None]]) -> None:
    async def run() -> None:
        air = Air()
        await air.start()
        async with base_station(air, tmp_path, free_port()) as station:  # where nobody listens
            await asyncio.sleep(0.1)
            await story(air, station)
        air.close()

    asyncio.run(run())


async def counted(station: Station, name: str) -> None:
    for _ in range(300):
        if station.counters[name]:
            return
        await asyncio.sleep(0.02)
    raise AssertionError((name, station.counters))


def test_strangers_and_frames_without_a_broker_are_dropped_and_counted(tmp_path: Path) -> None:
    async def story(air: Air, station: Station) -> None:
        _, other = plug_driver(air, "other")
        await other.asyncio_send(b"somebody else's")
        await counted(station, "strange")
        await other.asyncio_send(b"\x11" + bytes(40))
        await counted(station, "no_broker")
        assert station.counters["heard"] == 2

    on_air(tmp_path, story)


def test_an_answer_goes_out_once(tmp_path: Path) -> None:
    async def story(air: Air, station: Station) -> None:
        await station._take([Message("", ANSWER), Message("", ANSWER), Message("", b"long" * 9)])
        await counted(station, "answered")
        await station._take([Message("", ANSWER)])
        await asyncio.sleep(0.3)
        assert [sent.payload for sent in air.sent] == [ANSWER]
        assert station.counters["malformed"] == 1

    on_air(tmp_path, story)


def test_answers_beyond_the_duty_cycle_are_not_sent(tmp_path: Path) -> None:
    (tmp_path / "airtime").write_text(str(make_plan(RADIO).airtime_ms * 1000))

    async def story(air: Air, station: Station) -> None:
        await station._take([Message("", ANSWER)])
        await counted(station, "refused")
        assert not air.sent

    on_air(tmp_path, story)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--region", "EU868", "--khz", "868650"], "no band"),
        (["--region", "EU868"], "no broker"),
        (["--region", "EU868", "--broker", "mqtt://127.0.0.1", "--id", "xyz"], "16 hex"),
        (["--region", "EU868", "--broker", "mqtt://127.0.0.1", "--cs", "NOPIN"], "no radio here"),
    ],
)
def test_what_cannot_work_is_said(arguments: list[str], words: str, monkeypatch) -> None:
    monkeypatch.delenv("VITALKEEP_BROKER", raising=False)
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, ToolError)
    assert words in result.exception.message
    assert result.exception.hint
