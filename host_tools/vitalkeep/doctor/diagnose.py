"""From recordings of one line to one answer: the protocol, the port, what is wrong, how surely.

A name is given as sure only when the bytes prove it: enough of them are in good frames, the frames
weigh enough bits, and no other protocol explains nearly as much. Everything else is "likely", with
the runners-up, or "unknown", with what the bytes look like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from vitalkeep.doctor.recognise import Fit, fits, fits_by_bursts
from vitalkeep.doctor.recording import Recording
from vitalkeep.doctor.setting import Setting

SURE, LIKELY, UNKNOWN = "sure", "likely", "unknown"

# One in 2**40 recordings of chance, and one in 2**16.
_SURE_BITS = 40
_LIKELY_BITS = 16
_SURE_COVERAGE = 0.6
_LIKELY_COVERAGE = 0.2  # or less, with as many bits as make it sure
_LEAST_COVERAGE = 0.03
_LEAD = 1.5  # how much more than the second the first must explain
_DAMAGE = 0.03  # of the bytes: less is not worth a word
_PRINTABLE = 0.97
_ERRORS = 0.02  # of characters: more is not the odd disturbance
_TWO_TALKERS = 0.1
_BREAKS = 0.9
_SECOND_LOOKS = 2

# By popularity, so that the first minute of a scan finds most devices in its first seconds.
BAUDS = (9600, 19200, 115200, 38400, 4800, 2400, 1200, 57600)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or remarkable: its name, and what to do."""

    name: str
    text: str


@dataclass
class Diagnosis:
    """The answer.

    verdict   sure, likely or unknown
    protocol  "" when unknown
    options   what the driver must be told
    setting   of the UART that heard it best
    coverage  part of the bytes that is explained, 0 to 1
    evidence  in bits
    others    protocols that explain some of it too
    """

    verdict: str
    protocol: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    setting: Setting | None = None
    coverage: float = 0.0
    evidence: int = 0
    others: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "verdict": self.verdict,
            "protocol": self.protocol or None,
            "options": self.options,
            "setting": None if self.setting is None else str(self.setting),
            "coverage": round(self.coverage, 3),
            "evidence_bits": self.evidence,
            "others": self.others,
            "findings": [{"name": one.name, "text": one.text} for one in self.findings],
        }


def scan(
    listen: Callable[[Setting, float], Recording], seconds: float = 30.0, can_invert: bool = False
) -> Diagnosis:
    """Listen at one setting after the other until one is sure.

    The first half of the time goes to all speeds, the second to those that heard most and stumbled
    least.

    listen      listen(setting, seconds) returns a Recording
    seconds     to spend in all
    can_invert  whether `listen` can turn the levels round
    """
    window_s = seconds / 2 / len(BAUDS)
    recordings: list[Recording] = []

    def is_sure(setting: Setting, for_s: float) -> Diagnosis | None:
        recording = listen(setting, for_s)
        recordings.append(recording)
        found = diagnose([recording])
        return found if found.verdict == SURE else None

    for baud in BAUDS:
        found = is_sure(Setting(baud), window_s)
        if found is None and can_invert and _looks_inverted(recordings[-1]):
            found = is_sure(Setting(baud, inverted=True), window_s)
        if found is not None:
            return found
    promising = sorted(recordings, key=_promise, reverse=True)[:_SECOND_LOOKS]
    for recording in promising:
        found = is_sure(recording.setting, seconds / 2 / _SECOND_LOOKS)
        if found is not None:
            return found
    return diagnose(recordings)


def _promise(recording: Recording) -> tuple[bool, float, float]:
    """Return how much a second look may show: something likely, many bytes, few errors."""
    data = recording.data
    if not data:
        return False, 0.0, 0.0
    found = diagnose([recording])
    clean = 1 - (recording.framing_errors or 0) / len(data)
    return found.verdict != UNKNOWN, found.coverage, clean


def diagnose(recordings: Iterable[Recording]) -> Diagnosis:
    """Return what the recordings of one line say."""
    best: Diagnosis | None = None
    everything = list(recordings)
    for recording in everything:
        for variant in _variants(recording):
            found = _of_one(variant)
            if best is None or _rank(found) > _rank(best):
                best = found
    if best is None or best.verdict == UNKNOWN:
        return Diagnosis(UNKNOWN, findings=_why_not(everything))
    return best


def _rank(found: Diagnosis) -> tuple[int, float, int]:
    order = (UNKNOWN, LIKELY, SURE).index(found.verdict)
    return order, found.coverage, found.evidence


def _variants(recording: Recording) -> list[Recording]:
    """Return the recording as it is and, where bit 7 is a parity bit, without it."""
    setting, data = recording.setting, recording.data
    if setting.bits != 8 or setting.parity != "N" or len(data) < 16:
        return [recording]
    odd = sum(byte.bit_count() & 1 for byte in data) / len(data)
    if 0.05 < odd < 0.95 or not any(byte & 0x80 for byte in data):
        return [recording]
    stripped = [(at_s, bytes(byte & 0x7F for byte in piece)) for at_s, piece in recording.heard]
    parity = "E" if odd < 0.5 else "O"
    return [
        recording,
        replace(recording, setting=replace(setting, bits=7, parity=parity), heard=stripped),
    ]


