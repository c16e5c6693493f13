"""The wiring doctor on lines of every protocol: right, or not sure; never surely wrong."""

import random

import pytest

from bridge.core.protocols import PROTOCOLS
from hil.bench.doctor import NAMES, Count, count
from hil.simulators import setting_of
from hil.simulators.waveform import inverted, joined, transmit
from hil.wires import Wire, signal_of
from tests.support.traffic import traffic
from vitalkeep.doctor.diagnose import SURE, UNKNOWN, diagnose, scan
from vitalkeep.doctor.recognise import CANDIDATES
from vitalkeep.doctor.recording import Recording
from vitalkeep.doctor.setting import Setting

# A configured pattern has no look of its own, and a contact is no serial line.
NAMED = sorted(set(PROTOCOLS) - {"line_template", "nurse_call"})

RIGHT: list[Count] = []


def test_every_protocol_with_a_look_of_its_own_is_a_candidate() -> None:
    assert sorted({candidate.name for candidate in CANDIDATES}) == NAMED == list(NAMES)


@pytest.mark.parametrize("name", NAMED)
def test_it_is_named_within_ten_seconds_of_traffic_and_never_surely_wrong(name: str) -> None:
    found = count(name, 1)
    assert found.listened.right >= 3
    assert found.scanned.wrong == found.crossed.wrong == found.other_speeds.wrong == 0
    assert found.listened.wrong == 0
    RIGHT.append(found.listened)


def test_nineteen_of_twenty_are_named() -> None:
    right, asked = sum(one.right for one in RIGHT), sum(one.asked for one in RIGHT)
    assert right >= 0.95 * asked


def test_swapped_wires_are_named() -> None:
    found = scan(Wire(inverted(signal_of("masimo_set", 60.0))).listen, 10.0, can_invert=True)
    assert (found.verdict, found.protocol) == (SURE, "masimo_set")
    assert [finding.name for finding in found.findings] == ["inverted"]


def test_even_parity_is_told_by_the_missing_stop_bits() -> None:
    setting = setting_of("draeger_medibus")
    wire = Wire(signal_of("draeger_medibus", 11.0))
    found = diagnose([wire.listen(Setting(setting.baud), 10.0)])
    assert found.setting == setting


def test_two_talkers_are_told_apart_from_one() -> None:
    one = signal_of("masimo_set", 11.0)
    # At the same speed, in the pauses of the first.
    frames = traffic("modbus_rtu", 15.0).sent
    other = transmit(frames, Setting(9600))
    both = Wire(joined(one, other)).listen(Setting(9600), 10.0)
    found = diagnose([both])
    assert found.verdict != SURE or "two-talkers" in [one.name for one in found.findings]
    assert {found.protocol, *found.others} >= {"masimo_set"}


def test_an_echo_is_told() -> None:
    request = b"\x0a\x03\x00\x00\x00\x02\xc5\x70"
    recording = Recording(Setting(9600), 5.0, [(1.0, request * 3)], sent=request * 3)
    recording.setting = Setting(9600)
    found = diagnose([recording])
    names = [finding.name for finding in found.findings]
    assert "echo" in names


def test_silence_and_a_low_line_are_told() -> None:
    found = diagnose([Recording(Setting(9600), 5.0)])
    assert (found.verdict, found.findings[0].name) == (UNKNOWN, "silent")
    found = diagnose([Recording(Setting(9600), 5.0, idle=0)])
    assert found.findings[0].name == "idle-level"
    found = diagnose([Recording(Setting(9600), 5.0, [(1.0, bytes(50))], framing_errors=50)])
    assert found.findings[0].name == "held-low"


def test_garbage_and_foreign_text_are_never_sure() -> None:
    draw = random.Random(5)
    for _ in range(20):
        found = diagnose([Recording(Setting(9600), 10.0, [(1.0, draw.randbytes(4000))])])
        assert found.verdict == UNKNOWN, found
    text = b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n" * 40
    found = diagnose([Recording(Setting(9600), 10.0, [(1.0, text)])])
    assert found.verdict == UNKNOWN
    assert found.findings[0].name == "text"


def test_a_wrong_speed_alone_is_told() -> None:
    wire = Wire(signal_of("masimo_set", 11.0))
    found = diagnose([wire.listen(Setting(19200), 10.0)])
    assert found.verdict == UNKNOWN
    assert found.findings[0].name == "wrong-setting"


def test_a_frame_that_is_cut_at_either_end_is_no_noise() -> None:
    data = b"".join(piece for _, piece in traffic("ge_s5").sent)
    found = diagnose([Recording(setting_of("ge_s5"), 10.0, [(1.0, data[400:6000])])])
    assert found.protocol == "ge_s5"
    assert "noise" not in [finding.name for finding in found.findings]
    spoilt = bytearray(data[:12000])
    for at in range(100, len(spoilt), 2500):
        spoilt[at : at + 4] = b"\0\xff\0\xff"
    found = diagnose([Recording(setting_of("ge_s5"), 10.0, [(1.0, bytes(spoilt))])])
    assert "noise" in [finding.name for finding in found.findings]
