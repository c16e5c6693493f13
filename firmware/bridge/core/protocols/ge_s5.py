"""GE and Datex-Ohmeda S/5, B20 to B125 and CARESCAPE monitors: the DRI computer interface, RS232.

    7E | record | sum | 7E    sum of the bytes modulo 256; inside 7E is 7D 5E, 7D is 7D 5D
    record: size i16 | counter | level | plug u16 | time u32 | ... | type i16 | eight times place
    and type of a subrecord | subrecords from byte 40 on; all low byte first

Three requests are sent: displayed values every five seconds, waves, and the state of the alarms.
They say what the monitor sends, and set nothing. A frame counts when its sum and its size are
right. Speed 19200 bit/s 8E1, with RTS and CTS. Source: GE Healthcare S/5 Computer Interface
Specification (M1017617) and S/5 DRI Specification (8005313).
"""

from micropython import const

from bridge.core.checks import sum8
from bridge.core.errors import ConfigError
from bridge.core.events import NO_SAMPLE, Alarm, Wave
from bridge.core.options import flag, only
from bridge.core.protocols.driver import CHECK, LENGTH, NOISE, WAIT, Driver
from bridge.core.protocols.ge_s5_data import WAVES, Basic, i16

PORTS = ("19200 8E1", "115200 8E1")

_FLAG = const(0x7E)
_ESCAPE = const(0x7D)
_RX_SIZE = const(1792)
_RECORD_MAX = const(1490)
_VALUES_MAX = const(64)
_SAMPLES_MAX = const(320)
_HEAD = const(40)
_DESCRIPTIONS = const(8)
_CLASS = const(278)  # of displayed values
_PHYSIOLOGICAL = const(0)
_WAVE = const(1)
_ALARM = const(4)
_DISPLAYED = const(1)
_RATE_MAX = const(600)  # samples a second that the line carries

_SILENT_MS = const(16000)
_APART_MS = const(5500)  # a second request within five seconds is ignored
_ALARMS_MS = const(11000)

_ALARM_AT = const(12)  # of the first entry in the subrecord
_ALARMS_MAX = const(5)
_ENTRY = const(98)
_TEXT = const(32)


def _request(kind, body):
    """Return the frame of a request."""
    record = bytearray(_HEAD) + body
    record[0] = len(record)
    record[14] = kind
    record[21] = 0xFF  # the type of a second description: there is none
    record += bytes((sum(record) & 0xFF,))
    out = bytearray(b"\x7e")
    for byte in record:
        if byte in b"\x7e\x7d":
            out.append(_ESCAPE)
            byte &= 0xDF
        out.append(byte)
    out.append(_FLAG)
    return bytes(out)


_SHOW = _request(_PHYSIOLOGICAL, b"\x01\x05\x00\x00\x00\x00\x00\x00\x00")
_ALARMS = _request(_ALARM, bytes(12))
_WAVES_BEGIN = b"\x7e\x48" + bytes(13) + b"\x01"  # which ones follows
SENDS = (_SHOW, _ALARMS, _WAVES_BEGIN)


