"""Observations to the coded commits of one class's log, within one sector.

The state (who is who, last values, times, all probabilities) starts afresh with each sector and
each resume, so each part decodes by itself. The twin that reads is reader.py; what they share is
model.py.
"""

from array import array

from micropython import const

from bridge.core.clip import clip
from bridge.core.events import NO_VALUE
from bridge.core.journal import model, records
from bridge.core.journal.coder import EVEN, Encoder
from bridge.core.journal.layout import COMMIT_MAX, FIRST_CONFIGURED

_TEXT_MAX = const(96)
_GROW = const(8)
CHANNELS_MAX = const(64)  # of one shape
DEFINED_AT_ONCE = const(8)  # channels in one dictionary record

# What records of each kind take at most when all goes normally; the coder says when they do not.
TEXT_ROOM = const(160)
SMALL_ROOM = const(48)
DEFINE_ROOM = const(420)


class Shape:
    """A device's group of parameters and their last values; a channel is (parameter, decimals)."""

    def __init__(self, device, group):
        self.device = device
        self.group = group
        self.count = 0
        self.defined = 0  # channels the current sector's dictionary has
        self.index = -1  # number of this shape in the current sector
        self.tempo = model.Tempo()
        self.parameters = array("H")
        self.decimals = bytearray()
        self.readings = model.Readings(0)

    def match(self, observation):
        """Lay out the observation by channel, adding channels it has not had.

        Returns the number of parameters that found no room.
        """
        states = self.readings.fresh_states
        for channel in range(self.count):
            states[channel] = NO_VALUE
        expected = 0
        lost = 0
        for index in range(observation.count):
            parameter = observation.parameters[index]
            decimals = observation.decimals[index]
            channel = self._find(parameter, decimals, expected)
            if channel < 0:
                channel = self._add(parameter, decimals)
                if channel < 0:
                    lost += 1
                    continue
            self.readings.fresh[channel] = observation.values[index]
            self.readings.fresh_states[channel] = observation.states[index]
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

    def _add(self, parameter, decimals):
        channel = self.count
        if channel == CHANNELS_MAX:
            return -1
        if channel == len(self.decimals):
            self.parameters.extend(array("H", bytes(2 * _GROW)))
            self.decimals.extend(bytes(_GROW))
            self.readings.grow(_GROW)
        self.parameters[channel] = parameter
        self.decimals[channel] = decimals
        self.count = channel + 1
        return channel


class Waveform:
    """One waveform of one device; of another rate or scale it is another one."""

    def __init__(self, device, parameter, decimals, period_us):
        self.device = device
        self.parameter = parameter
        self.decimals = decimals
        self.period_us = period_us
        self.index = -1
        self.tempo = model.Tempo()
        self.samples = model.Samples()


