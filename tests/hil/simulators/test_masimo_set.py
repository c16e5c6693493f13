"""The simulated oximeter's lines, in the documented shape."""

from hil.simulators.masimo_set import compose
from hil.vitals import Vitals, VitalsModel

AT_S = 1773480413.0  # 14 March 2026, 09:26:53


def vitals(spo2: float | None, pulse: float | None, pi: float | None) -> Vitals:
    return VitalsModel(1).sample(0) | {"SpO2": spo2, "PR": pulse, "PI": pi}


def test_normal_line() -> None:
    line, said = compose(vitals(97.2, 68.4, 2.351), AT_S)
    assert line == (
        b"03/14/26 09:26:53 SN=0000123456 SPO2=097% BPM=068 PI=02.35% "
        b"DESAT=00 PIDELTA=+00 ALARM=0000 EXC=000800\r\n"
    )
    assert (said["SpO2"], said["PR"], said["PI"]) == ("97", "68", "2.35")


def test_sensor_off_is_dashes_and_no_value() -> None:
    line, said = compose(vitals(None, None, None), AT_S)
    assert b"SPO2=---% BPM=---% PI=--.--%" in line
    assert line.endswith(b"EXC=000820\r\n")
    assert set(said.values()) == {None}


def test_limits_raise_alarm_bits_and_low_perfusion_is_told() -> None:
    line, _ = compose(vitals(86, 139, 0.4), AT_S)
    assert b"ALARM=0016 EXC=000804" in line
