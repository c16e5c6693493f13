"""Stores of both kinds, and a mapping for each kind of archive."""

from tests.host_tools.hub.conftest import database, store  # noqa: F401
