"""The patients' model moves as vital signs move, and traces are replayed as they are."""

import os
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
