"""A hub with a full store on each engine, and a bucket of each kind."""

import pytest

from tests.host_tools.hub.conftest import database, path, store, vault  # noqa: F401
from tests.support.archive import Bench, s3_server  # noqa: F401


@pytest.fixture
def bench(path, store, vault, tmp_path):  # noqa: F811
    """Return a site with a store, a gateway that talks to it, and a bucket in a folder."""
    (tmp_path / "bucket").mkdir()
    made = Bench(path, store, vault, f"file://{tmp_path}/bucket")
    yield made
    made.close()
