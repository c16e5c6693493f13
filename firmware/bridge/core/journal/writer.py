"""Observations to the plaintext of commits: one class's state within one sector.

The state (who is who, last values, last time) starts empty with each sector and with each resume,
so each part decodes by itself. The twin that reads is reader.py.
"""

import struct
from array import array

from micropython import const

from bridge.core.events import NO_VALUE
from bridge.core.journal import records
from bridge.core.journal.layout import COMMIT_MAX, FIRST_CONFIGURED

_TEXT_MAX = const(96)
_VALUE_MAX = const(8)  # gap, state and a zigzag varint of 33 bits
_TIME_MAX = const(9)  # a varint of ten-millisecond steps since the sector's start

CHANNELS_MAX = const(64)  # of one shape


class Shape:
    """A device's group of parameters and their last values; a channel is (parameter, decimals)."""

    def __init__(self, device, group):
        self.device = device
        self.group = group
        self.count = 0
        self.defined = 0  # channels the current sector's dictionary has
        self.index = -1  # number of this shape in the current sector
        self.parameters = array("H", bytes(2 * CHANNELS_MAX))
        self.decimals = bytearray(CHANNELS_MAX)
        self.last = array("i", bytes(4 * CHANNELS_MAX))
        self.states = bytearray(CHANNELS_MAX)
        self.at = bytearray(CHANNELS_MAX)  # where the observation at hand has each channel, + 1

    def match(self, observation):
        """Note where each channel stands in the observation, adding channels it has not had.

        Returns the number of parameters that found no room.
        """
        at, count = self.at, self.count
        for index in range(count):
            at[index] = 0
        expected = 0
        lost = 0
        for index in range(observation.count):
            parameter = observation.parameters[index]
            decimals = observation.decimals[index]
            channel = self._find(parameter, decimals, expected)
            if channel < 0:
                if self.count == CHANNELS_MAX:
                    lost += 1
                    continue
                channel = self.count
                self.parameters[channel] = parameter
                self.decimals[channel] = decimals
                self.count = channel + 1
            at[channel] = index + 1
            expected = channel + 1
        return lost

    def _find(self, parameter, decimals, expected):
        # Devices send in one order: the search nearly always ends where it starts.
        count = self.count
        for step in range(count):
            channel = expected + step
            if channel >= count:
                channel -= count
            if self.parameters[channel] == parameter and self.decimals[channel] == decimals:
                return channel
        return -1


