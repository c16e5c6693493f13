"""What a device decoder says: Observation, Wave, Alarm, Identity, Damage.

A decoder owns its events and refills them, so a steady stream allocates nothing. An event is
valid until the next call of `next_event`.
"""

from array import array

from micropython import const

# States of one value. NO_VALUE covers absent, blank, dashes and device codes for "no data".
VALID = const(0)
NO_VALUE = const(1)
QUESTIONABLE = const(2)  # the device gives a value and doubts it
OVER_RANGE = const(3)
UNDER_RANGE = const(4)


class Observation:
    """One reading of one device at one time: `count` parameters with value and state.

    unit        address on a shared bus, 0 on a point-to-point line
    group       names the set of parameters the device sends together, 0..255
    parameters  array("H"), ids of `codes.PARAMETERS`, or 0x8000 up for configured ones
    values      array("i"), decimal integers: 72 with decimals 1 is 7.2; 0 where there is no value
    decimals    bytearray, digits behind the point, 0..6
    states      bytearray, VALID, NO_VALUE, QUESTIONABLE, OVER_RANGE or UNDER_RANGE
    """

    def __init__(self, capacity):
        self.unit = 0
        self.group = 0
        self.count = 0
        self.parameters = array("H", bytes(2 * capacity))
        self.values = array("i", bytes(4 * capacity))
        self.decimals = bytearray(capacity)
        self.states = bytearray(capacity)

    def begin(self, unit, group):
        self.unit = unit
        self.group = group
        self.count = 0

    def add(self, parameter, value, decimals, state):
        """Append one parameter and return True, or False when the observation is full."""
        index = self.count
        if index == len(self.states):
            return False
        self.parameters[index] = parameter
        self.values[index] = value
        self.decimals[index] = decimals
        self.states[index] = state
        self.count = index + 1
        return True


NO_SAMPLE = const(-0x8000)  # in a wave: the device gave no value here


class Wave:
    """A stretch of one waveform: `count` samples, the first at the time of the event.

    unit       address on a shared bus, 0 on a point-to-point line
    parameter  id of `codes.PARAMETERS`, or 0x8000 up for configured ones
    decimals   digits behind the point, 0..6
    period_us  microseconds from sample to sample, 1..16777215
    samples    array("h"), decimal integers, or NO_SAMPLE
    """

    def __init__(self, capacity):
        self.unit = 0
        self.parameter = 0
        self.decimals = 0
        self.period_us = 0
        self.count = 0
        self.samples = array("h", bytes(2 * capacity))


class Alarm:
    """One alarm of the device itself, as it names it.

    page and code   the device's own numbers
    priority        0 none, 1 low, 2 medium, 3 high (IEC 60601-1-8)
    active          True when it appears, False when it is gone
    text            the device's phrase, at most 32 characters
    """

    def __init__(self):
        self.unit = 0
        self.page = 0
        self.code = 0
        self.priority = 0
        self.active = False
        self.text = ""


class Identity:
    """What the device says of itself, once a session: free text of at most 64 characters."""

    def __init__(self, unit, text):
        self.unit = unit
        self.text = text


class Damage:
    """Bytes that made no sense: `kind` is noise, check, length or format, `count` is in bytes.

    Two more kinds count requests: "timeout", polls that were not answered, and "refused", those
    answered with an exception or a NAK.
    """

    def __init__(self):
        self.kind = ""
        self.count = 0

    def of(self, kind, count):
        """Fill it and return it."""
        self.kind = kind
        self.count = count
        return self
