"""What other systems recorded, as programs ask a running hub for it: never as if sealed."""

import json
import time
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from tests.support.archives import WIDE, take
from tests.support.hub_process import HubProcess
from vitalkeep.hub.store import Store


@pytest.fixture
def hub(tmp_path, vault):
    vault._write()
    with HubProcess(tmp_path) as made:
        yield made


def ask(hub, **query):
    url = f"{hub.where['http']}/api/trend/foreign?{urlencode(query)}"
    try:
        with urlopen(url, timeout=10) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.loads(error.read())


def test_series_stand_for_themselves_and_say_that_nobody_sealed_them(hub, tmp_path):
    began_ms = int(time.time() * 1000) - 3_600_000
    file = tmp_path / "bed1.csv"
    lines = [f"{began_ms + 1000 * n},{90 + n % 10},98.6,x\n" for n in range(60)]
    file.write_text("time,SpO2,Temp,note\n" + "".join(lines))
    store = Store(f"sqlite:///{tmp_path / 'hub.db'}")
    # The clock of `take` is a test's own, and later than any that the hub has.
    take(store, WIDE, file)
    store.close()
    asked = {"bed": "Bed 1", "parameter": "SpO2", "hours": 2, "points": 60}
    status, found = ask(hub, **asked)
    assert (status, found["sealed"], found["bucket_ms"]) == (200, False, 120_000)
    (series,) = found["series"]
    assert (series["system"], series["device"], series["unit"]) == ("old-cis", "monitor", "%")
    assert sum(count for *_, count in series["points"]) == 60
    assert (min(p[1] for p in series["points"]), max(p[2] for p in series["points"])) == (90, 99)
    by_code = ask(hub, **asked | {"parameter": "MDC_PULS_OXIM_SAT_O2", "to": found["to"]})
    assert by_code == (200, found)
    # The page, which shows what gateways sealed, knows nothing of it.
    assert "old-cis" not in json.dumps(hub.get("/api/ward"))
    for wrong, name in (
        ({"bed": ""}, "incomplete"),
        ({"bed": "Bed 9"}, "unknown_bed"),
        ({"parameter": "HR"}, "unknown_parameter"),
        ({"hours": 99}, "out_of_range"),
        ({"points": "x"}, "malformed"),
    ):
        assert ask(hub, **asked | wrong)[1]["error"] == name
