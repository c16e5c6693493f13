"""What a run takes of the heap on its way from flash to the socket, and the uplink as a whole."""

import asyncio
import importlib
import tempfile
from pathlib import Path

from bridge.core.wire import RUN_BYTES_MAX
from hil.bench.figures import Figure
from hil.bench.recording import model_recording
from hil.bench.runner import Runner
from hil.bench.uplink.plan import Measuring


async def measure(measuring: Measuring) -> None:
    """Add uplink.allocations_per_run, uplink.copied_bytes_per_run and uplink.heap_bytes."""
    measuring.tell("memory on MicroPython")
    recording = model_recording(measuring.plan.seed)
    with tempfile.TemporaryDirectory(prefix="vitalkeep-bench-") as folder:
        found = await asyncio.to_thread(Runner(Path(folder)).run, "runs", recording)
    add = measuring.report.figures.append
    name = "uplink.allocations_per_run"
    note = f"{RUN_BYTES_MAX} bytes of log; coroutines and hashes, none of it kept"
    add(Figure(name, found["long"], "B", note=note))
    copied = found["long"] - found["short"]
    add(Figure("uplink.copied_bytes_per_run", copied, "B", limit=0))
    if copied > 0 or not found["shared"]:
        measuring.report.failures.append("uplink.copied_bytes_per_run: a run is copied")
    measuring.report.figures += await asyncio.to_thread(heap_figures)


def heap_figures() -> list[Figure]:
    """Return what the whole gateway takes of a board's heap, where that can be measured."""
    try:
        heap = importlib.import_module("hil.bench.heap")
    except ImportError:
        return [Figure("uplink.heap_bytes", None, "B", note="not measured in this version")]
    figures: list[Figure] = heap.figures(heap.measure())
    return figures
