"""A mapping is checked whole, each mistake with its line."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.archives import LONG, ORU, WIDE
from vitalkeep.errors import ToolError
from vitalkeep.migrate import parameters, units
from vitalkeep.migrate.mapping import parse
from vitalkeep.migrate.numbers import parse_number
from vitalkeep.migrate.readings import NUMBER, Refused, Series


def test_names_codes_and_labels_lead_to_the_same_parameter():
    for name in ("MDC_PULS_OXIM_SAT_O2", "150456", "SpO2"):
        mapping = parse(WIDE.replace("MDC_PULS_OXIM_SAT_O2", name))
        series = mapping.parameters[0].series("Bed 1", "monitor")
        assert series == Series("Bed 1", "monitor", "SpO2", "MDC_PULS_OXIM_SAT_O2", "%")
        assert mapping.parameter_of(series) == mapping.parameters[0]
    own = parse(LONG).parameters[1].series("ICU 4", "x")
    assert own == Series("ICU 4", "x", "XY", "MDC_OF_ITS_OWN", "1")


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        (WIDE, "old-cis", "Old CIS", ":2: system: want a short name"),
        (WIDE, '"wide"', '"tall"', ":3: layout: want one of wide, long, hl7"),
        (WIDE, '"unix_ms"', '"unix_ms"\nzone = "Mars/Olympus"', ":8: time.zone: .*no such time"),
        (LONG, "%d.%m.%Y %H:%M:%S", "%d.%m.%Y", ":11: time.format: want year, month, day, hour"),
        (LONG, "%H:%M:%S", "%I:%M:%S", "time.format: want year"),
        (LONG, "%H:%M:%S", "%H:%M:%S %Z", "time.format: %Z is no offset"),
        (LONG, "%H:%M:%S", "%H:%M:%Q", "time.format: no directives"),
        (WIDE, 'value = "Bed 1"', "", ":9: bed: want one of column, value and file"),
        (WIDE, 'value = "Bed 1"', 'value = "x"\ncolumn = "y"', "bed: want one of column"),
        (WIDE, 'value = "Bed 1"', 'file = "bed"', "bed.file: want one group"),
        (WIDE, "MDC_PULS_OXIM_SAT_O2", "MDC_WHAT", "parameters.0..parameter: 'MDC_WHAT' is not"),
        (WIDE, 'unit = "%"', 'unit = "kPa"', "SpO2 is in % here, not in kPa"),
        (WIDE, 'name = "Temp"', 'name = "SpO2"', "'SpO2' comes twice"),
        (WIDE, 'skip = ["note"]', 'skips = []', "did you mean skip"),
        (WIDE, 'skip = ["note"]', 'encoding = "utf-16"', "encoding: want an encoding in which"),
        (LONG, 'delimiter = ";"', 'delimiter = ","', "another character than the delimiter"),
        (ORU, "hl7", 'hl7"\n[bed]\ncolumn = "place', "want a field of HL7, as PV1-3.3"),
    ],
)  # fmt: skip
def test_mistakes_are_named(text, old, new, message):
    with pytest.raises(ToolError, match=message):
        parse(text.replace(old, new, 1), "mapping.toml")


@pytest.mark.parametrize(
    "form", ["%d.%m.%y %H:%M", "%b %d %Y %I:%M:%S.%f %p", "%Y-%j %X", "%Y%m%dT%H%M%S%z", "%c"]
)
def test_formats_that_say_all_of_a_time(form):
    assert parse(LONG.replace("%d.%m.%Y %H:%M:%S", form)).time_format == form


def test_no_parameters_no_mapping():
    with pytest.raises(ToolError, match="nothing is taken"):
        parse(WIDE[: WIDE.index("[[")])


def test_units_are_converted_exactly():
    for number, unit, wanted, other in (
        (Fraction(986, 10), "[degF]", "Cel", Fraction(37)),
        (Fraction(37), "Cel", "[degF]", Fraction(986, 10)),
        (Fraction(1), "kPa", "mbar", Fraction(10)),
        (Fraction(1, 2), "L", "mL", Fraction(500)),
        (Fraction(72), "{beats}/min", "/min", Fraction(72)),
    ):
        factor, summand = units.converter(unit, wanted)
        assert number * factor + summand == other
    assert units.converter("mm[Hg]", "Cel") is None
    assert units.converter("%", "1") is None


def test_every_unit_of_the_table_is_known_to_itself_and_hl7s_are_of_the_table():
    for unit in {known.unit for known in parameters._BY_ID.values()}:
        assert units.converter(unit, unit) == (1, 0)
    for (_, unit), known in parameters._ALIASES.items():
        assert units.converter(unit, known.unit) is not None or unit == "1", (unit, known)


@given(st.integers(-(10**12), 10**12), st.integers(0, 9))
def test_numbers_are_exact(value, decimals):
    text = f"{value / 10**decimals:.{decimals}f}" if abs(value) < 10**6 else str(value)
    shown = text.replace(".", ",")
    found, places = parse_number(shown, ",")
    assert Fraction(found, 10**places) == Fraction(text)
    assert found % 10 or not places
    assert parse_number(text + ("0" if "." in text else ".0")) == (found, places)


@pytest.mark.parametrize(
    "text",
    ["", "x", "1_000", "1e999", "nan", "inf", "0x10", "1 2", "\u0661", "1" * 25, "1.0000000001"],
)
def test_what_is_no_number_is_refused(text):
    with pytest.raises(Refused) as refused:
        parse_number(text)
    assert refused.value.reason == NUMBER


def test_thousands_are_not_decimals():
    with pytest.raises(Refused):
        parse_number("1.234,5")
    with pytest.raises(Refused):
        parse_number("1.234", ",")
