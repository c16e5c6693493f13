"""A bed, a hub and mosquitto over mutual TLS, as `vitalkeep demo --tls` runs them."""

import asyncio
import json
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from hil.vitals import VitalsModel
from hil.ward import Ward


@pytest.mark.mosquitto
def test_values_of_a_bed_are_on_the_page_and_nothing_was_in_the_clear(tmp_path: Path) -> None:
    async def story() -> None:
        ward = Ward(
            tmp_path, lambda bed: VitalsModel(bed).sample, beds=1, page="127.0.0.1:0", tls=True
        )
        try:
            await ward.start()
            until = time.monotonic() + 30
            while not (devices := await asyncio.to_thread(shown, ward)):
                assert time.monotonic() < until
                await asyncio.sleep(0.2)
            assert "oximeter" in devices
            said = (tmp_path / "broker" / "log").read_text()
            gateway = ward.beds[0].gateway.hex()
            assert f"u'{gateway}'" in said
            assert "u'hub-demo'" in said
        finally:
            await ward.close()

    asyncio.run(story())


def shown(ward: Ward) -> list[str]:
    """Return the devices whose values the page shows."""
    with urlopen(f"{ward.page}/api/ward", timeout=5) as answer:
        beds = json.load(answer)["beds"]
    return [device["name"] for device in beds[0]["devices"] if device["values"]]
