"""Oridion Capnostream 20 and 20p capnographs: numerics and the CO2 curve, RS232.

    85 | size u8 | code u8 | data | XOR of size, code and data     size counts code and data

Behind the first byte 85 goes out as 80 05 and 80 as 80 00, so 85 always opens a frame. Session:
enable communication, which the device answers with its name; start real-time; then "link is
active" every five seconds. That is all that is ever sent: it asks for data and keeps them coming.
Setup items, host and patient names and requests to stop are not in this file; public programs also
set the item "communication interval", which is a setting and stays as it is.
Speed 115200 bit/s 8N1. Source: one public driver and its tests, which cite the vendor's
"Capnostream Data Transfer Protocols".
"""

from micropython import const

from bridge.core.events import NO_SAMPLE, NO_VALUE, QUESTIONABLE, VALID, Identity, Wave
from bridge.core.options import only
from bridge.core.protocols.driver import CHECK, FORMAT, LENGTH, NOISE, WAIT, AlarmBits, Driver

PORTS = ("115200 8N1",)
SENDS = (b"\x85\x01\x01\x00", b"\x85\x01\x04\x05", b"\x85\x01\x06\x07")
_ENABLE = const(0)
_START = const(1)
_ALIVE = const(2)

_RX_SIZE = const(640)
_BODY_MAX = const(122)  # size, code, data and check as they were before they were escaped
_OPEN = const(0x85)
_ESCAPE = const(0x80)
_ESCAPED_MAX = const(5)
_DATA_AT = const(2)

_CO2_WAVE = const(0)
_NUMERICS = const(1)
_DEVICE_ID = const(4)

# Session
_OFF = const(0)
_ENABLING = const(1)
_ENABLED = const(2)
_STARTING = const(3)
_RUNNING = const(4)
_REPLY_MS = const(1500)
_FIRST_DATA_MS = const(3000)
_ALIVE_MS = const(5000)
_SILENCE_MS = const(10000)

# Numerics
_NUMERICS_SIZE = const(27)
_NONE = const(0xFF)
_SPO2 = const(1)
_PULSE = const(2)
_RATE = const(84)
_NO_BREATH = const(528)
# by the unit's number: EtCO2, FiCO2, decimals, highest value
_UNITS = (None, (99, 102, 0, 150), (100, 103, 1, 200), (101, 104, 1, 200))
_RATE_MAX = const(150)
_SPO2_MAX = const(100)
_PULSE_MAX = const(250)
_NO_PULSE = const(0x01)
_SENSOR_OFF = const(0x60)
_PUMP_OFF = const(0x04)
_CHECK_CO2 = const(0x03)

# CO2 wave
_MMHG = const(1)
_WAVE = const(215)
_WAVE_SIZE = const(4)
_SAMPLES = const(20)
_PERIOD_US = const(50000)
_END_OF_BREATH = const(0x08)

_CO2_ALARMS = (
    ("NO BREATH", 3),
    ("ETCO2 HIGH", 2),
    ("ETCO2 LOW", 2),
    ("RR HIGH", 2),
    ("RR LOW", 2),
    ("FICO2 HIGH", 2),
)
_SPO2_ALARMS = (
    ("NO PULSE", 3),
    ("SPO2 HIGH", 2),
    ("SPO2 LOW", 3),
    ("PULSE HIGH", 2),
    ("PULSE LOW", 2),
    ("SPO2 SENSOR OFF", 1),
    ("SPO2 SENSOR DISCONNECTED", 1),
)
_DEVICE_ALARMS = (
    ("CHECK CALIBRATION", 1),
    ("CHECK FLOW", 1),
    ("PUMP OFF", 1),
    ("", 0),  # the next four are not known
    ("", 0),
    ("", 0),
    ("", 0),
    ("BATTERY LOW", 1),
)
_DEVICE_BITS = const(0x87)


