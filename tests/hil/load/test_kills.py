"""A hub killed under load, a few times; VITALKEEP_KILLS makes it many."""

import asyncio
import os

import pytest

from hil.load.kills import campaign
from hil.load.stage import POSTGRESQL, SQLITE, Setting

KILLS = int(os.environ.get("VITALKEEP_KILLS", "3"))
_KILL_S = 30  # at the very most

pytestmark = [pytest.mark.mosquitto, pytest.mark.timeout(120 + _KILL_S * KILLS)]


@pytest.mark.parametrize("store", [SQLITE, pytest.param(POSTGRESQL, marks=pytest.mark.postgres)])
def test_no_receipted_byte_is_missing_and_none_is_changed(store: str) -> None:
    verdict = asyncio.run(campaign(Setting(20, store=store), KILLS, seed=KILLS))
    assert verdict.kills == KILLS
    assert verdict.findings.missing == []
    assert verdict.findings.changed == []
    assert verdict.observations == verdict.want > 0
    assert verdict.good, verdict
    # It was under load: every gateway has sectors of each class at the site.
    assert verdict.findings.sectors >= 20 * 3