class RecordWriter:
    """Fills a commit with records; the journal encrypts and programs it.

    devices  list of records.Device, in the order of the configuration
    extras   {id: (label, unit)} of the parameters that the common table lacks
    records  how many are in the commit at hand
    """

    def __init__(self, devices, extras):
        self.coder = Encoder(COMMIT_MAX)
        self.records = 0
        self._marked = self._marked_kind = self._marked_cell = 0
        self._devices = devices
        self._extras = extras
        self._numbers = model.table()
        self._named = bytearray(len(devices))
        self._shapes = []
        self._waveforms = []
        self._defined_shapes = 0
        self._defined_waveforms = 0
        self._kind = records.END
        self._parameter = 0
        self._tick = 0
        self._base = 0

    def restart(self, mono_ms):
        """Begin a new sector or resume that opened at `mono_ms`."""
        self._tick = self._base = mono_ms // records.TICK_MS
        self._kind = records.END
        self._parameter = 0
        self._defined_shapes = self._defined_waveforms = 0
        model.clear(self._numbers, EVEN)
        model.clear(self._named, 0)
        for shape in self._shapes:
            shape.index = -1
            shape.defined = 0
        for waveform in self._waveforms:
            waveform.index = -1

    def begin(self, limit):
        """Start a commit of at most `limit` bytes."""
        self.coder.begin(limit)
        self.records = 0

    @property
    def room(self):
        """Bytes that the commit at hand can still take."""
        return self.coder.room

    @property
    def is_full(self):
        return self.coder.is_full

    def mark(self):
        """Begin a record: `undo` comes back here."""
        self.coder.mark()
        self._marked = self.records
        self._marked_kind = self._kind
        self._marked_cell = self._numbers[self._end_cell()]

    def undo(self):
        """Take back the record at hand. Only `finish` and a restart make sense after that."""
        self.coder.undo()
        self.records = self._marked
        # The end of the commit must be coded as a reader will expect it, who sees no such record.
        self._kind = self._marked_kind
        self._numbers[self._end_cell()] = self._marked_cell

    def finish(self):
        """End the commit and return its size; it is in `coder.data`."""
        self.coder.open_tail()
        self._code(self._kind_key(), records.END)
        self._kind = records.END
        return self.coder.finish()

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

    def waveform_of(self, device, wave):
        """Return the Waveform of a device's wave, making it at its first use, None when full."""
        for waveform in self._waveforms:
            if (
                waveform.device == device
                and waveform.parameter == wave.parameter
                and waveform.period_us == wave.period_us
                and waveform.decimals == wave.decimals
            ):
                return waveform
        if len(self._waveforms) == records.WAVEFORMS_MAX:
            return None
        waveform = Waveform(device, wave.parameter, wave.decimals, wave.period_us)
        self._waveforms.append(waveform)
        return waveform

    # --- dictionary ---

    def knows(self, shape):
        """Say whether this sector's dictionary has all of a shape."""
        return shape.index >= 0 and shape.defined == shape.count

    def define(self, shape):
        """Write what the dictionary lacks of a shape, or a part of it."""
        self._name(shape.device)
        self._begin(records.SHAPE)
        if shape.index < 0:
            shape.index = self._defined_shapes
            self._defined_shapes += 1
            shape.tempo.restart(self._base)
        self._number(shape.index)
        self._number(shape.device)
        self._number(shape.group)
        count = min(shape.count - shape.defined, DEFINED_AT_ONCE)
        self._number(count)
        for channel in range(shape.defined, shape.defined + count):
            self._define_parameter(shape.parameters[channel], shape.decimals[channel])
            shape.readings.restart(channel)
        shape.defined += count

    def define_waveform(self, waveform):
        """Write a waveform into this sector's dictionary."""
        self._name(waveform.device)
        self._begin(records.WAVEFORM)
        waveform.index = self._defined_waveforms
        self._defined_waveforms += 1
        waveform.tempo.restart(self._base)
        waveform.samples.restart()
        self._number(waveform.device)
        self._define_parameter(waveform.parameter, waveform.decimals)
        self.coder.even(waveform.period_us, 24)

    def _define_parameter(self, parameter, decimals):
        model.signed(self.coder, self._numbers, records.PARAMETER_KEY, parameter - self._parameter)
        self._parameter = parameter
        self._number(decimals)
        if parameter >= FIRST_CONFIGURED:
            label, unit = self._extras[parameter]
            self._text(label)
            self._text(unit)

    def _name(self, device):
        if self._named[device]:
            return
        self._named[device] = 1
        known = self._devices[device]
        self._begin(records.DEVICE)
        self._number(device)
        self._number(known.unit)
        self._text(known.name)
        self._text(known.protocol)

    # --- records ---

    def observation(self, shape, mono_ms):
        """Write one observation that `shape.match` has just seen and the dictionary knows."""
        self._begin(records.OBSERVATION)
        self._number(shape.index)
        self._tick = mono_ms // records.TICK_MS
        shape.tempo.code(self.coder, self._numbers, self._tick)
        shape.readings.code(self.coder, self._numbers, shape.count)

    def wave(self, waveform, samples, count, mono_ms):
        """Write samples[:count], the first at `mono_ms`, of a waveform the dictionary knows."""
        self._begin(records.WAVE)
        self._number(waveform.index)
        self._tick = mono_ms // records.TICK_MS
        waveform.tempo.code(self.coder, self._numbers, self._tick)
        model.number(self.coder, self._numbers, records.COUNT_KEY, count)
        waveform.samples.code(self.coder, samples, count)

    def alarm(self, device, alarm, mono_ms):
        self._name(device)
        self._begin(records.ALARM)
        self._time(mono_ms)
        self._number(device)
        self.coder.even(alarm.page & 0xFF, 8)
        self.coder.even(alarm.code & 0xFFFF, 16)
        self.coder.even(alarm.priority & 0x7F, 7)
        self.coder.even(1 if alarm.active else 0, 1)
        self._text(alarm.text)

    def event(self, event, text, mono_ms):
        self._begin(records.EVENT)
        self._time(mono_ms)
        self._number(event)
        self._text(text)

    def gap(self, cls, first, last, mono_ms):
        self._begin(records.GAP)
        self._time(mono_ms)
        self.coder.even(cls, 2)
        self.coder.even(first, 32)
        self.coder.even(last, 32)

    def clock(self, exact_ms, utc_ms, error_ms, clock):
        self._begin(records.CLOCK)
        self._time(exact_ms)
        self.coder.even(exact_ms, 48)
        self.coder.even(utc_ms, 48)
        self.coder.even(min(error_ms, 0xFFFF), 16)
        self.coder.even(clock, 3)

    # --- parts ---

    def _begin(self, kind):
        self._code(self._kind_key(), kind)
        self._kind = kind
        self.records += 1

    def _end_cell(self):
        # A kind of 0 is a number of one bit, and so of one context.
        return model.first_context(self._kind_key())

    def _kind_key(self):
        return records.KIND_KEY + records.KIND_STEP * self._kind

    def _code(self, key, value):
        model.number(self.coder, self._numbers, key, value)

    def _number(self, value):
        model.number(self.coder, self._numbers, records.FIELD_KEY, value)

    def _time(self, mono_ms):
        tick = mono_ms // records.TICK_MS
        model.signed(self.coder, self._numbers, records.TIME_KEY, tick - self._tick)
        self._tick = tick

    def _text(self, text):
        data = clip(text, _TEXT_MAX)
        self._number(len(data))
        for byte in data:
            self.coder.even(byte, 8)