class CapnostreamDecoder(Driver):
    """One capnograph; takes no options. Alarm pages: 0 CO2, 1 oximeter, 2 the device itself."""

    def __init__(self, options):
        only(options, (), "capnostream")
        super().__init__(_RX_SIZE, 6)
        self._body = bytearray(_BODY_MAX)
        self._identity = Identity(0, "")
        self._wave = Wave(_SAMPLES)
        self._wave.parameter = _WAVE
        self._wave.decimals = 2
        self._wave.period_us = _PERIOD_US
        self._filled = 0  # samples of the wave that is not told yet
        self._number = 0  # of the next wave message
        self._carried = False  # the first sample of the next wave is there
        self._carry = 0
        self._unit = 0  # of CO2, 0 until the numerics have told it
        self._co2_alarms = AlarmBits(_CO2_ALARMS, 0)
        self._spo2_alarms = AlarmBits(_SPO2_ALARMS, 1)
        self._device_alarms = AlarmBits(_DEVICE_ALARMS, 2)
        self._state = _OFF
        self._heard = False  # since the last turn there were numerics or a wave
        self._heard_ms = 0
        self._due_ms = 0  # of the answer that is waited for, or of the next sign of life
        self._missed = 0

    # --- asking ---

    def next_request(self, now_ms):
        """Return the bytes to send now, or None."""
        if self._heard:
            self._heard = False
            self._heard_ms = now_ms
            if self._state != _RUNNING:
                self._state = _RUNNING
                self._due_ms = now_ms + _ALIVE_MS
        if self._state == _ENABLED:
            self._state = _STARTING
            self._due_ms = now_ms + _FIRST_DATA_MS
            return SENDS[_START]
        if self._state == _RUNNING and now_ms - self._heard_ms < _SILENCE_MS:
            if now_ms < self._due_ms:
                return None
            self._due_ms = now_ms + _ALIVE_MS
            return SENDS[_ALIVE]
        if self._state != _OFF:
            if self._state != _RUNNING and now_ms < self._due_ms:
                return None
            self._missed += 1
        self._state = _ENABLING
        self._due_ms = now_ms + _REPLY_MS
        return SENDS[_ENABLE]

    # --- listening ---

    def _frame(self, at, count):
        """Leave the frame that stands here, without its escapes, in `_body`."""
        data = self.rx.data
        if data[at] != _OPEN:
            self._why = NOISE
            return -1
        body = self._body
        size = 0
        total = 0
        place = at + 1
        end = at + count
        while place < end:
            byte = data[place]
            if byte == _ESCAPE:
                place += 1
                if place == end:
                    return WAIT
                if data[place] == 0 or data[place] == _ESCAPED_MAX:
                    byte += data[place]
                elif data[place] != _OPEN:
                    self._why = FORMAT
                    return -1
            if data[place] == _OPEN:
                self._why = LENGTH  # the next one starts before this one ended
                return at - place
            place += 1
            body[size] = byte
            total ^= byte
            size += 1
            if size == 1 and not 1 <= byte <= _BODY_MAX - 2:
                self._why = LENGTH
                return -1
            if size == body[0] + 2:
                self._why = CHECK
                return -1 if total else place - at
        return WAIT

    def _take(self, at, size):
        code = self._body[1]
        data_size = self._body[0] - 1
        if code == _CO2_WAVE:
            if data_size != _WAVE_SIZE:
                return self._damage.of(FORMAT, size)
            self._heard = True
            return self._take_sample()
        if code == _NUMERICS:
            if data_size < _NUMERICS_SIZE or not self._take_numerics():
                return self._damage.of(FORMAT, size)
            self._heard = True
            return self._observation
        if code == _DEVICE_ID:
            return self._take_identity(data_size) or self._damage.of(FORMAT, size)
        return None  # the answer to somebody else's question

    def _pending(self):
        if self._missed:
            self._missed -= 1
            return self._damage.of("timeout", 1)
        return self._co2_alarms.next() or self._spo2_alarms.next() or self._device_alarms.next()

    def _take_identity(self, size):
        body = self._body
        while size and body[_DATA_AT + size - 1] == 0x20:
            size -= 1
        for index in range(size):
            if not 0x20 <= body[_DATA_AT + index] <= 0x7E:
                return None
        if self._state == _ENABLING:
            self._state = _ENABLED
        size = min(size, 64)
        self._identity.text = bytes(body[_DATA_AT : _DATA_AT + size]).decode()
        return self._identity

    def _take_numerics(self):
        """Fill the observation; False when a value is none that the device can have."""
        body = self._body
        at = _DATA_AT
        unit = body[at + 25]
        if not 1 <= unit < len(_UNITS):
            return False
        ended, inspired, decimals, co2_max = _UNITS[unit]
        spo2_alarms = body[at + 14]
        device = body[at + 26]
        co2 = QUESTIONABLE if device & _CHECK_CO2 else VALID
        if device & _PUMP_OFF:
            co2 = NO_VALUE
        oximeter = QUESTIONABLE if spo2_alarms & _NO_PULSE else VALID
        if spo2_alarms & _SENSOR_OFF:
            oximeter = NO_VALUE
        self._observation.begin(0, 0)
        good = (
            self._add(ended, body[at + 4], decimals, co2, co2_max)
            and self._add(inspired, body[at + 5], decimals, co2, co2_max)
            and self._add(_RATE, body[at + 6], 0, co2, _RATE_MAX)
            and self._add(_SPO2, body[at + 7], 0, oximeter, _SPO2_MAX)
            and self._add(_PULSE, body[at + 8], 0, oximeter, _PULSE_MAX)
            and self._add(_NO_BREATH, body[at + 15], 0, VALID, _NONE)
        )
        if not good:
            return False
        self._unit = unit
        self._co2_alarms.now = body[at + 13]
        self._spo2_alarms.now = spo2_alarms
        self._device_alarms.now = device & _DEVICE_BITS
        return True

    def _add(self, parameter, value, decimals, state, highest):
        if value == _NONE or (value == 0 and (parameter == _SPO2 or parameter == _PULSE)):
            state = NO_VALUE
        elif value > highest:
            return False
        return self._observation.add(parameter, 0 if state == NO_VALUE else value, decimals, state)

    def _take_sample(self):
        """Add a sample; return the wave when it is full, or when messages are missing."""
        body = self._body
        wave = self._wave
        number = body[_DATA_AT]
        following = number == self._number
        self._number = number + 1 & 0xFF
        if self._carried:
            self._carried = False
            wave.samples[0] = self._carry
            self._filled = 1
        sample = NO_SAMPLE
        if not body[_DATA_AT + 3] & ~_END_OF_BREATH:
            sample = 100 * body[_DATA_AT + 1] + (100 * body[_DATA_AT + 2] + 128 >> 8)
        if self._unit != _MMHG:
            self._filled = 0  # in other units the curve's scale is not established
            return None
        if self._filled and not following:
            wave.count = self._filled
            self._filled = 0
            self._carry = sample
            self._carried = True
            return wave
        wave.samples[self._filled] = sample
        self._filled += 1
        if self._filled < _SAMPLES:
            return None
        wave.count = _SAMPLES
        self._filled = 0
        return wave
