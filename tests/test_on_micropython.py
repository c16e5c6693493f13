"""The core's tests hold on MicroPython as they do on CPython."""

from pathlib import Path

import pytest

from tests.run_micropython import ROOT, core_tests, micropython_tests, run_file, unix, wasm32

_FILES = micropython_tests()


def test_there_is_something_to_run() -> None:
    assert any("firmware" in file.parts for file in _FILES)
    assert any("virtual_board" in file.parts for file in _FILES)


@pytest.mark.parametrize("file", _FILES, ids=lambda file: str(file.relative_to(ROOT / "tests")))
def test_file_passes_on_micropython(file: Path) -> None:
    command = unix(file)
    assert command is not None, "no micropython command: run `make setup`"
    outcome = run_file(command)
    assert outcome.passed, outcome.output


@pytest.mark.micropython32
@pytest.mark.parametrize("file", core_tests(), ids=lambda file: file.stem)
def test_file_passes_on_32_bits(file: Path) -> None:
    command = wasm32(file)
    assert command is not None
    outcome = run_file(command)
    assert outcome.passed, outcome.output


def test_a_file_without_tests_fails(tmp_path: Path) -> None:
    empty = tmp_path / "test_empty.py"
    empty.write_text("import unittest\n\nif __name__ == '__main__':\n    unittest.main()\n")
    forgotten = tmp_path / "test_forgotten.py"
    forgotten.write_text("import unittest\n")
    for file in (empty, forgotten):
        command = unix(file)
        assert command is not None
        outcome = run_file(command)
        assert not outcome.passed
        assert "no test ran" in outcome.output


def test_failures_and_broken_subtests_are_reported(tmp_path: Path) -> None:
    file = tmp_path / "test_bad.py"
    file.write_text(
        "import unittest\n"
        "class TestBad(unittest.TestCase):\n"
        "    def test_equal(self) -> None:\n"
        "        self.assertEqual(1, 2)\n"
        "    def test_parts(self) -> None:\n"
        "        for part in range(3):\n"
        "            with self.subTest(part=part):\n"
        "                self.assertNotEqual(part, 1)\n"
        "    def test_raises(self) -> None:\n"
        "        with self.assertRaises(OSError):\n"
        "            pass\n"
        "    @unittest.skip('not here')\n"
        "    def test_skipped(self) -> None:\n"
        "        self.fail()\n"
        "    def test_good(self) -> None:\n"
        "        with self.assertRaises(ValueError) as caught:\n"
        "            int('x')\n"
        "        self.assertIsInstance(caught.exception, ValueError)\n"
        "unittest.main()\n"
    )
    command = unix(file)
    assert command is not None
    outcome = run_file(command)
    assert not outcome.passed
    assert outcome.tests == 5
    assert "1 != 2" in outcome.output
    assert "test_parts (part=1)" in outcome.output
    assert "OSError was not raised" in outcome.output
    assert "failures=3, skipped=1" in outcome.output