class S5Decoder(Driver):
    """One monitor. Group 0 is what it displays, group 1 a cuff pressure when there is a new one.

    options  {"waves": names of ge_s5_data.WAVES, at most 600 samples a second, default ["ecg1",
              "p1", "pleth", "co2"]; "alarms": true or false, default true}
    """

    def __init__(self, options):
        only(options, ("waves", "alarms"), "ge_s5")
        names = options.get("waves", ("ecg1", "p1", "pleth", "co2"))
        if not isinstance(names, (list, tuple)) or len(names) > 8:
            raise ConfigError("ge_s5: waves: want a list of at most 8")
        kinds = bytearray()
        rate = 0
        for name in names:
            found = [row for row in WAVES if row[0] == name]
            if not found:
                raise ConfigError("ge_s5: waves: no wave %r" % (name,))
            kinds.append(found[0][1])
            rate += found[0][5]
        if rate > _RATE_MAX:
            raise ConfigError("ge_s5: waves: %d samples a second, want %d" % (rate, _RATE_MAX))
        kinds += b"\xff" + bytes(28 - 1 - len(kinds))
        waves = _request(_WAVE, bytes(4) + bytes(kinds)) if names else None
        alarms = _ALARMS if flag(options, "alarms", True, "ge_s5") else None
        super().__init__(_RX_SIZE, _VALUES_MAX)
        self._requests = (_SHOW, waves, alarms)
        self._silent_ms = (_SILENT_MS, _SILENT_MS, _ALARMS_MS)
        self._heard_ms = [-_SILENT_MS, -_SILENT_MS, -_ALARMS_MS]
        self._heard = 0  # bits of the kinds that have come since the last turn
        self._apart_ms = 0
        self._asked = False
        self._record = bytearray(_RECORD_MAX + 1)
        self._size = 0
        self._basic = Basic()
        self._wave = Wave(_SAMPLES_MAX) if names else None
        self._turn = _DESCRIPTIONS  # subrecord that comes next
        self._kind = 0
        self._is_cuff = False
        self._missed = 0
        self._alarms = ActiveAlarms()

    def next_request(self, now_ms):
        """Return the bytes to send now, or None."""
        for index in range(3):
            if self._heard >> index & 1:
                self._heard_ms[index] = now_ms
        self._heard = 0
        if now_ms < self._apart_ms:
            return None
        for index in range(3):
            request = self._requests[index]
            if request is not None and now_ms - self._heard_ms[index] >= self._silent_ms[index]:
                if not index:
                    self._missed += self._asked
                    self._asked = True
                self._heard_ms[index] = now_ms
                self._apart_ms = now_ms + _APART_MS
                return request
        return None

    # --- frames ---

    def _frame(self, at, count):
        data = self.rx.data
        if data[at] != _FLAG:
            self._why = NOISE
            return -1
        end = data.find(b"\x7e", at + 1, at + count)
        if end == at + 1:
            return 1  # between two frames
        if end < 0:
            self._why = LENGTH
            return WAIT if count < len(data) else -count
        if not self._unescape(at + 1, end):
            self._why = CHECK
            return at - end
        return end - at  # the flag at its end may begin the next

    def _unescape(self, at, end):
        """Put the record into `_record`; say whether its sum and its size are right."""
        data = self.rx.data
        record = self._record
        size = 0
        while at < end:
            byte = data[at]
            at += 1
            if byte == _ESCAPE:
                if at == end:
                    return False
                byte = data[at] | 0x20
                at += 1
            if size == len(record):
                return False
            record[size] = byte
            size += 1
        self._size = size - 1
        return (
            size > _HEAD
            and i16(record, 0) == size - 1
            and sum8(record, 0, size - 1) == record[size - 1]
        )

    def _take(self, at, size):
        if size > 1:
            self._kind = i16(self._record, 14)
            self._turn = 0
            self._is_cuff = False
        return None

    def _pending(self):
        if self._missed:
            self._missed -= 1
            return self._damage.of("timeout", 1)
        while self._turn < _DESCRIPTIONS:
            event = self._next_subrecord()
            if event is not None:
                return event
        return self._alarms.next()

    def _next_subrecord(self):
        """Return what the next subrecord says, or None."""
        record = self._record
        at = 16 + 3 * self._turn
        kind = record[at + 2]
        if kind == 0xFF:
            self._turn = _DESCRIPTIONS
            return None
        start = _HEAD + i16(record, at)
        if not _HEAD <= start < self._size:
            self._turn = _DESCRIPTIONS
            return self._damage.of(LENGTH, self._size + 3)
        if self._kind == _PHYSIOLOGICAL and kind == _DISPLAYED:
            return self._displayed(start)
        self._turn += 1
        if self._kind == _WAVE:
            self._heard |= 2
            return self._samples(kind, start)
        if self._kind == _ALARM and kind == 1:
            self._heard |= 4
            if start + _ALARM_AT + _ALARMS_MAX * _ENTRY <= self._size:
                self._alarms.take(record, start + _ALARM_AT)
        return None

    def _displayed(self, start):
        """Return the values, and with the second call the cuff pressure."""
        record = self._record
        self._heard |= 1
        if start + _CLASS > self._size or record[start + 277] & 0x0F:
            self._turn += 1
            return None  # not the basic class
        observation = self._observation
        if not self._is_cuff:
            self._is_cuff = True
            observation.begin(0, 0)
            self._basic.read(record, start + 4, observation)
        else:
            self._is_cuff = False
            self._turn += 1
            observation.begin(0, 1)
            self._basic.read_cuff(record, start + 4, observation)
        return observation if observation.count else None

    def _samples(self, kind, start):
        record, wave = self._record, self._wave
        if wave is None:
            return None  # what somebody else asked for
        for _, known, parameter, decimals, period_us, _ in WAVES:
            if known != kind:
                continue
            count = i16(record, start)
            if not 0 < count <= _SAMPLES_MAX or start + 6 + 2 * count > self._size:
                return self._damage.of(LENGTH, self._size + 3)
            wave.parameter = parameter or self._basic.wave_parameter(kind, i16(record, start + 4))
            if not wave.parameter:
                return None
            wave.decimals = decimals
            wave.period_us = period_us
            wave.count = count
            at = start + 6
            for index in range(count):
                value = i16(record, at)
                at += 2
                wave.samples[index] = value if value > -32001 else NO_SAMPLE
            return wave
        return None


class ActiveAlarms:
    """The five alarms that the monitor shows, by their texts: its language is the monitor's."""

    def __init__(self):
        self._now = bytearray(_ALARMS_MAX * (_TEXT + 1))
        self._told = bytearray(_ALARMS_MAX * (_TEXT + 1))
        self._alarm = Alarm()

    def take(self, data, at):
        """Take the entries at `at`: text of 80, whether it is new, colour."""
        now = self._now
        for index in range(_ALARMS_MAX):
            place = index * (_TEXT + 1)
            colour = data[at + 82]
            now[place] = colour if colour <= 3 else 0
            for offset in range(_TEXT):
                byte = data[at + offset] if now[place] else 0
                now[place + 1 + offset] = byte if 32 <= byte < 127 else 0
            at += _ENTRY

    def next(self):
        """Return the Alarm that has come or gone, or None."""
        for index in range(_ALARMS_MAX):
            place = index * (_TEXT + 1)
            if self._told[place] and not _is_in(self._told, place, self._now):
                alarm = self._say(self._told, place, False)
                self._told[place] = 0
                return alarm
        for index in range(_ALARMS_MAX):
            place = index * (_TEXT + 1)
            if self._now[place] and not _is_in(self._now, place, self._told):
                for free in range(0, len(self._told), _TEXT + 1):
                    if not self._told[free]:
                        for offset in range(_TEXT + 1):
                            self._told[free + offset] = self._now[place + offset]
                        return self._say(self._now, place, True)
        return None

    def _say(self, data, place, active):
        alarm = self._alarm
        alarm.priority = data[place]
        alarm.active = active
        text = "".join(chr(byte) for byte in data[place + 1 : place + 1 + _TEXT] if byte)
        alarm.text = text.strip() or "alarm"
        return alarm


def _is_in(one, place, other):
    """Say whether the text of one entry stands in another list."""
    for start in range(0, len(other), _TEXT + 1):
        if other[start]:
            same = True
            for offset in range(1, _TEXT + 1):
                if one[place + offset] != other[start + offset]:
                    same = False
                    break
            if same:
                return True
    return False
