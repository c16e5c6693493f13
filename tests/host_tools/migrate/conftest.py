"""Stores of both kinds, and a hub's write path on each."""

from tests.host_tools.hub.conftest import database, path, store, vault  # noqa: F401
