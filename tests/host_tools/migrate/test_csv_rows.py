"""Each cell is a reading, empty, left out on purpose, or refused: never nothing."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.archives import LONG, UNTIL_MS, WIDE, rows
from vitalkeep.errors import ToolError
from vitalkeep.migrate.readings import (
    BED,
    ENCODING,
    MALFORMED,
    NUMBER,
    PARAMETER,
    REASONS,
    TIME,
    UNIT,
)

HEAD = b"time,SpO2,Temp,note\n"


def reasons(found):
    return [(row.line, r.column, r.reason) for row in found for r in row.refusals]


def test_wide_rows():
    found = rows(WIDE, HEAD + b"1000,97,98.6,a\n2000,,---,b\r\n\n3000,x,99,c\n,97,99,d\n")
    assert [(r.line, len(r.readings), r.empty, r.skipped) for r in found] == [
        (2, 2, 0, 0), (3, 0, 2, 0), (4, 0, 1, 0), (5, 1, 0, 0), (6, 0, 0, 0),
    ]  # fmt: skip
    assert reasons(found) == [(5, "SpO2", NUMBER), (6, "time", TIME)]
    first = found[0].readings[1]
    assert (first.series.label, first.series.unit, first.at_ms) == ("Temp", "[degF]", 1000)
    assert (first.value, first.decimals) == (986, 1)
    assert found[-1].raw == ",97,99,d"


def test_long_rows_with_local_names_units_and_decimals():
    head = "date;clock;place;source;name;value;unit\n"
    text = head + (
        "01.02.2026;10:00:00;BETT04;mon;AF;16,5;1/Min\n"
        "01.02.2026;10:00:01;BETT09;mon;AF;16;1/Min\n"
        "01.02.2026;10:00:02;BETT04;mon;ZZ;16;1/Min\n"
        "01.02.2026;10:00:03;BETT04;mon;AF;16;kPa\n"
        "01.02.2026;10:00:04;BETT05;mon;XY;1,5;1\n"
    )
    found = rows(LONG, text.encode())
    assert reasons(found) == [(3, "place", BED), (4, "ZZ", PARAMETER), (5, "AF", UNIT)]
    taken = [reading for row in found for reading in row.readings]
    assert [(t.series.bed, t.series.label, t.value, t.decimals) for t in taken] == [
        ("ICU 4", "RESP", 165, 1), ("ICU 5", "XY", 15, 1),
    ]  # fmt: skip
    assert taken[0].at_ms == 1_769_936_400_000


def test_date_without_its_time_is_no_midnight():
    mapping = WIDE.replace('format = "unix_ms"', 'columns = ["date", "clock"]\nzone = "UTC"')
    head = b"date,clock,SpO2,Temp,note\n"
    found = rows(mapping, head + b"2026-02-01,,97,99,a\n 2026-02-01 , 10:00,97,99,b\n")
    assert reasons(found) == [(2, "date clock", TIME)]
    assert found[1].readings[0].at_ms == 1_769_940_000_000


def test_what_is_told_of_a_cell_is_short():
    """However long it is: indexes and reports have bounds."""
    head = b"date;clock;place;source;name;value;unit\n"
    line = "01.02.2026;10:00:00;{};mon;{};16;{}\n"
    for cells in (
        ("B" * 9000, "AF", "1/Min"),
        ("BETT04", "AF", "u" * 9000),
        ("BETT04", "n" * 9000, "1"),
    ):
        mapping = LONG.replace("names = {", "# names = {")
        (row,) = rows(mapping, head + line.format(*cells).encode())
        assert max(map(len, row.refusals[0])) < 120


def test_stray_quote_spoils_its_line_alone():
    found = rows(WIDE, HEAD + b'1000,97,99,"a\n2000,97,99,b\n3000,97\n4000,97,99,"a""b"\n')
    assert reasons(found) == [(2, "", MALFORMED), (4, "", MALFORMED)]
    assert [row.line for row in found if row.readings] == [3, 5]


def test_rest_of_a_line_that_is_too_long_is_no_row():
    """Cut off at the right place it would look like one."""
    tail = b"4000,97,98.6,a"
    long = b"1000,97,98.6," + b"x" * ((1 << 20) - 13) + tail
    text = HEAD + long + b"\n5000,96,98.6,b\n"
    for whole in (True, False):
        found = rows(WIDE, text, whole=whole)
        assert reasons(found) == [(2, "", MALFORMED)]
        assert [(r.line, r.readings[0].at_ms) for r in found if r.readings] == [(3, 5000)]
        assert found[-1].end == len(text)
    with pytest.raises(ToolError, match="bytes or more"):
        rows(WIDE, b"time," * (1 << 18) + b"x\n1,2\n")


def test_bytes_that_are_no_text_are_named_and_kept():
    found = rows(WIDE, HEAD + b"1000,97,99,M\xfcller\n2000,97,99,b\n")
    assert reasons(found) == [(2, "", ENCODING)]
    assert found[0].raw == "1000,97,99,M\\xfcller"
    latin = rows('encoding = "latin-1"' + WIDE, HEAD + b"1000,97,99,M\xfcller\n")
    assert len(latin[0].readings) == 2


def test_last_line_without_its_end_may_still_be_written():
    data = HEAD + b"1000,97,99,a\n2000,9"
    assert [row.line for row in rows(WIDE, data, whole=False)] == [2]
    assert [row.line for row in rows(WIDE, data)] == [2, 3]


def test_mark_at_the_beginning_and_lines_before_the_names():
    data = b"\xef\xbb\xbfexport of today\nx,y\n" + HEAD + b"1000,97,99,a\n"
    (row,) = rows(WIDE + "\n[csv]\nskip_lines = 2\n", data)
    assert row.line == 4
    (row,) = rows(WIDE, b"\xef\xbb\xbf" + HEAD + b"1000,97,99,a\n")
    assert len(row.readings) == 2


def test_bed_in_the_files_name():
    mapping = WIDE.replace('value = "Bed 1"', 'file = "bed-([0-9]+)"')
    (row,) = rows(mapping, HEAD + b"1000,97,99,a\n", name="x/bed-7.csv")
    assert row.readings[0].series.bed == "7"
    (row,) = rows(mapping, HEAD + b"1000,97,99,a\n", name="x.csv")
    assert reasons([row]) == [(2, "bed", BED)]


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"time,SpO2,note\n", "want one column each of 'Temp'"),
        (b"time,SpO2,Temp,Temp\n", "want one column each of 'Temp'"),
        (b"time,SpO2,Temp,note,HR\n", "says nothing of HR"),
    ],
)
def test_file_of_other_columns_is_refused_as_a_whole(head, message):
    with pytest.raises(ToolError, match=message):
        rows(WIDE, head + b"1000,97,99,a\n")


def test_line_with_the_names_may_still_be_written():
    for data in (b"", HEAD[:6]):
        assert rows(WIDE, data, whole=False) == []
        with pytest.raises(ToolError, match=r"no line with the names|want one column"):
            rows(WIDE, data)


cells = st.one_of(
    st.integers(-999, 9999).map(str),
    st.sampled_from(["", "---", "97.5", "1e2", "x", '"', "9,7", "=1", "\0"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=6),
)


@given(st.lists(st.tuples(cells, cells, cells, cells), max_size=8))
def test_every_cell_is_accounted_for(table):
    """Rows as a CSV writer makes them: two parameters each, whatever stands in the cells."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    data = HEAD + text.getvalue().encode()
    found = rows(WIDE, data)
    # Some characters end a line for people and not for a file: bytes decide.
    assert [row.line for row in found] == list(range(2, len(table) + 2))
    for row in found:
        told = len(row.readings) + len(row.refusals) + row.empty
        assert told == 2 or (told == 1 and (row.refusals or row.empty))
        assert all(refusal.reason in REASONS for refusal in row.refusals)
        assert all(0 <= reading.at_ms <= UNTIL_MS for reading in row.readings)


@given(st.binary(max_size=200))
def test_any_bytes_are_told_line_by_line(data):
    found = rows(WIDE, HEAD + data)
    assert [row.line for row in found] == list(range(2, 2 + len(list(io.BytesIO(data)))))
