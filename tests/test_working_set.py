"""What the log keeps in memory on the 32 bits of a board, without its code."""

import json
import subprocess

import pytest

from tests.run_micropython import ROOT, wasm32

_LIMIT = 12 * 1024  # of the 100 KB that a board has for everything
_FILE = ROOT / "tests" / "micropython32" / "working_set.py"
_MIB = 256  # sectors


@pytest.mark.micropython32
def test_the_log_of_a_mebibyte_works_in_12_kb() -> None:
    command = wasm32(_FILE)
    assert command is not None
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = json.loads(done.stdout)
    assert found["word_bits"] == 32
    assert 4096 < found[f"mounted_{_MIB}"] < found[f"at_work_{_MIB}"] <= _LIMIT, found
    # What a larger log takes more is three bytes a sector.
    more = found[f"at_work_{4 * _MIB}"] - found[f"at_work_{_MIB}"]
    assert more <= 3 * 3 * _MIB + 64, found