def _of_one(recording: Recording) -> Diagnosis:
    found = _judge(recording, fits(recording))
    if found.verdict == SURE or len(recording.heard) < 2:
        return found
    # Of several talkers each one's bytes spoil the other's frames, save where pauses part them.
    apart = _judge(recording, fits_by_bursts(recording))
    return apart if _rank(apart) > _rank(found) else found


def _judge(recording: Recording, found: list[Fit]) -> Diagnosis:
    best = found[0]
    others = [
        fit
        for fit in found[1:]
        if fit.evidence >= _LIKELY_BITS and fit.candidate.name != best.candidate.name
    ]
    verdict = UNKNOWN
    enough = _LIKELY_COVERAGE if best.evidence < _SURE_BITS else _LEAST_COVERAGE
    enough = max(enough, best.candidate.least)
    if best.evidence >= _LIKELY_BITS and best.coverage >= enough:
        verdict = LIKELY
        leads = not others or best.good >= _LEAD * others[0].good
        if best.evidence >= _SURE_BITS and best.coverage >= _SURE_COVERAGE and leads:
            verdict = SURE
    diagnosis = Diagnosis(
        verdict,
        best.candidate.name,
        best.candidate.options,
        _with_parity(recording, best),
        best.coverage,
        best.evidence,
        [fit.candidate.name for fit in others],
    )
    diagnosis.findings = _remarks(diagnosis, recording, best, others[0] if others else None)
    return diagnosis


def _with_parity(recording: Recording, best: Fit) -> Setting:
    """Return the setting, with the parity that framing errors of an 8N1 UART betray."""
    setting = recording.setting
    if recording.framing_errors and setting.parity == "N" and setting.bits == 8:
        # Read as 8N1, a parity bit of 0 stands where the stop bit should be.
        for text in best.candidate.ports:
            port = Setting.parse(text)
            if port.baud == setting.baud and port.parity != "N" and port.bits == 8:
                expected = _parity_zeros(recording.data, port.parity)
                if abs(expected - recording.framing_errors) <= 2 + 0.1 * expected:
                    return replace(setting, parity=port.parity)
    return setting


def _parity_zeros(data: bytes, parity: str) -> int:
    """Return how many of the bytes have a parity bit of 0."""
    odd = sum(byte.bit_count() & 1 for byte in data)
    return odd if parity == "O" else len(data) - odd


def _remarks(
    found: Diagnosis, recording: Recording, best: Fit, second: Fit | None
) -> list[Finding]:
    findings: list[Finding] = []
    if found.verdict == UNKNOWN:
        return findings
    setting = recording.setting
    if setting.inverted:
        text = "The signal is upside down: swap A and B, or take the inverter out (or put it in)."
        findings.append(Finding("inverted", text))
    if recording.sent and recording.data.startswith(recording.sent):
        text = "What is sent comes back: normal on two-wire RS485, else TX and RX touch."
        findings.append(Finding("echo", text))
    if (
        second is not None
        and second.evidence >= _SURE_BITS
        and second.coverage >= _TWO_TALKERS
        and found.coverage + second.coverage <= 1.05
    ):
        text = f"Two talkers: {second.candidate.name} speaks on this line as well."
        findings.append(Finding("two-talkers", text))
    elif best.damage > _DAMAGE:
        text = f"{100 * best.damage:.0f} % of the bytes are damage: "
        text += "look at ground, shield and termination."
        findings.append(Finding("noise", text))
    return findings


def _looks_inverted(recording: Recording) -> bool:
    if recording.idle is not None:
        return recording.idle == 0
    return bool(recording.framing_errors)


def _why_not(recordings: list[Recording]) -> list[Finding]:
    """Return what the bytes look like when no protocol explains them."""
    data = b"".join(recording.data for recording in recordings)
    sent = b"".join(recording.sent for recording in recordings)
    if not data:
        text = "Nothing was heard. Is the device on, and TX not swapped with RX? "
        text += "Many devices speak only when asked: try --ask NAME."
        if any(recording.idle == 0 for recording in recordings):
            text = "Nothing was heard, and the line rests at the wrong level: swap A and B, or "
            text += "the signal is inverted, or nothing drives it."
            return [Finding("idle-level", text)]
        return [Finding("silent", text)]
    if sent and _is_echo(recordings):
        text = "Only what was sent came back: TX and RX touch, or nobody answers on the bus."
        return [Finding("echo", text)]
    if data.count(0) >= _BREAKS * len(data):
        text = "The line is held low: A and B swapped, no ground, or a device without power."
        return [Finding("held-low", text)]
    printable = sum(32 <= byte < 127 or byte in b"\r\n\t" for byte in data) / len(data)
    errors = sum(recording.framing_errors or 0 for recording in recordings)
    if len(recordings) == 1 and errors > _ERRORS * len(data):
        text = "Characters without their stop bits: the speed is wrong, or the signal is inverted."
        return [Finding("wrong-setting", text)]
    if printable > _PRINTABLE:
        text = "Lines of text of no known device: the line_template driver can be taught them."
        return [Finding("text", text)]
    text = "Bytes of no known protocol: another speed, an inverted signal, noise without ground, "
    text += "or a device that is not known."
    return [Finding("unexplained", text)]


def _is_echo(recordings: list[Recording]) -> bool:
    return all(
        recording.sent.startswith(recording.data) and recording.data
        for recording in recordings
        if recording.sent
    )
