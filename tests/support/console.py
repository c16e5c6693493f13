"""A provisioned virtual board with its USB console plugged in, and a site that receipts it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hil.bench.uplink import umqtt
from tests.support.site_client import GATEWAY, LOG_ID, ROOT, Bed, receipted
from vitalkeep.keys.vault import Gateway

KNOWN = Gateway(GATEWAY, "bed-1", ROOT, (LOG_ID,))
VAULT = {GATEWAY: KNOWN}

bench = partial(receipted, console=True)


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
