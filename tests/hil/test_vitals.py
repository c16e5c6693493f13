"""The patients' model moves as vital signs move, and traces are replayed as they are."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from bridge.core.codes import PARAMETERS
from hil.vitals import TraceError, TraceVitals, VitalsModel

TRACES = Path(
    os.environ.get(
        "VITALKEEP_VITALS", Path(__file__).resolve().parents[3] / "shared" / "data" / "vitals"
    )
)

SANE = {
    "SpO2": (80, 100),
    "PR": (50, 130),
    "PI": (0.1, 10),
    "RR": (8, 30),
    "VT": (250, 800),
    "MV": (3, 16),
    "PIP": (8, 60),
    "PEEP": (3, 12),
    "FiO2": (21, 100),
    "Tskin": (34, 39),
}


@pytest.mark.parametrize("seed", range(8))
def test_values_stay_sane_and_agree_with_each_other(seed: int) -> None:
    model = VitalsModel(seed)
    for second in range(0, 400, 3):
        vitals = {label: value or 0 for label, value in model.sample(second).items()}
        for label, (low, high) in SANE.items():
            assert low <= vitals[label] <= high, (second, label, vitals[label])
        assert vitals["MV"] == pytest.approx(vitals["VT"] * vitals["RR"] / 1000)
        assert vitals["PEEP"] < vitals["Pmean"] < vitals["PIP"]
        assert vitals["Pplat"] < vitals["PIP"]


def test_saturation_falls_and_comes_back_and_the_pulse_answers() -> None:
    model = VitalsModel(3)
    course = [model.sample(second) for second in range(150)]
    spo2 = [vitals["SpO2"] or 0 for vitals in course]
    worst = spo2.index(min(spo2))
    assert min(spo2) < 91 < 95 < max(spo2)
    assert (course[worst]["PR"] or 0) > (course[spo2.index(max(spo2))]["PR"] or 0) + 10


def test_same_seed_is_the_same_patient() -> None:
    assert VitalsModel(5).sample(77) == VitalsModel(5).sample(77)
    assert VitalsModel(5).sample(77) != VitalsModel(6).sample(77)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    return path


def test_trace_gives_its_rows_and_starts_again(tmp_path: Path) -> None:
    path = write(tmp_path, "time_s,SpO2[%],PULSE[bpm]\n10,97,60\n11,,61\n12,95,62\n")
    trace = TraceVitals(path, VitalsModel(1).sample)
    assert [trace.sample(t)["SpO2"] for t in (0, 1, 2, 3, 4)] == [97, None, 95, 97, None]
    assert trace.sample(2.9)["PR"] == 62
    assert trace.sample(0)["VT"] == VitalsModel(1).sample(0)["VT"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1"),
        ("time,SpO2[%]\n0,1\n", "line 1"),
        ("time_s,SpO2\n0,1\n", "abbreviation"),
        ("time_s,SpO2[%]\n0,x\n", "line 2"),
        ("time_s,SpO2[%]\n0,1\n1\n", "line 3"),
        ("time_s,SpO2[%]\n1,1\n1,2\n", "forward"),
        ("time_s,SpO2[%]\n", "no rows"),
        ("time_s,Foo[1]\n0,1\n", "none of its columns"),
        ("time_s,RESP[adu]\n0,1\n", "none of its columns"),
    ],
)
def test_bad_trace_says_where(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(TraceError, match=reason):
        TraceVitals(write(tmp_path, text), VitalsModel(1).sample)


def test_recorded_traces_are_read() -> None:
    if not TRACES.is_dir():
        pytest.skip(f"no recorded traces at {TRACES}: set VITALKEEP_VITALS")
    read = 0
    for path in sorted(TRACES.glob("*_1hz.csv")):
        trace = TraceVitals(path, VitalsModel(1).sample)
        assert any(trace.sample(t) != trace.sample(t + 30) for t in range(0, 300, 30))
        read += 1
    assert read


def test_every_label_of_the_ventilator_and_oximeter_is_in_the_table() -> None:
    labels = {row[1] for row in PARAMETERS}
    configured = {"Tskin", "Warmer power", "O2 supply", "Air supply", "Vacuum"}
    assert set(VitalsModel(1).sample(0)) - configured <= labels


@pytest.mark.parametrize("seed", range(4))
def test_compliance_is_volume_by_pressure(seed: int) -> None:
    for second in range(0, 160, 7):
        vitals = {label: value or 0 for label, value in VitalsModel(seed).sample(second).items()}
        assert vitals["PEEP"] < vitals["Pplat"] < vitals["PIP"]
        assert vitals["VT"] / (vitals["Pplat"] - vitals["PEEP"]) == pytest.approx(vitals["Cdyn"])


def test_breath_does_not_jump_however_long_it_goes_on() -> None:
    model = VitalsModel(4)
    for start in (0, 149, 86_400):
        rates = [model.sample(start + tenth / 10)["HR"] or 0 for tenth in range(40)]
        assert max(abs(b - a) for a, b in pairwise(rates)) < 1
        assert max(rates) - min(rates) > 0.5


def test_temperature_drifts_slowly() -> None:
    model = VitalsModel(2)
    for second in range(0, 1000, 10):
        here, later = model.sample(second)["Temp"] or 0, model.sample(second + 10)["Temp"] or 0
        assert abs(later - here) < 0.05


def test_unit_of_a_column_is_heeded(tmp_path: Path) -> None:
    fallback = VitalsModel(1).sample
    path = write(tmp_path, "time_s,EtCO2[%],EtCO2[kPa],VT[L],PIP[cmH2O]\n0,5,4,0.48,20\n")
    vitals = TraceVitals(path, fallback).sample(0)
    assert vitals["EtCO2"] == pytest.approx(30.0, abs=0.1)
    assert vitals["VT"] == pytest.approx(480)
    assert vitals["PIP"] == pytest.approx(19.6, abs=0.1)
    with pytest.raises(TraceError, match="its unit is not %") as caught:
        TraceVitals(write(tmp_path, "time_s,SpO2[1]\n0,0.97\n"), fallback)
    assert (caught.value.line, caught.value.path.name) == (1, "trace.csv")


def test_volume_rate_and_minute_volume_stay_in_step(tmp_path: Path) -> None:
    trace = TraceVitals(write(tmp_path, "time_s,RR[/min]\n0,10\n1,\n"), VitalsModel(1).sample)
    vitals = trace.sample(0)
    assert vitals["MV"] == pytest.approx((vitals["VT"] or 0) / 100)
    assert trace.sample(1)["MV"] is None


def test_zero_of_an_unconnected_sensor_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path, "time_s,SpO2[%],PULSE[bpm],RESP[/min]\n0,0,0,0\n")
    vitals = TraceVitals(path, VitalsModel(1).sample).sample(0)
    assert (vitals["SpO2"], vitals["PR"], vitals["RR"]) == (None, None, 0)


def test_number_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="line 2: a value is not a finite number"):
        TraceVitals(write(tmp_path, "time_s,SpO2[%]\n0,nan\n"), VitalsModel(1).sample)
