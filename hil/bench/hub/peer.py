"""What else would do the durable work: a consumer on paho-mqtt, and what could not be had."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.util import find_spec

from hil.bench.hub.measure import PEER, Seen, check, watch
from hil.bench.hub.plain import PlainGateway
from hil.bench.hub.plan import Measuring
from hil.board import die_with_the_rig
from hil.errors import RigError
from hil.load.process import Load
from hil.load.stage import Setting, Stage

_MODULE = "hil.bench.hub.paho_peer"
_READY_S = 20
_STOP_S = 5


@dataclass(frozen=True)
class Peer:
    """What the peer did: at the ward's rate, and flat out."""

    steady: Seen
    flat_out: Seen


async def measure(measuring: Measuring) -> Peer | None:
    """Measure the peer beside the same broker and gateways; None where it is not installed."""
    measuring.skip(
        "Telegraf", "no pip and no Debian package has it; it also acknowledges before it stores"
    )
    measuring.skip(
        "ThingsBoard IoT gateway", "it forwards to a ThingsBoard server, which is not at hand"
    )
    if find_spec("paho") is None:
        measuring.skip(PEER, "pip install paho-mqtt")
        return None
    plan = measuring.plan
    measuring.tell(f"{plan.gateways} gateways, {PEER}")
    setting = Setting(plan.gateways, plan.seed, workers=0)
    async with Stage(setting, await measuring.logs()) as stage, _consumer(stage) as pid:
        load = stage.make_load(PlainGateway)
        try:
            await load.start()
            await stage.all_up(load)
            return await _watch(measuring, stage, load, pid)
        finally:
            await load.close()


async def _watch(measuring: Measuring, stage: Stage, load: Load, pid: int) -> Peer:
    found, plan = [], measuring.plan
    # In this order: what it may be left behind with at the ward's rate is not part of the other.
    for speed, label in ((None, "flat out"), (plan.speed, "at the ward's rate")):
        await load.speed(speed)
        await measuring.settled()
        seen = await watch(load, {**stage.pids(), "peer": pid}, measuring.plan.seconds)
        check(measuring.report, f"peer {label}", seen)
        measuring.tell(f"  {label}: {seen.values_per_s:,.0f} values a second")
        found.append(seen)
    return Peer(flat_out=found[0], steady=found[1])


@contextlib.asynccontextmanager
async def _consumer(stage: Stage) -> AsyncIterator[int]:
    command = [
        sys.executable,
        "-m",
        _MODULE,
        str(stage.broker.port),
        str(stage.folder / "peer.db"),
    ]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=die_with_the_rig,
    )
    try:
        assert process.stdout is not None
        line = b""
        with contextlib.suppress(asyncio.TimeoutError):
            line = await asyncio.wait_for(process.stdout.readline(), _READY_S)
        if not line:
            raise RigError("bench: the peer did not start.", "Its words are above.")
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_S)
            except asyncio.TimeoutError:
                process.kill()
                await process.wait()
