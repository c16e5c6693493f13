"""Draeger MEDIBUS (Evita, Savina, Primus and relatives): values by polls, and curves, RS232.

    command   ESC code [argument] CK CK CR      either side may send one; one open at a time
    response  SOH code [data] CK CK CR          every command must be answered
    CK CK: sum of all bytes from ESC or SOH on, modulo 256, two upper-case hex digits

Slow bytes are 7-bit; bytes with bit 7 set are the realtime extension and may stand between any two
of them. A command of the device may stand inside its response. DC1 asks us to be quiet, DC3 to go
on: the reverse of XON/XOFF. Three seconds without a slow byte end the session. Speed and parity
are set at the device: 19200 8E1 is common, 9600 8E1 on Primus.
Source: Draeger MEDIBUS protocol definition 90 28 258 rev 4.03, intensive care devices 90 28 329.
"""

from micropython import const

from bridge.core.checks import sum8
from bridge.core.digits import hex_digit, hex_pair
from bridge.core.events import Damage, Identity
from bridge.core.options import flag, number, only
from bridge.core.protocols.medibus_alarms import ActiveAlarms, are_alarms
from bridge.core.protocols.medibus_data import (
    DATA_AT,
    MEASURED,
    SETTINGS,
    ValueReader,
    text_of,
)
from bridge.core.protocols.medibus_realtime import CHOOSE, CONFIGURE, ENABLE, Realtime
from bridge.core.rxbuf import RxBuffer

_SOH = const(0x01)
_CR = const(0x0D)
_DC1 = const(0x11)
_DC3 = const(0x13)
_NAK = const(0x15)
_CAN = const(0x18)
_ESC = const(0x1B)

_ALARMS_1 = const(0x27)
_ALARMS_2 = const(0x2E)
_NOP = const(0x30)
_ICC = const(0x51)
_IDENTITY = const(0x52)
_STOP = const(0x55)
_CURVES_CHANGED = const(0x56)

PORTS = ("19200 8E1", "9600 8E1")

# All that this driver can ever ask: reads, "I am here", and the session's start. Its end is apart.
COMMANDS = {
    0x24: b"\x1b$3F\r",  # measured data, code page 1
    0x27: b"\x1b'42\r",  # alarms, code page 1
    0x29: b"\x1b)44\r",  # settings
    0x2E: b"\x1b.49\r",  # alarms, code page 2
    0x30: b"\x1b04B\r",  # NOP
    0x51: b"\x1bQ6C\r",  # ICC, initialise communication
    0x52: b"\x1bR6D\r",  # identification
    0x53: b"\x1bS6E\r",  # what curves there are
}
_GOODBYE = b"\x1bU70\r"
_POLLS = b"$'.)"  # codes of what is asked again and again

# All that it answers: who it is, and to any other command an echo without data.
IDENTITY_ANSWER = b"\x01R0161'VITALKEEP'01.00:04.0029\r"

SENDS = (_GOODBYE, IDENTITY_ANSWER, b"\x01", b"\x1bT", ENABLE) + tuple(COMMANDS.values())

_ANSWER_MS = const(10000)
_ICC_MS = const(3000)
_IDLE_MS = const(2000)
_SETTLE_MS = const(200)  # after start and identification: some devices ignore what comes sooner
_STALL_MS = const(1000)  # a response that pauses for so long has lost its end
_HOLD_MS = const(3000)
_ALARMS_MS = const(2000)
_SETTINGS_MS = const(10000)

_RX_SIZE = const(384)
_RESPONSE_MAX = const(2 + 3840 + 2)  # without CR
_COMMAND_MAX = const(2 + 251 + 2)
_WAITING_MAX = const(4)  # device commands not yet answered


