"""Fixtures for all tests, and a loud word about what could not be tested here."""

import pytest

from tests.support.browser import _browser_session, browser
from tests.support.mosquitto import mosquitto
from tests.support.needs import NEEDS, required
from tests.support.postgres import _postgres_server, databases, postgres
from tests.support.softhsm import _softhsm_module, softhsm

__all__ = [
    "_browser_session",
    "_postgres_server",
    "_softhsm_module",
    "browser",
    "databases",
    "mosquitto",
    "postgres",
    "softhsm",
]

_not_run: dict[str, int] = {}


def pytest_configure(config: pytest.Config) -> None:
    unknown = required() - set(NEEDS)
    if unknown:
        names = ", ".join(sorted(unknown))
        raise pytest.UsageError(
            f"VITALKEEP_REQUIRE names {names}; there are {', '.join(sorted(NEEDS))}"
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that asks for a service's fixture: one word in one place is enough."""
    for item in items:
        for name in NEEDS:
            if name in getattr(item, "fixturenames", ()):
                item.add_marker(name)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for name, need in NEEDS.items():
        if item.get_closest_marker(name) is None or need.find() is not None:
            continue
        reason = f"{name} is missing: {need.remedy}"
        if name in required():
            pytest.fail(f"{reason} (VITALKEEP_REQUIRE asks for it)", pytrace=False)
        _not_run[name] = _not_run.get(name, 0) + 1
        pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, count in sorted(_not_run.items()):
        terminalreporter.write_line(
            f"NOT TESTED: {count} tests need {name}; {NEEDS[name].remedy}", yellow=True, bold=True
        )
