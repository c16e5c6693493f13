"""Draeger MEDIBUS (Evita, Savina, Primus and relatives): slow protocol, polled, RS232.

    command   ESC code [argument] CK CK CR      either side may send one; one open at a time
    response  SOH code [data] CK CK CR          every command must be answered
    CK CK: sum of all bytes from ESC or SOH on, modulo 256, two upper-case hex digits

Slow bytes are 7-bit; bytes with bit 7 set are the realtime extension and may stand between any two
of them. Speed and parity are set at the device: 19200 8E1 is common, 9600 8E1 on Primus.
Source: Draeger MEDIBUS protocol definition 90 28 258 rev 4.03, devices 90 28 329. The device takes
no command from here that changes anything: see _MAY_SEND.
"""

from micropython import const

from bridge.core.checks import sum8
from bridge.core.digits import hex_number
from bridge.core.events import NO_VALUE, VALID, Alarm, Damage, Identity, Observation
from bridge.core.protocols import medibus_codes as codes
from bridge.core.rxbuf import RxBuffer

_ESC = const(0x1B)
_SOH = const(0x01)
_CR = const(0x0D)
_NAK = const(0x15)

MEASURED = const(0x24)
_ALARMS_1 = const(0x27)
_ALARMS_2 = const(0x2E)
SETTINGS = const(0x29)
_NOP = const(0x30)
_ICC = const(0x51)
_IDENTITY = const(0x52)

# All that this driver can ever ask: reads, the session's start, and "I am here".
_MAY_SEND = (MEASURED, _ALARMS_1, _ALARMS_2, SETTINGS, _NOP, _ICC, _IDENTITY)
_OUR_IDENTITY = b"0161'VITALKEEP'01.00:04.00"

_DATA_MAX = const(640)  # 24H with every code there is: 105 values of 6 characters
_FRAME_MAX = const(2 + 640 + 3)

_ANSWER_MS = const(10000)
_ICC_MS = const(3000)
_NOP_MS = const(2000)
_SETTLE_MS = const(200)  # after our identification, before the first poll
_ALARMS_MS = const(2000)
_SETTINGS_MS = const(10000)
_ACTIVE_MAX = const(32)

_MEASURED_ROW = const(6)
_SETTINGS_ROW = const(7)
_ALARM_ROW = const(15)


def _framed(start, body):
    data = bytes((start,)) + body
    return data + b"%02X\r" % sum8(data, 0, len(data))


COMMANDS = {code: _framed(_ESC, bytes((code,))) for code in _MAY_SEND}


