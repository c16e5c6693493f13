"""Recordings reach the log's terms with every digit they have."""

from pathlib import Path

import pytest

from bridge.core.codes import PARAMETERS
from hil.bench.recording import Recording, find_recording, model_recording, read_recording
from hil.errors import RigError

IDS = {(label, unit): number for number, label, _, _, unit, _ in PARAMETERS}


def write(folder: Path, text: str) -> Path:
    path = folder / "bed.csv"
    path.write_text(text)
    return path


def read(folder: Path, text: str) -> Recording:
    return read_recording(write(folder, text))


def test_values_are_integers_at_the_most_decimals_of_their_column(tmp_path: Path) -> None:
    made = read(tmp_path, "time_s,SpO2[%],Temp[degC]\n0,97,36.1\n1,,36\n2.5,98,36.25\n")
    assert made.name == "bed"
    assert [column.decimals for column in made.columns] == [0, 2]
    assert made.rows == ((97, 3610), (None, 3600), (98, 3625))
    assert made.times_s == (0, 1, 2.5)


def test_known_columns_have_the_common_tables_ids_and_others_are_spelled_out(
    tmp_path: Path,
) -> None:
    made = read(tmp_path, "time_s,PULSE[bpm],EtCO2[%],Nose[cm]\n0,60,5,7\n1,60,5,7\n")
    ids = [column.parameter for column in made.columns]
    assert ids[:2] == [IDS["PR", "/min"], IDS["EtCO2 %", "%"]]
    assert ids[2] >= 0x8000
    assert made.extras == {ids[2]: ("Nose", "cm")}


def test_no_two_columns_share_a_parameter_or_a_name(tmp_path: Path) -> None:
    made = read(tmp_path, "time_s,PR[bpm],PULSE[bpm],X[kPa],X[%]\n0,1,2,3,4\n1,1,2,3,4\n")
    assert len({column.parameter for column in made.columns}) == 4
    assert [column.label for column in made.columns] == ["PR", "PULSE", "X kPa", "X %"]


def test_text_formats_get_the_number_a_person_would_write(tmp_path: Path) -> None:
    made = read(tmp_path, "time_s,Temp[degC]\n0,36.1\n1,36.0\n")
    (column,) = made.columns
    assert [column.number(row[0] or 0) for row in made.rows] == [36.1, 36]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: want time_s"),
        ("time_s,SpO2[%]\n0,97\n", "line 1: want two rows"),
        ("time_s,SpO2\n0,97\n1,97\n", "line 1: column 'SpO2'"),
        ("time_s,SpO2[%]\n0,97\n0,97\n", "line 3: time 0 does not go forward"),
        ("time_s,SpO2[%]\n0,97\n1,high\n", "line 3: not a number"),
        ("time_s,SpO2[%]\n0,97\n1,97,1\n", "line 3: 3 fields, want 2"),
        ("time_s,SpO2[%]\n0,97\n1,NaN\n", "not a finite number"),
        ("time_s,SpO2[%]\n0,97\n1,9.1234567\n", "7 digits behind the point"),
    ],
)
def test_what_is_no_recording_is_refused_with_its_place(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RigError) as caught:
        read_recording(path)
    assert str(path) in caught.value.message
    assert reason in caught.value.message
    assert caught.value.hint


def test_model_is_the_same_for_the_same_seed_and_has_18_values() -> None:
    assert model_recording(3) == model_recording(3)
    assert model_recording(3).rows != model_recording(4).rows
    assert len(model_recording(3).columns) == 18


def test_recordings_are_found_in_the_folder_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITALKEEP_VITALS", str(tmp_path))
    assert find_recording("bed") is None
    path = write(tmp_path, "")
    assert find_recording("bed") == path
