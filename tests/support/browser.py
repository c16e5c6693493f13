"""A real browser that nobody sees."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.needs import find_chromium, find_program

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# A container has neither the rights for Chromium's sandbox nor a large /dev/shm.
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--window-size=1280,900",
)
_LOAD_S = 30


@pytest.fixture(scope="session")
def _browser_session(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Chrome]":
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    chromium = find_chromium()
    assert chromium is not None, "no Chromium here"
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in _OPTIONS:
        options.add_argument(option)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(find_program("chromedriver")))
    driver.set_page_load_timeout(_LOAD_S)
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def browser(_browser_session: "Chrome") -> "Iterator[Chrome]":
    """A selenium driver on an empty page; `get_log("browser")` has the page's console."""
    yield _browser_session
    _browser_session.delete_all_cookies()
    _browser_session.get("about:blank")
    _browser_session.get_log("browser")  # reading empties it for the next test
