"""`vitalkeep bench hub`, with few gateways: its figures are there and nothing went wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hil.bench.figures import Figure, Report
from hil.bench.hub import plan, queries
from hil.bench.hub.command import measure
from hil.bench.hub.plain import PlainGateway, pack_answer
from hil.bench.hub.plan import Measuring, Plan, suffix
from hil.errors import RigError
from hil.load import shape
from hil.load.gateway import Tally
from hil.load.logs import write_log
from hil.load.replay import Replay
from hil.load.stage import POSTGRESQL, SQLITE, Setting

FEW = Plan(stores=(SQLITE,), tls=(False,), workers=(1,), seconds=1, gateways=20, outage_s=30)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_SETTLE_S", 0.5)
    monkeypatch.setattr(plan, "_WARM_S", 0.5)


def found(*parts: str) -> dict[str, Figure]:
    report = measure(replace(FEW, parts=parts), lambda text: None)
    assert report.good, report.failures
    return {figure.name: figure for figure in report.figures}


@pytest.mark.mosquitto
@pytest.mark.usefixtures("hasty")
def test_hub_flat_out_stands_beside_its_peer() -> None:
    figures = found("capacity", "peer")
    values = figures["hub.values_per_s.20gw"]
    assert values.value
    assert values.peer_value
    assert "load average" in values.note
    assert figures["hub.cpu_percent.hub.flat_out.20gw"].value


@pytest.mark.mosquitto
@pytest.mark.usefixtures("hasty")
def test_rates_and_outage_have_their_figures() -> None:
    figures = found("rates", "outage")
    for name in ("p50_ms", "p99_ms", "max_ms", "p99_ms.2x", "p99_ms.5x", "outage_caught_up_s"):
        assert figures[f"hub.{name}.20gw"].value, name
    for name in ("cpu_percent.hub", "cpu_percent.broker.5x", "memory_mb.hub.outage"):
        assert figures[f"hub.{name}.20gw"].value is not None, name
    assert (figures["hub.kept_up.20gw"].value or 0) > 0


@pytest.mark.mosquitto
@pytest.mark.usefixtures("hasty")
def test_a_part_that_breaks_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RigError("no answer", "Look.")

    monkeypatch.setattr(queries, "measure", broken)
    report = measure(replace(FEW, parts=("capacity", "queries")), lambda text: None)
    assert report.failures == ["20 gateways, sqlite, queries: no answer"]
    assert any(figure.name == "hub.values_per_s.20gw" for figure in report.figures)


def test_names_say_what_differs_from_the_plainest_site() -> None:
    assert suffix(Setting()) == "1000gw"
    assert suffix(Setting(tls=True, store=POSTGRESQL, workers=2)) == (
        "1000gw.postgresql.tls.2workers"
    )
    assert len(Plan().settings()) == 8
    assert Plan().settings()[0] == Setting()


def test_logs_last_for_the_longest_part() -> None:
    assert Plan(parts=("outage",), outage_s=600).log_s >= 600
    assert Plan(parts=("rates",), seconds=100).log_s >= 800


def test_what_cannot_be_measured_is_said() -> None:
    told: list[str] = []
    measuring = Measuring(FEW, Report({}), told.append)
    measuring.skip("this", "that")
    assert measuring.report.skipped == {"this": "that"}
    assert told == ["SKIPPED this: that"]


def test_peer_is_believed_run_by_run(tmp_path: Path) -> None:
    """A gateway of the peer's sends all of its log, and each answer stands for its own run."""
    who, tally = shape.identity(1, 1), Tally()
    (tmp_path / "log").write_bytes(write_log(who, 60))
    gateway = PlainGateway(who, Replay(tmp_path / "log"), bytes(8), tally)
    gateway.run_at(1.0, 0.0, 60_500)
    gateway.connected = True
    gateway.heartbeat(0.0)
    answered = 0
    while (run := gateway.sender.next_run()) is not None:
        cls, number, offset, count = run
        gateway.sender.sent(run, 0)
        payload = bytearray(15 + count + 8)
        payload[1:15] = who.log + number.to_bytes(4, "little") + offset.to_bytes(2, "little")
        topic = f"vk/{who.id.hex()}/log/{'ABC'[cls]}"
        to, answer = pack_answer(topic, bytes(payload))
        assert to == who.id.hex()
        gateway.receipt(answer, 5.0)
        answered += 1
    assert answered >= 3
    assert not gateway.sender.in_flight
    assert not gateway.behind
    assert tally.counts["values"] > 60 * 10
