"""The fuzzing campaign: it sees what gets through, and a checksum lets nothing through."""

import json

from click.testing import CliRunner

from hil.commands.fuzz import fuzz_command
from hil.fuzz import fuzz

# A check of 16 bits, or as much in several fields: what passes is one in tens of thousands.
STRONG = ("alaris_asena", "modbus_rtu", "philips_intellivue", "bbraun_bcc")
# A sum, in which changes can cancel: at most what eight bits let through.
SUMS = ("aspect_bis", "graseby_3400")


def test_strong_checks_let_nothing_through() -> None:
    for name in STRONG:
        outcome = fuzz(name, 3000, 30000, 1)
        assert outcome.frames >= 3000
        assert outcome.random_values == 0
        assert outcome.values > 30
        assert outcome.false_values == 0
        assert outcome.damaged_bytes > 30000


def test_sums_let_no_more_through_than_their_width() -> None:
    for name in SUMS:
        outcome = fuzz(name, 3000, 3000, 1)
        assert outcome.values > 30
        assert outcome.false_values <= outcome.frames / 256


def test_it_sees_what_gets_through_where_there_is_no_check() -> None:
    assert fuzz("mindray_pds", 4000, 0, 1).false_values > 0


def test_the_same_seed_gives_the_same_outcome() -> None:
    assert fuzz("masimo_set", 500, 1000, 7) == fuzz("masimo_set", 500, 1000, 7)
    assert fuzz("masimo_set", 500, 1000, 7) != fuzz("masimo_set", 500, 1000, 8)


def test_the_command_tells_each_protocol() -> None:
    arguments = ["--protocol", "nonin", "--protocol", "astm", "--frames", "100", "--json"]
    result = CliRunner().invoke(fuzz_command, [*arguments, "--random-bytes", "1000"])
    assert result.exit_code == 0
    found = {json.loads(line)["protocol"] for line in result.stdout.splitlines()}
    assert found == {"nonin", "astm"}
