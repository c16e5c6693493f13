"""Results in HL7 v2 files of every framing; what is none is named."""

import codecs
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.archives import ORU, UNTIL_MS, oru, rows
from vitalkeep.migrate import hl7_rows
from vitalkeep.migrate.hl7_rows import Hl7Rows
from vitalkeep.migrate.mapping import parse
from vitalkeep.migrate.readings import (
    BED,
    ENCODING,
    MALFORMED,
    NOT_A_RESULT,
    NUMBER,
    PARAMETER,
    REASONS,
    TIME,
    UNIT,
)

SPO2 = "NM|150456^MDC_PULS_OXIM_SAT_O2^MDC|1.0|97|%^percent^UCUM|||||F|||20260102040401.5+0100"
FEVER = "NM|150344^MDC_TEMP^MDC||98.6|268160^MDC_DIM_FAHR^MDC|||||F"


def told(found):
    return [
        (r.line, [(x.series.bed, x.series.label, x.at_ms, x.value) for x in r.readings],
         [(x.column, x.reason) for x in r.refusals])
        for r in found
    ]  # fmt: skip


def readings(found):
    return [reading for row in found for reading in row.readings]


def test_plain_batch_and_mllp_give_the_same():
    message = oru(SPO2, FEVER)
    wanted = readings(rows(ORU, message))
    assert [(r.series.label, r.series.unit, r.at_ms, r.value, r.decimals) for r in wanted] == [
        ("SpO2", "%", 1_767_323_041_500, 97, 0),
        ("Temp", "[degF]", 1_767_323_040_000, 986, 1),
    ]
    assert {r.series.bed for r in wanted} == {"Bed 1"}
    assert {r.series.device for r in wanted} == {"MON"}
    batch = b"FHS|^~\\&\rBHS|^~\\&\r" + message + b"BTS|1\rFTS|1\r"
    assert readings(rows(ORU, batch)) == wanted
    assert readings(rows(ORU, b"\x0b" + message + b"\x1c\r")) == wanted
    assert readings(rows(ORU, message.replace(b"\r", b"\n"))) == wanted
    lines = message.replace(b"\r", b"\r\n")
    assert told(rows(ORU, lines)) == told(rows(ORU, message))  # an editor's lines
    assert readings(rows(ORU, batch * 2)) == wanted * 2


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b"\n\r"])
def test_however_a_file_comes_in_pieces_its_lines_are_the_same(monkeypatch, end):
    data = b"\x0b" + (oru(SPO2, FEVER) * 2).replace(b"\r", end) + b"\x1c" + end
    wanted = rows(ORU, data)
    for size in (1, 2, 3):
        monkeypatch.setattr(hl7_rows, "_PIECE", size)
        assert rows(ORU, data) == wanted


@pytest.mark.parametrize(
    ("result", "column", "reason"),
    [
        (SPO2.replace("|F|", "|X|"), "OBX-11", NOT_A_RESULT),
        (SPO2.replace("|||||F", "||INV|||F"), "OBX-8", NOT_A_RESULT),
        (SPO2.replace("NM|", "ST|", 1), "OBX-2", NUMBER),
        (SPO2.replace("|97|", "|97..|"), "OBX-5", NUMBER),
        (SPO2.replace("|97|", "|97~98|"), "OBX-5", NUMBER),  # which of both nobody knows
        (SPO2.replace("|97|", "|97^98|"), "OBX-5", NUMBER),
        (SPO2.replace("%^percent^UCUM", "kPa"), "OBX-3", UNIT),
        (SPO2.replace("%^percent^UCUM", ""), "OBX-3", UNIT),
        (SPO2.replace("150456^MDC_PULS_OXIM_SAT_O2^MDC", "777^Odd"), "OBX-3", PARAMETER),
        (SPO2.replace("20260102040401.5", "soon"), "time", TIME),
    ],
)
def test_what_is_not_taken_is_named(result, column, reason):
    (row,) = rows(ORU, oru(result))
    assert told([row])[0][1:] == ([], [(column, reason)])
    assert row.raw.startswith("OBX|1|")


def test_no_value_is_empty_and_other_messages_are_named_or_skipped():
    none = [SPO2.replace("|97|", f"|{word}|") for word in ("---", "", '""', "NA")]
    assert [row.empty for row in rows(ORU, oru(*none))] == [1, 1, 1, 1]
    other = oru(SPO2, kind="ADT^A01")
    (row,) = rows(ORU, other)
    assert told([row])[0][2] == [("MSH-9", NOT_A_RESULT)]
    (row,) = rows('skip = ["ADT"]\n' + ORU, other)
    assert row.skipped == 1


