"""Stores of both kinds, and a hub's write path on each."""

import pytest

from tests.support.hub import SITE_ID, FakeGateway, WritePath
from vitalkeep.hub.store import Store
from vitalkeep.keys.vault import Vault


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request, tmp_path):
    """Return an SQLAlchemy URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'hub.db'}"
    return request.getfixturevalue("postgres")


@pytest.fixture
def store(database):
    made = Store(database)
    made.open()
    yield made
    made.close()


@pytest.fixture
def vault(tmp_path):
    """Return a vault with one gateway, that of FakeGateway."""
    made = Vault.create(tmp_path / "vault")
    made.site_id = SITE_ID
    gateway = FakeGateway().vault_entry()
    made.add_gateway(gateway.id, gateway.bed, gateway.root, gateway.logs[0])
    return made


@pytest.fixture
def path(vault, store):
    made = WritePath(vault, store)
    yield made
    made.intake.close()
