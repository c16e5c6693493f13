"""Nonin oximeters, serial data formats 1, 2, 7, 8 and 13: the device speaks by itself.

    format 2     01 | status | pleth u8 | data | sum of the four           75 a second
    format 7     status | pleth u16, high byte first | data | sum of the four
    format 8     1 - oot low marginal artefact hr8 hr7 | 0 hr6..0 | 0 spo2 | 0 status   1 a second
    format 1     the same without the last byte
    format 13    00 02 000D | size u16 | data | sum of the data | 03       one a spot check

In formats 2 and 7 the data of 25 frames make a packet, three a second; the first frame has bit 0
of its status set. A packet counts only as a whole: 25 right sums without a byte between them, and
the mark in the first frame and in no other. Formats 1 and 8 have no check: bit 7 stands in the
first byte only, and the values must lie in the ranges that the oximeters show; a value that became
another one in range goes unseen.

A spot check of format 13 that was made earlier and kept is told apart, with its own date: it is
not what the patient has now. The commands that choose a format are stored in the device, so they
are not sent: choose it there, or by its hardware option.
Speed 9600 bit/s 8N1. Source: Nonin 9560 Bluetooth specification; manuals of OEM III devices,
9847, 8500 and Avant; public drivers. Format 1 follows from format 8.
"""

from micropython import const

from bridge.core.checks import sum8
from bridge.core.errors import ConfigError
from bridge.core.events import NO_SAMPLE, NO_VALUE, QUESTIONABLE, VALID, Wave
from bridge.core.options import number, only
from bridge.core.protocols.driver import CHECK, FORMAT, LENGTH, NOISE, WAIT, AlarmBits, Driver

PORTS = ("9600 8N1",)
SENDS = ()

_RX_SIZE = const(384)
_FORMATS = (1, 2, 7, 8, 13)
_SPOT = const(13)

_SPO2 = const(1)
_PULSE = const(2)
_PLETH = const(213)
_SPO2_STORED = const(512)
_PULSE_STORED = const(513)
_STORED_DATE = const(514)
_STORED_TIME = const(515)
_SPO2_EXTENDED = const(516)
_PULSE_EXTENDED = const(517)
_SPO2_FAST = const(518)
_SPO2_BEAT = const(519)

_SPO2_MAX = const(100)
_SPO2_NONE = const(127)
_PULSE_MIN = const(18)  # the range that the oximeters show
_PULSE_MAX = const(321)
_PULSE_NONE = const(511)

_MARK = const(0x80)

# Formats 2 and 7
_FRAME_SIZE = const(5)
_FRAMES = const(25)
_PACKET_SIZE = const(125)
_PERIOD_US = const(13333)
_DATA_AT = const(3)
_SOH = const(0x01)
_SYNC = const(0x01)
_DISCONNECTED = const(0x40)
_ARTEFACT = const(0x20)
_OUT_OF_TRACK = const(0x10)
_SENSOR_ALARM = const(0x08)
_PERFUSION = const(0x06)
_RED = const(0x04)
_BATTERY_FRAME = const(7)
# index of the frame, from 0; parameter
_SPO2_FRAMES = (
    (2, _SPO2),
    (15, _SPO2_EXTENDED),
    (9, _SPO2_FAST),
    (10, _SPO2_BEAT),
)
_PULSE_FRAMES = ((0, _PULSE), (13, _PULSE_EXTENDED))
_VALUES = const(6)

# Formats 1 and 8
_LOST_TRACK = const(0x20)
_LOW_PERFUSION = const(0x10)
_BAD_BEAT = const(0x04)
_SENSOR_FAULT = const(0x08)
_LOW_BATTERY = const(0x01)

# Format 13
_SPOT_HEAD = b"\x00\x02\x00\x0d"
_SPOT_HEAD_SIZE = const(6)
_SPOT_DATA_SIZE = const(14)  # later versions may send more
_SPOT_DATA_MAX = const(64)
_ETX = const(0x03)
_QUALIFIED = const(0x02)
_NOT_MEASURED = const(0x01)
_FROM_MEMORY = const(0x10)
# lowest and highest of century, year, month, day, hour, minute, second
_STAMP_LOW = (20, 0, 1, 1, 0, 0, 0)
_STAMP_HIGH = (20, 99, 12, 31, 23, 59, 59)