def test_bed_by_field_and_name():
    mapping = ORU + '[bed]\ncolumn = "PV1-3.2"\nnames = { "2" = "ICU 2" }\n'
    assert readings(rows(mapping, oru(SPO2)))[0].series.bed == "ICU 2"
    (row,) = rows(mapping, oru(SPO2, location="ICU^3^Bed 1"))
    assert told([row])[0][2] == [("PV1-3.2", BED)]
    (row,) = rows(ORU, oru(SPO2, location=""))
    assert told([row])[0][2] == [("PV1-3.3", BED)]


def test_next_patient_of_a_message_is_not_in_the_bed_of_the_one_before():
    more = oru(SPO2).split(b"\r")[1:]  # from PID on
    both = oru(SPO2) + b"\r".join(more).replace(b"Bed 1", b"Bed 2")
    assert [r.series.bed for r in readings(rows(ORU, both))] == ["Bed 1", "Bed 2"]
    without = oru(SPO2) + b"\r".join(part for part in more if part[:3] != b"PV1")
    assert [r.series.bed for r in readings(rows(ORU, without))] == ["Bed 1"]
    assert told(rows(ORU, without))[1][2] == [("PV1-3.3", BED)]


def test_identifiers_of_its_own():
    mapping = ORU + (
        '[[parameters]]\nname = "SAT"\nparameter = "SpO2"\nunit = "%"\nwritten = "Proz"\n'
    )
    taken = readings(rows(mapping, oru("NM|SAT^Sättigung||97|Proz|||||F")))
    assert taken[0].series.label == "SpO2"
    (row,) = rows(mapping, oru("NM|SAT||97|kPa|||||F"))
    assert told([row])[0][2] == [("OBX-3", UNIT)]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("A\\T\\B \\F\\\\S\\\\R\\\\E\\", "A&B |^~\\"),
        ("\\E\\T\\E\\", "\\T\\"),
        ("\\XC3BC\\ \\Xc3\\\\XBC\\", "ü ü"),
        ("\\H\\left\\N\\ \\F\\", "left |"),
        ("\\.br\\\\Z9\\F\\C2842\\", "\\.br\\\\Z9\\F\\C2842\\"),  # another kind stays
        ("C:\\ ward \\T\\ \\", "C:\\ ward & \\"),  # and what is no sequence
    ],
)
def test_escapes_are_undone(written, meant):
    (row,) = rows(ORU, oru(SPO2, location=f"ICU^2^{written}"))
    assert row.readings[0].series.bed == meant


def test_escaped_bytes_that_are_no_text_are_named():
    (row,) = rows(ORU, oru(SPO2, location="ICU^2^\\XFC\\"))
    assert told([row])[0][2] == [("PV1-3.3", ENCODING)]
    (row,) = rows('encoding = "latin-1"\n' + ORU, oru(SPO2, location="ICU^2^\\XFC\\"))
    assert row.readings[0].series.bed == "ü"


def escaped(text, encoding, separators, spelled):
    """Write a text as a careful sender does; spelled: characters that come in hexadecimal."""
    field, component, repetition, escape, part = separators
    names = {field: "F", component: "S", repetition: "R", part: "T", escape: "E"}
    out = ""
    for character in text:
        if character < " " or character in spelled:
            out += f"{escape}X{character.encode(encoding).hex().upper()}{escape}"
        elif character in names:
            out += escape + names[character] + escape
        else:
            out += character
    return out


@given(
    st.data(),
    # Of the last, one has a byte that is a backslash elsewhere, another one that is a bar.
    st.sampled_from([("utf-8", "ä€あ"), ("cp1252", "ä€"), ("shift_jis", "表ポ")]),
    st.permutations("|^~\\&#!$*@;?").map(lambda some: some[:5]),
)
def test_a_text_that_was_escaped_is_read_back(data, writing, separators):
    encoding, letters = writing
    characters = st.characters(max_codepoint=126) | st.sampled_from([*letters, *separators])
    text, value = data.draw(st.text(characters, min_size=1)), data.draw(st.integers(0, 999))
    spelled = data.draw(st.sets(st.sampled_from(text)))
    other = str.maketrans(dict(zip("|^~\\&", separators, strict=True)))
    result = SPO2.replace("|97|", "|VALUE|")
    message = oru(result, location="ICU^2^PLACE").decode().translate(other)
    message = message.replace("PLACE", escaped(text, encoding, separators, spelled))
    message = message.replace("VALUE", escaped(str(value), encoding, separators, "0123456789"))
    (row,) = rows(f'encoding = "{encoding}"\n' + ORU, message.encode(encoding))
    if text.strip():
        assert row.readings[0].series.bed == text.strip()
        assert row.readings[0].value == value
    else:
        assert told([row])[0][2] == [("PV1-3.3", BED)]


