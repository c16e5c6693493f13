"""SERVO channels: what they are, and what their counts mean, as the ventilator itself says.

    sampling ms ; channel,gain,offset,unit,type,id ; ...    gain and offset as +1000E-004, or "-"

A value is count x gain - offset. A channel whose unit is not the one below is not read.
"""

from array import array

from micropython import const

from bridge.core.digits import number_of
from bridge.core.events import NO_VALUE, VALID, Alarm

_MISSING = const(9999)
_DECIMALS_MAX = const(3)
_ML, _WATER, _ML_WATER, _RATE, _PERCENT, _LITRES_MIN = 1, 4, 5, 6, 7, 8
_RESISTANCE, _MMHG, _MBAR, _SECONDS, _NONE, _ML_MIN = 9, 10, 12, 14, 20, 3

# channel, unit, parameter
BREATH = (
    (200, _RATE, 80),
    (201, _ML, 337),
    (202, _ML, 336),
    (203, _LITRES_MIN, 339),
    (204, _LITRES_MIN, 338),
    (205, _WATER, 320),
    (206, _WATER, 321),
    (207, _WATER, 322),
    (208, _WATER, 323),
    (209, _PERCENT, 96),
    (210, _MBAR, 40),
    (225, _PERCENT, 101),
    (226, _ML_MIN, 105),
    (231, _RESISTANCE, 342),
    (232, _ML_WATER, 326),
    (236, _RESISTANCE, 340),
    (239, _SECONDS, 72),
    (240, _ML_WATER, 328),
    (245, _WATER, 325),
    (247, _RATE, 82),
    (254, _WATER, 330),
    (260, _MMHG, 99),
)
SETTINGS = (
    (300, _RATE, 178),
    (303, _RATE, 184),
    (305, _LITRES_MIN, 354),
    (306, _WATER, 334),
    (307, _WATER, 333),
    (308, _WATER, 332),
    (323, _PERCENT, 176),
    (334, _ML, 179),
)
# channel, phrase, priority
ALARMS = (
    (400, "O2 HIGH", 2),
    (401, "O2 LOW", 3),
    (402, "ETCO2 HIGH", 2),
    (403, "ETCO2 LOW", 2),
    (410, "PRESSURE HIGH", 3),
    (411, "EXPIRED MINUTE VOLUME", 3),
    (412, "APNEA", 3),
    (413, "GAS SUPPLY", 3),
    (414, "BATTERY", 2),
    (416, "POWER", 3),
    (417, "MAINS", 1),
    (423, "HIGH CONTINUOUS PRESSURE", 3),
    (425, "O2 CELL", 2),
    (431, "NO PATIENT EFFORT", 2),
    (432, "LEAKAGE", 2),
    (433, "CHECK TUBING", 3),
    (435, "RATE HIGH", 2),
    (436, "RATE LOW", 2),
    (437, "PEEP LOW", 2),
    (438, "PEEP HIGH", 2),
)
_UNKNOWN = const(-128)


class Channels:
    """The channels of one table, in the order in which they are asked for."""

    def __init__(self, table):
        self._table = table
        self.count = len(table)
        self._gains = array("h", bytes(2 * self.count))
        self._offsets = array("h", bytes(2 * self.count))
        # Powers of ten; _UNKNOWN for a channel that is not read
        self._gain_tens = array("b", bytes(self.count))
        self._offset_tens = array("b", bytes(self.count))
        self._forget()

    def _forget(self):
        for index in range(self.count):
            self._gain_tens[index] = _UNKNOWN

    def learn(self, data, start, end):
        """Take the ventilator's own table, from data[start:end]."""
        self._forget()
        at = data.find(b";", start, end) + 1
        while at:
            stop = data.find(b";", at, end)
            self._learn_one(data, at, end if stop < 0 else stop)
            at = stop + 1

    def _learn_one(self, data, at, end):
        channel = number_of(data, at, min(at + 3, end))
        for index in range(self.count):
            number, unit, _ = self._table[index]
            if number != channel:
                continue
            gain = at + 4
            offset = data.find(b",", gain, end) + 1
            after = data.find(b",", offset, end) + 1
            if not offset or not after or number_of(data, after, after + 2) != unit:
                return
            tens = _tens(data, gain, offset - 1)
            if tens == _UNKNOWN:
                return
            self._gains[index] = _mantissa(data, gain)
            self._gain_tens[index] = tens
            tens = _tens(data, offset, after - 1)
            self._offsets[index] = 0 if tens == _UNKNOWN else _mantissa(data, offset)
            self._offset_tens[index] = 0 if tens == _UNKNOWN else tens
            return

    def read(self, data, at, observation):
        """Add every value; False when one is not four digits."""
        for index in range(self.count):
            count = number_of(data, at, at + 4)
            at += 4
            if count < 0:
                return False
            tens = self._gain_tens[index]
            if tens == _UNKNOWN:
                continue
            parameter = self._table[index][2]
            if count == _MISSING:
                observation.add(parameter, 0, 0, NO_VALUE)
                continue
            gain = self._gains[index]
            while tens < 0 and gain and gain % 10 == 0:
                gain //= 10
                tens += 1
            decimals = min(-tens, _DECIMALS_MAX) if tens < 0 else 0
            value = _scaled(count * gain, tens + decimals)
            value -= _scaled(self._offsets[index], self._offset_tens[index] + decimals)
            observation.add(parameter, value, decimals, VALID)
        return True


def _scaled(value, tens):
    """Return value x 10**tens, rounded."""
    if tens >= 0:
        return value * 10**tens
    divisor = 10**-tens
    if value < 0:
        return -((-value + divisor // 2) // divisor)
    return (value + divisor // 2) // divisor


def _mantissa(data, at):
    value = number_of(data, at + 1, at + 5)
    return -value if data[at] == 0x2D else value


def _tens(data, at, end):
    """Return the power of ten of +1000E-004, _UNKNOWN for anything else."""
    if end - at != 10 or data[at] not in b"+-" or data[at + 5] != 0x45:
        return _UNKNOWN
    tens = number_of(data, at + 7, at + 10)
    if number_of(data, at + 1, at + 5) < 0 or not 0 <= tens <= 9 or data[at + 6] not in b"+-":
        return _UNKNOWN
    return -tens if data[at + 6] == 0x2D else tens


class ServoAlarms:
    """Alarms as digits in the order of ALARMS: 0 off, 1 on, 2 on and silenced."""

    def __init__(self):
        self._now = bytearray(len(ALARMS))
        self._told = bytearray(len(ALARMS))
        self._alarm = Alarm()

    def take(self, data, at, end):
        """Take data[at:end]; False when it is not a digit for each alarm."""
        if end - at != len(ALARMS):
            return False
        for index in range(len(ALARMS)):
            if not 0x30 <= data[at + index] <= 0x32:
                return False
        for index in range(len(ALARMS)):
            self._now[index] = data[at + index] > 0x30
        return True

    def next(self):
        """Return the Alarm that has changed, or None."""
        for index in range(len(ALARMS)):
            if self._now[index] != self._told[index]:
                self._told[index] = self._now[index]
                alarm = self._alarm
                alarm.code, alarm.text, alarm.priority = ALARMS[index]
                alarm.active = self._now[index] == 1
                return alarm
        return None