class RecordWriter:
    """Fills `data[:size]` with records; the journal encrypts and programs them as one commit.

    devices  list of records.Device, in the order of the configuration
    extras   {id: (label, unit)} of the parameters that the common table lacks
    """

    def __init__(self, devices, extras):
        self.data = bytearray(COMMIT_MAX)
        self.size = 0
        self._devices = devices
        self._extras = extras
        self._named = bytearray(len(devices))
        self._shapes = []
        self._defined_shapes = 0
        self._tick = 0

    def restart(self, mono_ms):
        """Begin a new sector or resume that opened at `mono_ms`."""
        self.size = 0
        self._tick = mono_ms // records.TICK_MS
        self._defined_shapes = 0
        for index in range(len(self._named)):
            self._named[index] = 0
        for shape in self._shapes:
            shape.index = -1
            shape.defined = 0
            for channel in range(shape.count):
                shape.last[channel] = 0
                shape.states[channel] = NO_VALUE

    def shape_of(self, device, group):
        """Return the Shape of a device's group, making it at its first use, or None when full."""
        for shape in self._shapes:
            if shape.device == device and shape.group == group:
                return shape
        if len(self._shapes) == records.SHAPES_MAX:
            return None
        shape = Shape(device, group)
        self._shapes.append(shape)
        return shape

    def bound(self, shape):
        """Return how many bytes the next observation of `shape` can take at most."""
        size = 1 + _TIME_MAX + 1 + shape.count * _VALUE_MAX
        if shape.defined < shape.count:
            size += 5 + 3 * (shape.count - shape.defined)
            for channel in range(shape.defined, shape.count):
                extra = self._extras.get(shape.parameters[channel])
                if extra:
                    size += 2 + len(extra[0].encode()) + len(extra[1].encode())
        return size + self.name_bound(shape.device)

    def name_bound(self, device):
        """Return how many bytes naming a device can take; 0 when this sector knows it."""
        if self._named[device]:
            return 0
        known = self._devices[device]
        return 5 + len(known.name.encode()) + len(known.protocol.encode())

    def text_bound(self, device):
        """Return how many bytes an alarm or event can take at most."""
        return _TEXT_MAX + 8 + _TIME_MAX + (0 if device is None else self.name_bound(device))

    # --- records ---

    def observation(self, shape, observation, mono_ms):
        """Write one observation that `shape.match` has just seen."""
        self._name(shape.device)
        self._define(shape)
        self._byte(records.OBSERVATION | shape.index)
        self._time(mono_ms)
        changed_at = self.size
        self.size += 1
        changed = 0
        previous = -1
        for channel in range(shape.count):
            index = shape.at[channel] - 1
            state = NO_VALUE
            value = 0
            if index >= 0:
                state = observation.states[index]
                value = observation.values[index]
            last = shape.last[channel]
            if state == shape.states[channel] and (state == NO_VALUE or value == last):
                continue
            moved = state != shape.states[channel]
            self._varint((channel - previous - 1) << 1 | (1 if moved else 0))
            if moved:
                self._byte(state)
                shape.states[channel] = state
            if state != NO_VALUE:
                self._signed(value - last)
                shape.last[channel] = value
            previous = channel
            changed += 1
        self.data[changed_at] = changed

    def alarm(self, device, alarm, mono_ms):
        self._name(device)
        self._byte(records.ALARM)
        self._time(mono_ms)
        self._byte(device)
        self._byte(alarm.page & 0xFF)
        self._pack("<H", alarm.code & 0xFFFF)
        self._byte((alarm.priority & 0x7F) | (0x80 if alarm.active else 0))
        self._text(alarm.text)

    def event(self, event, text, mono_ms):
        self._byte(records.EVENT)
        self._time(mono_ms)
        self._byte(event)
        self._text(text)

    def gap(self, cls, first, last, mono_ms):
        self._byte(records.GAP)
        self._time(mono_ms)
        self._byte(cls)
        self._pack("<II", first, last)

    def clock(self, exact_ms, utc_ms, error_ms, clock):
        self._byte(records.CLOCK)
        self._time(exact_ms)
        self._pack("<QqHB", exact_ms, utc_ms, min(error_ms, 0xFFFF), clock)

    # --- dictionary ---

    def _name(self, device):
        if self._named[device]:
            return
        self._named[device] = 1
        known = self._devices[device]
        self._byte(records.DEVICE)
        self._byte(device)
        self._byte(known.unit)
        self._text(known.name)
        self._text(known.protocol)

    def _define(self, shape):
        if shape.defined == shape.count and shape.index >= 0:
            return
        if shape.index < 0:
            shape.index = self._defined_shapes
            self._defined_shapes += 1
        self._byte(records.SHAPE)
        self._byte(shape.index)
        self._byte(shape.device)
        self._byte(shape.group)
        self._byte(shape.count - shape.defined)
        for channel in range(shape.defined, shape.count):
            parameter = shape.parameters[channel]
            self._pack("<H", parameter)
            self._byte(shape.decimals[channel])
            if parameter >= FIRST_CONFIGURED:
                label, unit = self._extras[parameter]
                self._text(label)
                self._text(unit)
            shape.last[channel] = 0
            shape.states[channel] = NO_VALUE
        shape.defined = shape.count

    # --- bytes ---

    def _byte(self, value):
        self.data[self.size] = value
        self.size += 1

    def _pack(self, form, *values):
        struct.pack_into(form, self.data, self.size, *values)
        self.size += struct.calcsize(form)

    def _text(self, text):
        data = text.encode()[:_TEXT_MAX]
        self._byte(len(data))
        self.data[self.size : self.size + len(data)] = data
        self.size += len(data)

    def _varint(self, value):
        data, size = self.data, self.size
        while value > 0x7F:
            data[size] = value & 0x7F | 0x80
            value >>= 7
            size += 1
        data[size] = value
        self.size = size + 1

    def _signed(self, value):
        self._varint(value << 1 if value >= 0 else -(value << 1) - 1)

    def _time(self, mono_ms):
        # Time goes forward within a sector; two tasks may hand in the same moment out of order.
        tick = max(mono_ms // records.TICK_MS, self._tick)
        self._varint(tick - self._tick)
        self._tick = tick