@pytest.mark.parametrize("separators", ["|^^\\&", "|^~\\^", "||", "|"])
def test_separators_that_separate_nothing_are_named(separators):
    odd = oru(SPO2).replace(b"|^~\\&", separators.encode(), 1)
    (row,) = rows(ORU, odd)
    assert told([row])[0][2] == [("MSH", MALFORMED)]


def test_mark_at_the_beginning_is_no_part_of_the_message():
    assert readings(rows(ORU, codecs.BOM_UTF8 + oru(SPO2))) == readings(rows(ORU, oru(SPO2)))


def next_begins(data):
    """Return where a run begins after one that has read this."""
    found = Hl7Rows(parse(ORU), UNTIL_MS).rows(io.BytesIO(data), "a.hl7", (0, 0), len(data), False)
    return max((row.end for row in found if not row.is_open), default=0)


def test_message_that_nothing_ends_may_go_on():
    first, second = oru(SPO2), oru(FEVER)
    assert next_begins(first + second[:-20]) == len(first)
    assert next_begins(first + second) == len(first)
    assert next_begins(first + b"\x1c\r") == len(first) + 2
    assert next_begins(first + first + b"FTS|1\r") == 2 * len(first) + len(b"FTS|1\r")


def test_no_run_begins_within_a_message():
    found = rows(ORU, oru(SPO2, FEVER, SPO2) + oru(SPO2), whole=False)
    assert [row.is_open for row in found] == [True] * 4


def test_a_message_without_end_is_refused_before_it_fills_the_memory():
    wanted = readings(rows(ORU, oru(SPO2)))
    endless = b"MSH|^~\\&\r" + (b"NTE|1||" + b"x" * 1_000_000 + b"\r") * 18
    found = rows(ORU, oru(SPO2) + endless + oru(SPO2))
    assert readings(found) == wanted * 2
    refused = [r for row in found for r in row.refusals]
    assert any("segments or" in r.text for r in refused)
    assert {r.reason for r in refused} == {MALFORMED}
    assert max(len(row.raw) for row in found) < 10_000


def test_a_message_of_very_many_parts_is_refused_before_it_fills_the_memory():
    full = oru(SPO2 + "^" * 600_000)
    found = rows(ORU, full + oru(SPO2))
    assert [(row.line, len(row.readings)) for row in found] == [(1, 0), (10, 1)]
    assert found[0].refusals[0].text == "more than 500000 parts"


@pytest.mark.parametrize("end", [b"\r", b"\r\n"])
def test_rest_of_a_segment_that_is_too_long_is_no_segment(end):
    """Cut off at the right place it would look like one."""
    wanted = readings(rows(ORU, oru(SPO2)))
    result = b"OBX|1|" + SPO2.encode()
    for length in range((1 << 20) - 8, (1 << 20) + (1 << 17), 1 << 16):
        long = b"NTE|1||" + b"x" * length + result
        data = (oru(SPO2) + b"MSH|^~\\&\r").replace(b"\r", end) + long + end
        found = rows(ORU, data + oru(SPO2))
        assert readings(found) == wanted * 2
        assert {x.reason for row in found for x in row.refusals} == {MALFORMED}
        assert found[-1].line == 12
        # While nothing ends it, the next run looks at all of it.
        assert next_begins(data[: -len(end) - 1]) <= len(data) - len(long)


def test_a_name_of_any_length_is_no_bed():
    (row,) = rows(ORU, oru(SPO2, location="ICU^2^" + "B" * 201))
    assert told([row])[0][2] == [("PV1-3.3", BED)]
    assert len(row.refusals[0].text) < 100
    unit = "{" + "x" * 300 + "}%^percent^UCUM"
    (row,) = rows(ORU, oru(SPO2.replace("%^percent^UCUM", unit)))
    assert told([row])[0][2] == [("OBX-3", UNIT)]


def test_segments_of_no_message_are_named():
    found = rows(ORU, b"OBX|1|NM\r" + oru(SPO2))
    assert told(found)[0] == (1, [], [("", MALFORMED)])
    assert readings(found)


@given(st.lists(st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"MSH|^~\\&|", b"\rOBX|1|NM|150456||97|%\r", b"\x0b", b"\x1c\r", b"\r",
                     b"MSH|^~\\&|A|B|C|D|20260101000000||ORU^R01|1|P|2.6\r", b"PV1||I|^^Bed 1\r"]),
), max_size=12))  # fmt: skip
def test_any_bytes_are_told_and_nothing_else_happens(parts):
    data = b"".join(parts)
    for row in rows(ORU, data):
        assert all(refusal.reason in REASONS for refusal in row.refusals)
        assert row.end <= len(data)
