"""Files into both stores: once and only once, whoever interrupts, whatever grows."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.archives import NOW_MS, ORU, WIDE, kept, oru, take
from tests.support.hub import FakeGateway
from vitalkeep.commands.migrate import migrate
from vitalkeep.errors import ToolError
from vitalkeep.hub.store import Store, StoreError, tables
from vitalkeep.keys.vault import Vault
from vitalkeep.migrate import importing
from vitalkeep.migrate.mapping import parse
from vitalkeep.migrate.verdict import unfinished_files

HOLD = """
import sys, time
from vitalkeep.hub.store import Store

store = Store(sys.argv[1])
with store.turn("old-cis"):
    print("mine", flush=True)
    time.sleep(600)
"""
HEAD = "time,SpO2,Temp,note\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "bed1.csv"
    path.write_text(HEAD + "1000,97,98.6,a\n2000,96,,b\n3000,x,98.7,c\n")
    return path


def counts(result):
    return (result.imported, result.duplicates, result.refused, result.empty)


def test_values_keep_where_they_came_from(store, file):
    assert counts(take(store, WIDE, file)) == (4, 0, 1, 1)
    assert kept(store) == [
        ("Bed 1", "SpO2", 1000, "97", 2),
        ("Bed 1", "Temp", 1000, "98.6", 2),
        ("Bed 1", "SpO2", 2000, "96", 3),
        ("Bed 1", "Temp", 3000, "98.7", 4),
    ]
    (value, *_) = store.foreign_values([row["id"] for row in store.foreign_series()], 0, 1001)
    assert (value.system, value.file) == ("old-cis", "bed1.csv")
    assert value.digest == hashlib.sha256(file.read_bytes()).digest()
    (reject,) = store.foreign_rejects("old-cis")
    assert (reject["line"], reject["column"], reject["reason"]) == (4, "SpO2", "number")
    assert reject["raw"] == "3000,x,98.7,c"
    # Nothing of it is where sealed values are.
    assert store.count("observations") == store.count("sectors") == store.count("latest") == 0
    (series, _) = store.foreign_series("old-cis", "Bed 1")
    assert store.foreign_trend(series["id"], (1000, 3000, 1)) == [(1000, 96.0, 97.0, 2)]
    assert store.foreign_trend(series["id"], (1500, 3000, 2)) == [(1500, 96.0, 96.0, 1)]


def test_again_takes_nothing_and_what_grew_is_taken(store, file):
    take(store, WIDE, file)
    again = take(store, WIDE, file)
    assert (again.unchanged, counts(again)) == (1, (0, 0, 0, 0))
    with file.open("a") as more:
        more.write("4000,95,98.8,d\n5000,9")
    grown = take(store, WIDE, file)
    assert (counts(grown), grown.rows, grown.waiting) == ((2, 0, 0, 0), 1, 1)
    assert unfinished_files(store, parse(WIDE)) == ["bed1.csv"]
    with file.open("a") as more:
        more.write("4,98.9,e\n")
    assert counts(take(store, WIDE, file)) == (2, 0, 0, 0)
    assert unfinished_files(store, parse(WIDE)) == []
    before = kept(store)
    full = take(store, WIDE, file, full=True)
    assert counts(full) == (0, 8, 1, 1)
    assert kept(store) == before
    assert before[-2:] == [("Bed 1", "SpO2", 5000, "94", 6), ("Bed 1", "Temp", 5000, "98.9", 6)]
    assert len(list(store.foreign_rejects("old-cis"))) == 1  # it was looked at again


def test_file_that_was_changed_behind_us_is_read_anew(store, file):
    take(store, WIDE, file)
    file.write_text(file.read_text().replace("2000,96", "2000,91"))
    result = take(store, WIDE, file)
    assert counts(result) == (1, 3, 1, 1)
    assert [row[3] for row in kept(store) if row[2] == 2000] == ["91", "96"]  # both are kept
    assert len(store.foreign_files()) == 2
    assert len(list(store.foreign_rejects("old-cis"))) == 2  # those of bytes that are gone stay


def test_mended_mapping_settles_what_was_refused(store, file):
    file.write_text(file.read_text() + "yesterday,9,9,x\n")
    assert take(store, WIDE.replace('"[degF]"', '"Cel"'), file).refused == 2
    result = take(store, WIDE + '\n[csv]\nmissing = ["", "x"]\n', file)
    assert result.reasons == {"time": 1}
    assert store.foreign_refused("old-cis") == {"time": 1}


def test_another_mapping_reads_the_file_again(store, file, monkeypatch):
    take(store, WIDE, file)
    moved = take(store, WIDE.replace('"Bed 1"', '"Bed 2"'), file)
    assert counts(moved) == (4, 0, 1, 1)
    assert len(list(store.foreign_rejects("old-cis"))) == 1  # what the old one refused is settled
    monkeypatch.setattr("vitalkeep.hub.store.foreign._AT_ONCE", 1)
    assert store.foreign_forget("old-cis") == 8
    assert kept(store) == store.foreign_files() == list(store.foreign_rejects("old-cis")) == []


def test_mapping_that_was_mended_settles_what_was_refused_though_its_run_was_killed(
    store, tmp_path, monkeypatch
):
    path = tmp_path / "bed1.csv"
    path.write_text(HEAD + "".join(f"{n},{n % 100},x,a\n" for n in range(30)))
    assert take(store, WIDE, path).refused == 30
    monkeypatch.setattr(importing, "_ROWS_AT_ONCE", 10)
    real = Store.foreign_take
    calls = []

    def dies(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise StoreError("killed")
        return real(self, *arguments)

    monkeypatch.setattr(Store, "foreign_take", dies)
    mended = WIDE + '\n[csv]\nmissing = ["x"]\n'
    with pytest.raises(StoreError):
        take(store, mended, path)
    assert take(store, mended, path).empty == 20
    assert store.foreign_refused("old-cis") == {}


def test_files_of_a_system_that_was_half_forgotten_are_read_anew(store, file, monkeypatch):
    take(store, WIDE, file)
    before = kept(store)
    monkeypatch.setattr("vitalkeep.hub.store.foreign._AT_ONCE", 1)
    real = Store.writing
    calls = []

    def dies(self):
        calls.append(1)
        if len(calls) == 3:
            raise StoreError("killed")
        return real(self)

    monkeypatch.setattr(Store, "writing", dies)
    with pytest.raises(StoreError):
        store.foreign_forget("old-cis")
    monkeypatch.undo()
    left = len(kept(store))
    assert left < len(before)
    assert unfinished_files(store, parse(WIDE)) == ["bed1.csv"]
    assert take(store, WIDE, file).imported == len(before) - left
    assert kept(store) == before


@contextlib.contextmanager
def dying(monkeypatch, killed_at):
    """Have a run die as it stores for the time `killed_at`."""
    real = Store.foreign_take
    calls = []

    def dies(self, *arguments):
        calls.append(1)
        if len(calls) == killed_at:
            raise StoreError("killed")
        return real(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "foreign_take", dies)
        yield


@pytest.mark.parametrize("killed_at", [1, 2, 3, 4])
def test_killed_run_is_gone_on_with(store, tmp_path, monkeypatch, killed_at):
    path = tmp_path / "bed1.csv"
    lines = [f"{n * 1000},{n % 100},{'x' if n % 7 == 0 else n},a\n" for n in range(30)]
    path.write_text(HEAD + "".join(lines))
    monkeypatch.setattr(importing, "_ROWS_AT_ONCE", 10)
    with dying(monkeypatch, killed_at), pytest.raises(StoreError):
        take(store, WIDE, path)
    done = kept(store)
    assert len({row[2] for row in done}) == 10 * (killed_at - 1)
    rest = take(store, WIDE, path)
    assert rest.rows == 30 - 10 * (killed_at - 1)
    assert rest.duplicates == 0
    assert len(kept(store)) == 55
    (row,) = store.foreign_files()
    assert (row["rows"], row["imported"], row["refused"], row["done_ms"]) == (30, 55, 5, NOW_MS)
    assert len(list(store.foreign_rejects("old-cis"))) == 5


def test_full_disk_loses_nothing(tmp_path, file):
    made = Store(f"sqlite:///{tmp_path / 'small.db'}")
    made.open()
    with made.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    made.writer.dispose()

    def limit(connection, _record):
        connection.execute(f"PRAGMA max_page_count={pages + 1}")

    sa.event.listen(made.writer, "connect", limit)
    file.write_text(HEAD + "".join(f"{n},{n},{n},a\n" for n in range(9000)))
    with pytest.raises(StoreError, match="full"):
        take(made, WIDE, file)
    sa.event.remove(made.writer, "connect", limit)
    made.writer.dispose()
    assert take(made, WIDE, file).imported == 18_000
    made.close()


def test_messages_that_go_on_are_taken_once(store, tmp_path):
    spo2 = "NM|150456^^MDC||97|%|||||F|||2026010203040{}+0000"
    path = tmp_path / "ward.hl7"
    path.write_bytes(oru(spo2.format(1)))
    assert counts(take(store, ORU, path)) == (1, 0, 0, 0)
    assert take(store, ORU, path).unchanged == 1
    path.write_bytes(oru(spo2.format(1), spo2.format(2)) + oru(spo2.format(3)))
    assert counts(take(store, ORU, path)) == (2, 1, 0, 0)
    assert len(kept(store)) == 3


@pytest.mark.parametrize("killed_at", [2, 3])
def test_run_that_was_killed_within_a_message_loses_nothing_of_it(
    store, tmp_path, monkeypatch, killed_at
):
    results = [f"NM|150456^^MDC||97|%|||||F|||20260102030{n:03}+0000" for n in range(0, 60, 2)]
    path = tmp_path / "ward.hl7"
    path.write_bytes(oru(*results[:15]) + oru(*results[15:]))
    monkeypatch.setattr(importing, "_ROWS_AT_ONCE", 4)
    with dying(monkeypatch, killed_at), pytest.raises(StoreError):
        take(store, ORU, path)
    assert take(store, ORU, path).refused == 0
    assert len(kept(store)) == 30


def test_wrong_mapping_stops_before_anything_is_stored(store, file):
    file.write_text(HEAD + "yesterday,97,98,a\n" * 2000)
    with pytest.raises(ToolError, match=r"first 1000 rows. Line 2: time: time: 'yesterday'"):
        take(store, WIDE, file)
    assert store.count("foreign_values") == store.count("foreign_rejects") == 0
    assert store.foreign_files() == []
    file.write_text(HEAD + "1000,97,98,a\n" * 2000)
    take(store, WIDE, file)
    with pytest.raises(ToolError, match="Line 2: time: time"):
        take(store, WIDE.replace("unix_ms", "iso"), file)
    assert unfinished_files(store, parse(WIDE)) == []  # by the mapping that was right


def test_file_that_changes_while_it_is_read_is_named(store, file, monkeypatch):
    digests = importing._digests

    def late(*arguments):
        found = digests(*arguments)
        file.write_text(file.read_text().replace("97", "79"))
        return found

    monkeypatch.setattr(importing, "_digests", late)
    with pytest.raises(ToolError, match="changed while it was read"):
        take(store, WIDE, file)
    monkeypatch.undo()
    assert unfinished_files(store, parse(WIDE)) == ["bed1.csv"]
    assert take(store, WIDE, file).rows == 3  # all of it, whatever was read before
    assert unfinished_files(store, parse(WIDE)) == []
    assert len(list(store.foreign_rejects("old-cis"))) == 1


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture],
          deadline=None)  # fmt: skip
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(90, 93)), max_size=20),
       st.lists(st.integers(0, 20), max_size=3))  # fmt: skip
def test_however_it_is_cut_the_same_is_kept(tmp_path, rows, cuts):
    """Runs while a file grows give what one run gives."""
    lines = [HEAD, *(f"{at},{value},,a\n" for at, value in rows)]
    (tmp_path / "hub.db").unlink(missing_ok=True)
    made = Store(f"sqlite:///{tmp_path / 'hub.db'}")
    made.open()
    path = tmp_path / "grows.csv"
    imported = duplicates = 0
    for cut in [*sorted(cuts), len(rows)]:
        path.write_text("".join(lines[: cut + 1]))
        result = take(made, WIDE, path)
        imported, duplicates = imported + result.imported, duplicates + result.duplicates
    assert imported == len(set(rows))
    assert imported + duplicates == len(rows)
    assert [(row[2], row[3]) for row in kept(made)] == sorted(
        {(at, str(value)) for at, value in rows}
    )
    with made.writing() as connection:
        for table in tables.metadata.sorted_tables:
            if table.name.startswith("foreign"):
                connection.execute(sa.delete(table))
    made.close()


def run(*arguments):
    return CliRunner().invoke(migrate, [str(argument) for argument in arguments])


def test_commands(tmp_path, file):
    vault = Vault.create(tmp_path / "vault")
    gateway = FakeGateway().vault_entry()
    vault.add_gateway(gateway.id, gateway.bed, gateway.root, gateway.logs[0])
    mapping = tmp_path / "old.toml"
    mapping.write_text(WIDE)
    where = ("--vault", vault.folder, "--data", tmp_path / "data")
    result = run("files", file, "--mapping", mapping, *where, "--json")
    assert result.exit_code == 1, result.output
    found = json.loads(result.stdout)
    assert (found["imported"], found["refused"], found["reasons"]) == (4, 1, {"number": 1})
    rejects = tmp_path / "old.rejects.jsonl"
    assert rejects.stat().st_mode & 0o777 == 0o600
    assert json.loads(rejects.read_text())["raw"] == "3000,x,98.7,c"
    result = run("files", file, "--mapping", mapping, *where)
    assert result.exit_code == 0
    assert "nothing new in 1" in result.output
    found = json.loads(run("status", *where, "--json").stdout)
    assert found["old-cis"]["values"] == 4
    assert found["old-cis"]["files"][0]["done"]
    assert "old-cis: 4 values in 2 series of 1 files, 1 refused" in run("status", *where).output
    result = run("values", "--bed", "Bed 1", "--parameter", "SpO2", *where)
    head, first, _ = result.output.splitlines()
    assert head.startswith("time,value,unit,parameter,mdc,bed,device,origin,file,sha256,line")
    assert "97,%,SpO2,MDC_PULS_OXIM_SAT_O2,Bed 1,monitor,not sealed: old-cis,bed1.csv" in first
    result = run("values", "--bed", "Bed 1", "--buckets", 1, *where)
    assert "96.0,97.0,2,%,SpO2" in result.output
    assert run("values", "--bed", "Bed 7", *where).exception.hint == "There are beds: Bed 1."
    assert "4 values" in run("forget", "old-cis", "--yes", *where).output
    assert "Nothing came" in run("status", *where).output


def test_no_byte_of_an_archive_steers_the_terminal(tmp_path, vault, file):
    mapping = tmp_path / "old.toml"
    mapping.write_text(
        WIDE.replace('value = "Bed 1"', 'column = "note"').replace('["note"]', "[]")
    )
    file.write_text(HEAD + "1000,97,98.6,\x1b[2JBed 9\n")
    where = ("--vault", vault.folder, "--data", tmp_path / "data")
    assert run("files", file, "--mapping", mapping, *where).exit_code == 0
    output = run("status", *where).output
    assert "\\x1b[2JBed 9 monitor SpO2" in output
    assert "\x1b" not in output


def test_two_runs_take_turns(store, database, vault, file, tmp_path):
    mapping = tmp_path / "old.toml"
    mapping.write_text(WIDE)
    where = ("--vault", vault.folder, "--database", database)
    other = Store(database)
    other.open()
    with other.turn("old-cis"):
        for command in (("files", file, "--mapping", mapping), ("forget", "old-cis", "--yes")):
            # What a forgotten system had is asked for first.
            take(store, WIDE, file)
            result = run(*command, *where)
            assert "another run works on old-cis" in result.exception.message
        with store.turn("old-monitors"):
            pass
    other.close()
    assert run("files", file, "--mapping", mapping, *where).exit_code == 0
    with store.turn("old-cis"), pytest.raises(ToolError), store.turn("old-cis"):
        pass
    assert "4 values" in run("forget", "old-cis", "--yes", *where).output


def test_turn_of_a_run_that_was_killed_is_free(store, database, tmp_path):
    held = subprocess.Popen(
        [sys.executable, "-c", HOLD, database], stdout=subprocess.PIPE, text=True
    )
    try:
        assert held.stdout.readline() == "mine\n"
        with pytest.raises(ToolError, match="another run works"), store.turn("old-cis"):
            pass
    finally:
        held.kill()
        held.communicate()
    until = time.monotonic() + 30  # PostgreSQL looks for who is gone in its own time
    while True:
        try:
            with store.turn("old-cis"):
                return
        except ToolError:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_two_files_of_one_name_and_none_at_all(tmp_path, file):
    (tmp_path / "more").mkdir()
    with pytest.raises(ToolError, match="there are no files"):
        importing.find_files([tmp_path / "more"])
    (tmp_path / "more" / "bed1.csv").write_text(HEAD)
    with pytest.raises(ToolError, match="two files of one name"):
        importing.find_files([file, tmp_path / "more"])
    names = [name for name, _ in importing.find_files([tmp_path])]
    assert names == ["bed1.csv", "more/bed1.csv"]
    (tmp_path / "old.toml").touch()
    assert [*names, "old.toml"] == [name for name, _ in importing.find_files([tmp_path])]
    apart = (tmp_path / "more" / ".." / "old.toml", tmp_path / "none.jsonl")
    assert names == [name for name, _ in importing.find_files([tmp_path], apart)]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "link").symlink_to(tmp_path / "more")
    with pytest.raises(ToolError, match="link: a link to a folder"):
        importing.find_files([tmp_path / "other"])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ToolError, match="neither a file nor a folder"):
        importing.find_files([tmp_path / "pipe"])


def test_file_of_a_name_that_is_no_text_is_taken(store, tmp_path):
    """As archives have it that were packed on another system."""
    path = tmp_path / os.fsdecode(b"Bett-\x84.csv")
    path.write_text(HEAD + "1000,97,98.6,a\n")
    ((name, found),) = importing.find_files([path])
    assert found == path
    digest = hashlib.sha256(WIDE.encode()).digest()
    job = importing.Import(store, parse(WIDE), WIDE, digest, lambda: NOW_MS)
    job.run(name, found)
    assert job.result.imported == 2
    assert [row["name"] for row in store.foreign_files()] == ["Bett-\\udc84.csv"]