class MedibusDecoder:
    """One session with one device.

    options  {"poll_ms": milliseconds between two readings of the measured data, default 1000}
    """

    def __init__(self, options):
        self.rx = RxBuffer(2 * _FRAME_MAX)
        self._poll_ms = options.get("poll_ms", 1000)
        self._observation = Observation(96)
        self._alarm = Alarm()
        self._damage = Damage()
        self._up = False
        self._open = 0  # our command that waits for its answer
        self._open_ms = 0
        self._said_ms = 0
        self._due = [0, 0, 0, 0]  # of _POLLS
        self._now_ms = 0
        self._answers = []  # to the device's own commands
        self._identify = False
        # Alarms by (page, code): those told as active, and those of the answer at hand
        self._active = []
        self._changes = []
        self._missed = 0  # answers that never came

    # --- what the line has said ---

    def next_event(self):
        """Return the next event, or None until more bytes arrive. Raises nothing."""
        if self._changes:
            return self._changed_alarm()
        if self._missed:
            self._missed -= 1
            return self._spoilt("timeout", 1)
        rx = self.rx
        while True:
            start = self._find_start()
            if start:
                rx.drop(start)
                return self._spoilt("noise", start)
            if not rx.count:
                return None
            end = rx.find(_CR)
            again = self._find_start(1)
            if again < rx.count and (end < 0 or again < end):
                # A command of the device inside a response it was sending: that one comes first.
                if rx.data[again] == _ESC and end > again and self._embedded(again, end):
                    continue
                rx.drop(again)
                return self._spoilt("length", again)
            if end < 0:
                if rx.count > _FRAME_MAX:
                    rx.drop(1)
                    return self._spoilt("length", 1)
                return None
            if not self._is_right(0, end):
                rx.drop(1)  # one byte only: a real frame may start inside
                return self._spoilt("check", 1)
            event = self._frame(end)
            rx.drop(end + 1)
            if event is not None:
                return event
            if self._changes:
                return self._changed_alarm()

    def _find_start(self, at=0):
        """Drop realtime bytes behind `at` and return where the next frame starts, or the end."""
        data, count = self.rx.data, self.rx.count
        put = at
        for index in range(at, count):
            if data[index] < 0x80:
                data[put] = data[index]
                put += 1
        self.rx.count = count = put
        for index in range(at, count):
            if data[index] == _ESC or data[index] == _SOH:
                return index
        return count

    def _is_right(self, start, end):
        data = self.rx.data
        if end - start < 4:
            return False
        total = sum8(data, start, end - 2)
        return hex_number(data, end - 2, end) == total

    def _embedded(self, start, end):
        """Take a whole command out of the middle of a response; False when it is not one."""
        if not self._is_right(start, end):
            return False
        self._command(self.rx.data[start + 1])
        data, count = self.rx.data, self.rx.count
        for index in range(end + 1, count):
            data[start + index - end - 1] = data[index]
        self.rx.count = count - (end + 1 - start)
        return True

    def _spoilt(self, kind, count):
        self._damage.kind = kind
        self._damage.count = count
        return self._damage

    def _frame(self, end):
        """Handle the good frame in rx[:end]; returns an event or None."""
        data = self.rx.data
        code = data[1]
        if data[0] == _ESC:
            self._command(code)
            return None
        if code == _NAK and self._open:
            self._open = 0
            return self._spoilt("refused", 1)
        if code != self._open:
            return None  # late: we had given it up
        self._open = 0
        if code == _ICC:
            self._begin()
            return None
        if code == MEASURED:
            return self._values(end - 2, MEASURED, _MEASURED_ROW)
        if code == SETTINGS:
            return self._values(end - 2, SETTINGS, _SETTINGS_ROW)
        if code == _ALARMS_1 or code == _ALARMS_2:
            return self._alarms(end - 2, 1 if code == _ALARMS_1 else 2)
        if code == _IDENTITY and end > 4:
            return Identity(0, _printable(data, 2, end - 2))
        return None

    # --- data ---

    def _values(self, end, group, row):
        """Turn rows of a two-digit hex code and a number into the observation."""
        table = codes.MEASURED if group == MEASURED else codes.SETTINGS
        if (end - 2) % row:
            return self._spoilt("format", end - 2)
        self._observation.begin(0, group)
        for at in range(2, end, row):
            code = hex_number(self.rx.data, at, at + 2)
            if code < 0:
                return self._spoilt("format", end - 2)
            parameter, factor = codes.find(table, code)
            if parameter:
                self._add(parameter, factor, at + 2, at + row)
        return self._observation if self._observation.count else None

    def _add(self, parameter, factor, start, end):
        """Add the number in the characters start to end; spaces and dashes are no value."""
        data = self.rx.data
        number = digits = decimals = point = 0
        negative = False
        for at in range(start, end):
            byte = data[at]
            if 0x30 <= byte <= 0x39:
                number = 10 * number + byte - 0x30
                digits += 1
                decimals += point
            elif byte == 0x2E and not point:
                point = 1
            elif byte == 0x2D and not digits:
                negative = True
            elif byte != 0x20:
                digits = 0  # stars and words: the device has no number to give
                break
        if not digits:
            self._observation.add(parameter, 0, 0, NO_VALUE)
            return
        number *= factor
        while factor > 1 and decimals and number % 10 == 0:
            number //= 10
            decimals -= 1
        self._observation.add(parameter, -number if negative else number, decimals, VALID)

    def _alarms(self, end, page):
        """Compare the alarms of one page with those known; the changes become events."""
        if (end - 2) % _ALARM_ROW:
            return self._spoilt("format", end - 2)
        data = self.rx.data
        now = []
        for at in range(2, end, _ALARM_ROW):
            code = hex_number(data, at + 1, at + 3)
            if code >= 0 and len(now) < _ACTIVE_MAX:
                now.append(
                    (page, code, _priority(data[at] - 0x30), _printable(data, at + 3, at + 15))
                )
        told = {entry[:2] for entry in self._active}
        there = {entry[:2] for entry in now}
        for entry in now:
            if entry[:2] not in told:
                self._changes.append((entry, True))
        for entry in self._active:
            if entry[0] == page and entry[:2] not in there:
                self._changes.append((entry, False))
        self._active = [entry for entry in self._active if entry[0] != page] + now
        return None

    def _changed_alarm(self):
        (page, code, priority, text), active = self._changes.pop(0)
        alarm = self._alarm
        alarm.page, alarm.code, alarm.priority = page, code, priority
        alarm.active, alarm.text = active, text
        return alarm

    # --- the session ---

    def _command(self, code):
        """Answer the device: whatever it asks, or it drops the link."""
        if code == _IDENTITY:
            self._answers.append(_framed(_SOH, bytes((code,)) + _OUR_IDENTITY))
        else:
            self._answers.append(_framed(_SOH, bytes((code,))))
        if code == _ICC:
            self._open = 0
            self._begin()

    def _begin(self):
        self._up = True
        self._identify = True
        self._active = []
        self._due = [self._now_ms + _SETTLE_MS] * len(self._due)

    def next_request(self, now_ms):
        """Return the bytes to send now, or None."""
        self._now_ms = now_ms
        if self._answers:
            self._said_ms = now_ms
            reply = self._answers.pop(0)
            if reply[1] == _IDENTITY:
                # Polls that follow too soon are ignored.
                self._due = [now_ms + _SETTLE_MS] * len(self._due)
            return reply
        if self._open:
            if now_ms - self._open_ms < (_ICC_MS if self._open == _ICC else _ANSWER_MS):
                return None
            self._give_up()
        if not self._up:
            return self._ask(_ICC, now_ms)
        if self._identify and now_ms >= self._due[0]:
            self._identify = False
            return self._ask(_IDENTITY, now_ms)
        for index in range(len(_POLLS)):
            if now_ms >= self._due[index]:
                code, period_ms = _POLLS[index]
                period_ms = period_ms or self._poll_ms
                # From the time it was due, so that readings keep their pace.
                self._due[index] = max(self._due[index] + period_ms, now_ms + period_ms // 2)
                return self._ask(code, now_ms)
        if now_ms - self._said_ms >= _NOP_MS:
            return self._ask(_NOP, now_ms)
        return None

    def _give_up(self):
        """The answer did not come: the device is gone, and a new session begins."""
        if self._open != _ICC:
            self._up = False
            self._missed += 1
        self._open = 0

    def _ask(self, code, now_ms):
        self._open = code
        self._open_ms = self._said_ms = now_ms
        return COMMANDS[code]


# code and period in ms, 0 for the configured one; in this order when several are due
_POLLS = (
    (MEASURED, 0),
    (_ALARMS_1, _ALARMS_MS),
    (_ALARMS_2, _ALARMS_MS),
    (SETTINGS, _SETTINGS_MS),
)


def _priority(level):
    """Return the priority of a MEDIBUS level, 1 to 31 with 31 most urgent."""
    if level >= 25:
        return 3
    if level >= 11:
        return 2
    return 1 if level >= 7 else 0


def _printable(data, start, end):
    """Return the text in data[start:end] without what is not ASCII print."""
    return "".join(chr(byte) for byte in data[start:end] if 0x20 <= byte < 0x7F).strip()
