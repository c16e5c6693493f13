"""The simulated oximeter's lines, in the documented shape."""

import asyncio
import os
import tty
from collections.abc import Callable

from hil.ledger import Ledger
from hil.simulators.device import Plug
from hil.simulators.line import SerialLine
from hil.simulators.masimo_set import BAUD, MasimoOximeter, compose, loose_sensor, never_off
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


def test_slow_pulse_and_missing_perfusion() -> None:
    line, said = compose(vitals(97, 41, None), AT_S)
    assert b"PI=--.--% " in line
    assert b"ALARM=0018 EXC=000800" in line
    assert (said["PR"], said["PI"]) == ("41", None)


def test_radical_7_says_more() -> None:
    line, said = compose(vitals(86, 139, 0.4), AT_S, radical_7=True)
    assert line == (
        b"03/14/26 09:26:53 SN=0000123456 SPO2=086% BPM=139 PI=00.40 SPCO=03.0% SPMET=01.1% "
        b"SPHB=12.4 SPOC=16 RESVD=--- DESAT=04 PIDELTA=+00 PVI=018 ALARM=0016 EXC=000804 "
        b"EXC1=00000000\r\n"
    )
    assert (said["SpHb"], said["SpCO"], said["PVI"], said["DESAT"]) == ("12.4", "3.0", "18", "4")
    _, said = compose(vitals(None, 70, 1), AT_S, radical_7=True)
    assert set(said.values()) == {None}


def oximeter(line: SerialLine, is_off: Callable[[float], bool]) -> tuple[MasimoOximeter, Ledger]:
    ledger = Ledger()
    plug = Plug(line, lambda: vitals(97, 70, 2), ledger, "bed-1", "oximeter")
    return MasimoOximeter(plug, is_off), ledger


def test_pulse_is_searched_for_when_the_sensor_is_back() -> None:
    device, _ = oximeter(SerialLine(0, BAUD), lambda t_s: t_s == 1)
    lines = [device.line_at(second, AT_S)[0] for second in range(7)]
    assert [line[-4:-2] for line in lines] == [b"00", b"20", b"08", b"08", b"08", b"00", b"00"]
    assert [b"SPO2=097" in line for line in lines] == [
        True,
        False,
        False,
        False,
        False,
        True,
        True,
    ]


def test_loose_sensor_is_off_now_and_then_and_always_at_the_same_times() -> None:
    is_off = loose_sensor(1)
    off = [second for second in range(3600) if is_off(second)]
    assert 20 < len(off) < 400
    assert off == [second for second in range(3600) if loose_sensor(1)(second)]


def test_lines_come_once_a_second_and_stand_in_the_ledger() -> None:
    async def story() -> None:
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        device, ledger = oximeter(SerialLine(master, BAUD), never_off)
        os.write(slave, bytes(range(256)))  # what a gateway may say by mistake
        task = asyncio.create_task(device.run())
        await asyncio.sleep(1.6)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        heard = os.read(slave, 4096)
        assert heard.count(b"\r\n") == 2 == len(ledger.rows("bed-1")[("oximeter", 0)])
        os.close(master)
        os.close(slave)

    asyncio.run(story())
