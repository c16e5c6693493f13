"""A hub on replicated PostgreSQL: the primary is killed under load, and its standby promoted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.fleet import Fleet
from tests.support.hub_process import Client, HubProcess
from tests.support.postgres_pair import postgres_pair
from vitalkeep.hub.store import Store
from vitalkeep.keys.vault import Vault

SOON_S = 60
_NEW_EPOCH = "UPDATE meta SET value = decode(substr(md5(random()::text), 1, 16), 'hex')"


@pytest.mark.mosquitto
@pytest.mark.postgres
def test_nothing_that_was_receipted_is_missing_at_the_standby(
    tmp_path: Path, mosquitto: str
) -> None:
    vault = Vault.create(tmp_path / "vault")
    host, port = mosquitto.removeprefix("mqtt://").split(":")
    fleet = Fleet(4, vault, lambda name: Client(host, int(port), name))
    arguments = ("--vault", str(tmp_path / "vault"), "--broker", mosquitto)
    with postgres_pair() as pair:
        with HubProcess(tmp_path, *arguments, "--database", pair.url) as hub:
            until = time.monotonic() + 3
            fleet.serve(lambda: time.monotonic() > until, SOON_S, every_s=0.05)
            epoch = hub.health()["store"]["epoch"]
            killed_s = time.monotonic()
            pair.fail_over()
            promoted_s = time.monotonic()

            def all_heard() -> bool:
                return all(m.heard_s > promoted_s + 1 for m in fleet.members)

            fleet.serve(all_heard, SOON_S, every_s=0.05)
            fleet.serve(fleet.settled, SOON_S)
            took_s = min(m.heard_s for m in fleet.members) - killed_s
            print(f"promoted in {promoted_s - killed_s:.1f} s, all receipted in {took_s:.1f} s")
            store = Store(pair.url)
            assert fleet.missing(store) == []
            assert hub.health()["store"]["epoch"] == epoch
        # As the guide says to do after a standby that was not synchronous.
        with store.writing() as connection:
            connection.exec_driver_sql(f"{_NEW_EPOCH} WHERE name = 'epoch'")
        with HubProcess(tmp_path, *arguments, "--database", pair.url) as hub:
            found = hub.health()["store"]["epoch"]
            assert found != epoch
            assert len(bytes.fromhex(found)) == 8
        store.close()
    fleet.close()
