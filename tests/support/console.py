"""A provisioned virtual board with its USB console plugged in, and a site that receipts it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from iotcore import Broker

from hil.bench.uplink import umqtt
from tests.support.processes import free_port
from tests.support.site_client import GATEWAY, LOG_ID, ROOT, Bed, SiteClient
from vitalkeep.keys.vault import Gateway

KNOWN = Gateway(GATEWAY, "bed-1", ROOT, (LOG_ID,))
VAULT = {GATEWAY: KNOWN}


@contextlib.asynccontextmanager
async def bench(root: Path, **config: Any) -> AsyncIterator[tuple[Bed, SiteClient]]:
    """Yield a bed whose gateway runs and is receipted, and its site."""
    broker = Broker(port=free_port())
    broker.start()
    timing = {"receipt_wait_ms": 1500, "heartbeat_ms": 500}
    bed = Bed(root, broker.port, console=True, **timing, **config)
    site = SiteClient(broker.port)
    try:
        await site.start()
        await bed.board.start()
        await site.until(lambda: site.statuses and not site.statuses[-1]["ask"])
        yield bed, site
    finally:
        await site.close()
        await bed.board.close()
        broker.stop()


@contextlib.asynccontextmanager
async def alone(root: Path, port: int, **more: Any) -> AsyncIterator[Bed]:
    """Yield a bed whose gateway runs, whatever is at its site's port."""
    bed = Bed(root, port, console=True, **more)
    try:
        await bed.board.start()
        await bed.board.wait_for("listening")
        yield bed
    finally:
        await bed.board.close()


def install_umqtt(bed: Bed) -> None:
    """Put umqtt.simple onto a board, as mip does; skips the test where nobody gives it."""
    try:
        bed.board.install(umqtt.fetch() / "umqtt")
    except umqtt.Absent as error:
        pytest.skip(f"umqtt.simple: {error}")