class MedibusDecoder:
    """One session with one device.

    options  {"poll_ms": time between two readings of the measured data, default 1000;
              "waves": read pressure, flow and volume as curves, default false}
    """

    def __init__(self, options):
        only(options, ("poll_ms", "waves"), "draeger_medibus")
        poll_ms = number(options, "poll_ms", 200, 60000, "draeger_medibus", 1000)
        self.rx = RxBuffer(_RX_SIZE)
        self._at = 0  # bytes of rx that are taken
        self._noise = 0
        self._response = bytearray(_RESPONSE_MAX)
        self._response_size = 0  # 0 while none is coming in
        self._command = bytearray(_COMMAND_MAX)
        self._command_size = 0
        wants_waves = flag(options, "waves", False, "draeger_medibus")
        self._realtime = Realtime() if wants_waves else None
        self._values = ValueReader()
        self._alarms = ActiveAlarms()
        self._identity = Identity(0, "")
        self._damage = Damage()
        self._missed = 0  # timeouts not yet told
        self._torn = 0  # bytes of frames without an end, not yet told

        self._up = False
        self._closed = False
        self._identified = False
        self._open = 0  # our command that waits for its answer
        self._asked_ms = -_ICC_MS
        self._heard = False  # slow bytes since the last turn
        self._heard_ms = 0
        self._hold = False
        self._hold_ms = None
        self._waiting = bytearray(_WAITING_MAX)  # codes of commands to answer
        self._waiting_count = 0
        self._answer = bytearray(b"\x01?00\r")
        self._periods_ms = (poll_ms, _ALARMS_MS, _ALARMS_MS, _SETTINGS_MS)
        self._due_ms = [0] * len(_POLLS)
        self._settled_ms = 0
        self._now_ms = 0

    # --- the session ---

    def next_request(self, now_ms):
        """Return the bytes to send now, or None. Valid until the next call."""
        self._now_ms = now_ms
        if self._closed or self._is_held(now_ms):
            return None
        if self._waiting_count:
            return self._next_answer()
        if self._open:
            self._look_at_open()
        if self._open:
            return None
        if self._up:
            if self._realtime is not None:
                enabling = self._realtime.enable(now_ms)
                if enabling is not None:
                    return enabling
            return self._poll(now_ms)
        return self._ask(_ICC) if now_ms - self._asked_ms >= _ICC_MS else None

    def goodbye(self):
        """Return the STOP that ends the session, or None; nothing is sent after it.

        Without it a ventilator raises a communication alarm when the line goes silent.
        """
        was_up = self._up
        self._closed = True
        self._up = False
        return _GOODBYE if was_up else None

    def _is_held(self, now_ms):
        if not self._hold:
            self._hold_ms = None
            return False
        if self._hold_ms is None:
            self._hold_ms = now_ms
        self._hold = now_ms - self._hold_ms < _HOLD_MS
        return self._hold

    def _look_at_open(self):
        """Close our command when its answer has lost its end, or has not come for too long."""
        now_ms = self._now_ms
        if self._heard:
            self._heard = False
            self._heard_ms = now_ms
        torn = self._response_size + self._command_size
        if torn and now_ms - self._heard_ms >= _STALL_MS:
            self._torn += torn
            self._response_size = self._command_size = 0
            self._open = 0
        elif self._open == _ICC:
            if now_ms - self._asked_ms >= _ICC_MS:
                self._open = 0  # nobody is there yet
        elif now_ms - self._asked_ms >= _ANSWER_MS:
            self._missed += 1
            self._open = 0
            self._up = False

    def _poll(self, now_ms):
        if now_ms < self._settled_ms:
            return None
        due = 0
        for index in range(1, len(_POLLS)):
            if self._due_ms[index] < self._due_ms[due]:
                due = index
        if self._due_ms[due] > now_ms:
            return self._ask(_NOP) if now_ms - self._asked_ms >= _IDLE_MS else None
        if not self._identified:
            self._identified = True
            return self._ask(_IDENTITY)
        if self._realtime is not None:
            code = self._realtime.next_code()
            if code:
                return self._ask(code)
        # From the time it was due, so that readings keep their pace.
        late_ms = now_ms - self._due_ms[due]
        period_ms = self._periods_ms[due]
        self._due_ms[due] = now_ms + period_ms - (late_ms if late_ms < period_ms else 0)
        return self._ask(_POLLS[due])

    def _ask(self, code):
        self._open = code
        self._asked_ms = self._heard_ms = self._now_ms
        return self._realtime.choice() if code == CHOOSE else COMMANDS[code]

    def _begin(self):
        self._up = True
        if self._realtime is not None:
            self._realtime.forget()
        self._identified = False
        self._open = 0
        self._settled_ms = self._now_ms + _SETTLE_MS

    def _next_answer(self):
        """Return the answer to the oldest command of the device."""
        code = self._waiting[0]
        self._waiting_count -= 1
        for index in range(self._waiting_count):
            self._waiting[index] = self._waiting[index + 1]
        if code == _IDENTITY:
            self._settled_ms = self._now_ms + _SETTLE_MS
            return IDENTITY_ANSWER
        answer = self._answer
        answer[1] = code
        total = (_SOH + code) & 0xFF
        answer[2] = hex_digit(total >> 4)
        answer[3] = hex_digit(total & 15)
        return answer

    # --- frames ---

    def next_event(self):
        """Return the next event, or None until more bytes arrive. Raises nothing."""
        if self._missed:
            self._missed -= 1
            return self._damage.of("timeout", 1)
        if self._torn:
            count = self._torn
            self._torn = 0
            return self._damage.of("format", count)
        if self._values.strange:
            count = self._values.strange
            self._values.strange = 0
            return self._damage.of("format", count)
        if self._realtime is not None and self._realtime.strange:
            count = self._realtime.strange
            self._realtime.strange = 0
            return self._damage.of("format", count)
        event = self._alarms.next_change(self._response)
        if event is not None:
            return event
        if self._alarms.lost:
            count = self._alarms.lost
            self._alarms.lost = 0
            return self._damage.of("length", count)
        rx = self.rx
        data = rx.data
        while self._at < rx.count:
            byte = data[self._at]
            event = None
            if byte in (_ESC, _SOH):
                event = self._cut(byte)
                if event is not None:
                    return event  # the byte stays: it starts a frame next time
                self._start(byte)
            elif byte < 0x80:
                event = self._take(byte)
            elif self._realtime is not None:
                event = self._realtime.take(byte)
            self._at += 1
            if event is not None:
                return event
        if self._at:
            self._at = 0
            rx.drop(rx.count)
        return self._end_noise()

    def _cut(self, byte):
        """Return the damage of what must have lost its end when a new frame starts, or None."""
        if self._noise:
            return self._end_noise()
        if self._command_size:
            count = self._command_size
            self._command_size = 0
            return self._damage.of("format", count)
        if byte == _SOH and self._response_size:
            count = self._response_size
            self._response_size = 0
            return self._damage.of("format", count)
        return None

    def _start(self, byte):
        self._heard = True
        if byte == _ESC:
            self._command[0] = byte
            self._command_size = 1
        else:
            self._response[0] = byte
            self._response_size = 1

    def _take(self, byte):
        """Put one byte where it belongs; return the event that it completes, or None."""
        if byte in (_DC1, _DC3):
            self._hold = byte == _DC1
            return None
        if byte == _CAN:
            return self._refused() if self._open else None
        self._heard = True
        if self._command_size:
            if byte == _CR:
                return self._end_command()
            if self._command_size == _COMMAND_MAX:
                self._command_size = 0
                return self._damage.of("length", _COMMAND_MAX + 1)
            self._command[self._command_size] = byte
            self._command_size += 1
        elif self._response_size:
            if byte == _CR:
                return self._end_response()
            if self._response_size == _RESPONSE_MAX:
                self._response_size = 0
                return self._damage.of("length", _RESPONSE_MAX + 1)
            self._response[self._response_size] = byte
            self._response_size += 1
        else:
            self._noise += 1
            if byte == _CR:
                self._open = 0  # the end of an answer whose start was lost: ask again
        return None

    def _end_command(self):
        size = self._command_size
        self._command_size = 0
        code = self._command[1]
        if not _is_right(self._command, size) or code < 0x20:
            # An ESC that is noise has swallowed the end of the response around it.
            size += self._response_size + 1
            if self._response_size:
                self._response_size = self._open = 0
            return self._damage.of("check", size)
        for index in range(self._waiting_count):
            if self._waiting[index] == code:
                return None  # asked again before we could answer
        if self._waiting_count == _WAITING_MAX:
            return self._damage.of("length", size + 1)
        self._waiting[self._waiting_count] = code
        self._waiting_count += 1
        if code == _ICC:
            self._begin()
        elif code == _STOP:
            self._up = False
            self._open = 0
        elif code == _CURVES_CHANGED and self._realtime is not None:
            self._realtime.forget()
        return None

    def _end_response(self):
        size = self._response_size
        self._response_size = 0
        response = self._response
        if not _is_right(response, size):
            self._open = 0  # it was the answer, and it is spoilt: ask again
            return self._damage.of("check", size + 1)
        code = response[1]
        if code == _NAK:
            return self._refused() if self._open else None
        if code == self._open:
            self._open = 0
        end = size - 2
        if code == MEASURED:
            return self._read_values(end, MEASURED)
        if code == SETTINGS:
            return self._read_values(end, SETTINGS)
        if code == _ALARMS_1:
            return self._read_alarms(end, 1)
        if code == _ALARMS_2:
            return self._read_alarms(end, 2)
        if code == _IDENTITY and end > DATA_AT:
            self._identity.text = text_of(response, DATA_AT, min(end, DATA_AT + 64))
            return self._identity
        if code == _ICC:
            self._begin()
        elif code == CONFIGURE and self._realtime is not None:
            self._realtime.configure(response, DATA_AT, end)
        elif code == CHOOSE and self._realtime is not None:
            self._realtime.chosen()
        return None

    def _read_values(self, end, group):
        event = self._values.read(self._response, end, group)
        return self._damage.of("format", end - DATA_AT) if event is None else event

    def _read_alarms(self, end, page):
        if not are_alarms(self._response, end):
            return self._damage.of("format", end - DATA_AT)
        return self._alarms.compare(self._response, page, end)

    def _refused(self):
        self._open = 0
        return self._damage.of("refused", 1)

    def _end_noise(self):
        count = self._noise
        self._noise = 0
        return self._damage.of("noise", count) if count else None


def _is_right(frame, size):
    return size >= 4 and hex_pair(frame, size - 2) == sum8(frame, 0, size - 2)