_STORED_STAMP = ((_STORED_DATE, 1), (_STORED_TIME, 4))

_SENSOR_BIT = const(1)
_BATTERY_BIT = const(2)
_ALARMS = (("SENSOR", 1), ("LOW BATTERY", 1))


class NoninDecoder(Driver):
    """Frames to observations: group 0 what is measured, group 1 a spot check from memory.

    options  {"format": 1, 2, 7, 8 or 13, what the device is set to send, default 2}
    """

    def __init__(self, options):
        only(options, ("format",), "nonin")
        self._format = number(options, "format", 1, _SPOT, "nonin", 2)
        if self._format not in _FORMATS:
            raise ConfigError("nonin: format %d, want one of %r" % (self._format, _FORMATS))
        super().__init__(_RX_SIZE, _VALUES)
        self._packed = self._format == 2 or self._format == 7
        self._pleth_at = 2 if self._format == 2 else 1
        self._status_at = 1 if self._format == 2 else 0
        self._short_size = 3 if self._format == 1 else 4
        self._wave = Wave(_FRAMES if self._packed else 1)
        self._wave.parameter = _PLETH
        self._wave.period_us = _PERIOD_US
        self._wave.count = _FRAMES
        self._wave_waits = False
        self._alarms = AlarmBits(_ALARMS)
        self._checked = 0  # frames of the packet at the front that are known to be right

    def _frame(self, at, count):
        if self._packed:
            return self._packet_at(at, count)
        if self._format == _SPOT:
            return self._spot_at(at, count)
        return self._short_at(at, count)

    def _take(self, at, size):
        self._observation.begin(0, 0)
        if self._packed:
            self._take_packet(at)
        elif self._format == _SPOT:
            self._take_spot(at)
        else:
            self._take_short(at)
        return self._observation

    def _pending(self):
        if self._wave_waits:
            self._wave_waits = False
            return self._wave
        return self._alarms.next()

    def _add_spo2(self, parameter, value, state):
        if not 0 < value <= _SPO2_MAX:
            state = NO_VALUE
        self._observation.add(parameter, 0 if state == NO_VALUE else value, 0, state)

    def _add_pulse(self, parameter, value, state):
        if not 0 < value < _PULSE_NONE:
            state = NO_VALUE
        self._observation.add(parameter, 0 if state == NO_VALUE else value, 0, state)

    # --- formats 2 and 7 ---

    def _packet_at(self, at, count):
        data = self.rx.data
        frames = count // _FRAME_SIZE
        if frames > _FRAMES:
            frames = _FRAMES
        index = self._checked
        while index < frames:
            start = at + _FRAME_SIZE * index
            why = self._frame_fault(data, start, index)
            if why:
                self._checked = 0
                self._why = why
                return -1
            index += 1
        if index == _FRAMES:
            self._checked = 0
            return _PACKET_SIZE
        self._checked = index
        return WAIT

    def _frame_fault(self, data, at, index):
        """Return what is wrong with one frame of a packet, or an empty string."""
        status = data[at + self._status_at]
        if not status & _MARK or (self._format == 2 and data[at] != _SOH):
            return NOISE
        if index == 0 and not status & _SYNC:
            return NOISE
        if index and status & _SYNC:
            return FORMAT
        end = at + _FRAME_SIZE - 1
        return "" if sum8(data, at, end) == data[end] else CHECK

    def _take_packet(self, at):
        data = self.rx.data
        samples = self._wave.samples
        seen = 0
        state = VALID
        for index in range(_FRAMES):
            start = at + _FRAME_SIZE * index
            status = data[start + self._status_at]
            seen |= status
            if status & _PERFUSION == _RED:
                state = QUESTIONABLE
            if status & (_DISCONNECTED | _SENSOR_ALARM):
                samples[index] = NO_SAMPLE
                continue
            sample = data[start + self._pleth_at]
            if self._format == 7:  # 16 bits without a sign: the lowest one does not fit
                sample = sample << 7 | data[start + self._pleth_at + 1] >> 1
            samples[index] = sample
        self._wave_waits = True
        sensor_off = seen & (_DISCONNECTED | _SENSOR_ALARM)
        if sensor_off:
            state = NO_VALUE  # for some seconds the old values are still there
        elif seen & (_ARTEFACT | _OUT_OF_TRACK):
            state = QUESTIONABLE
        first = at + _DATA_AT
        for index, parameter in _SPO2_FRAMES:
            self._add_spo2(parameter, data[first + _FRAME_SIZE * index], state)
        for index, parameter in _PULSE_FRAMES:
            place = first + _FRAME_SIZE * index
            value = (data[place] & 3) << 7 | data[place + _FRAME_SIZE] & 0x7F
            self._add_pulse(parameter, value, state)
        battery = data[first + _FRAME_SIZE * _BATTERY_FRAME] & _LOW_BATTERY
        self._alarms.now = (_SENSOR_BIT if sensor_off else 0) | (_BATTERY_BIT if battery else 0)

    # --- formats 1 and 8 ---

    def _short_at(self, at, count):
        data = self.rx.data
        self._why = NOISE
        if not data[at] & _MARK:
            return -1
        size = self._short_size
        for index in range(1, size if count >= size else count):
            if data[at + index] & _MARK:
                self._why = LENGTH
                return -index
        if count < size:
            return WAIT
        pulse = (data[at] & 3) << 7 | data[at + 1]
        spo2 = data[at + 2]
        if pulse != _PULSE_NONE and not _PULSE_MIN <= pulse <= _PULSE_MAX:
            self._why = FORMAT
            return -1
        if spo2 != _SPO2_NONE and not 0 < spo2 <= _SPO2_MAX:
            self._why = FORMAT
            return -1
        return size

    def _take_short(self, at):
        data = self.rx.data
        status = data[at]
        more = data[at + 3] if self._short_size == 4 else 0
        state = VALID
        if more & _SENSOR_FAULT:
            state = NO_VALUE
        elif status & (_LOST_TRACK | _LOW_PERFUSION | _BAD_BEAT):
            state = QUESTIONABLE
        self._add_spo2(_SPO2, data[at + 2], state)
        self._add_pulse(_PULSE, (status & 3) << 7 | data[at + 1], state)
        self._alarms.now = (_SENSOR_BIT if more & _SENSOR_FAULT else 0) | (
            _BATTERY_BIT if more & _LOW_BATTERY else 0
        )

    # --- format 13 ---

    def _spot_at(self, at, count):
        data = self.rx.data
        self._why = NOISE
        for index in range(min(count, len(_SPOT_HEAD))):
            if data[at + index] != _SPOT_HEAD[index]:
                return -1
        if count < _SPOT_HEAD_SIZE:
            return WAIT
        size = data[at + 4] << 8 | data[at + 5]
        if not _SPOT_DATA_SIZE <= size <= _SPOT_DATA_MAX:
            self._why = LENGTH
            return -1
        if count < _SPOT_HEAD_SIZE + size + 2:
            return WAIT
        first = at + _SPOT_HEAD_SIZE
        end = first + size
        if sum8(data, first, end) != data[end]:
            self._why = CHECK
            return -1
        self._why = FORMAT
        if data[end + 1] != _ETX:
            return -1
        for index in range(len(_STAMP_HIGH)):
            if not _STAMP_LOW[index] <= _bcd(data[first + index]) <= _STAMP_HIGH[index]:
                return -1
        return _SPOT_HEAD_SIZE + size + 2

    def _take_spot(self, at):
        data = self.rx.data
        first = at + _SPOT_HEAD_SIZE
        status = data[first + 8]
        stored = data[first + 9] & _FROM_MEMORY
        state = VALID if status & _QUALIFIED else QUESTIONABLE
        if status & _NOT_MEASURED:
            state = NO_VALUE
        if stored:
            self._observation.group = 1
        pulse = data[first + 10] << 8 | data[first + 11]
        self._add_spo2(_SPO2_STORED if stored else _SPO2, data[first + 13], state)
        self._add_pulse(_PULSE_STORED if stored else _PULSE, pulse, state)
        if stored:
            for parameter, index in _STORED_STAMP:
                high = _bcd(data[first + index])
                middle = _bcd(data[first + index + 1])
                low = _bcd(data[first + index + 2])
                self._observation.add(parameter, 10000 * high + 100 * middle + low, 0, VALID)
        self._alarms.now = _BATTERY_BIT if data[first + 9] & _LOW_BATTERY else 0


def _bcd(byte):
    """Return the number of two decimal digits, -1 where they are none."""
    high = byte >> 4
    low = byte & 15
    return -1 if high > 9 or low > 9 else 10 * high + low
