"""Philips IntelliVue: samples of one wave object, and what the monitor says once of each."""

from array import array

from micropython import const

from bridge.core.events import NO_SAMPLE, Wave
from bridge.core.protocols.intellivue_data import WAVES, scaled, u16

_OBJECTS_MAX = const(8)
_SAMPLES_MAX = const(256)
_ARRAY = const(0x096E)
_COMPOUND = const(0x0967)
_SPEC = const(0x096D)
_PERIOD = const(0x098D)
_SCALE = const(0x096F)
_STATE_BAD = const(0xBC00)
_EIGHTH_US = const(125)


class Waves:
    """Wave objects by their handles; what they tell only once is remembered for a session."""

    def __init__(self):
        self.wave = Wave(_SAMPLES_MAX)
        self._handles = array("H", bytes(2 * _OBJECTS_MAX))
        self._periods = array("H", bytes(2 * _OBJECTS_MAX))  # in 1/8 ms
        self._sizes = bytearray(_OBJECTS_MAX)  # bytes of a sample
        self._masks = array("H", bytes(2 * _OBJECTS_MAX))
        self._scales = [None] * _OBJECTS_MAX
        self._count = 0
        self._step = self._whole = 1

    def forget(self):
        """Begin a new session: handles mean other objects."""
        self._count = 0

    def read(self, data, at, end, handle):
        """Return the Wave of the attributes in data[at:end], or None."""
        index = self._index(handle)
        if index < 0:
            return None
        values = 0
        while at + 4 <= end:
            id = u16(data, at)
            size = u16(data, at + 2)
            at += 4
            if at + size > end:
                return None
            if id == _PERIOD and size >= 4:
                self._periods[index] = u16(data, at + 2)
            elif id == _SPEC and size >= 4:
                self._sizes[index] = data[at + 2] >> 3
                self._masks[index] = (1 << min(16, data[at + 3])) - 1
            elif id == _SCALE and size >= 12:
                self._scales[index] = bytes(data[at : at + 12])  # used with the wave's decimals
            elif id == _ARRAY:
                values = at
            elif id == _COMPOUND and size > 4:
                values = at + 4
            at += size
        return self._samples(data, values, end, index) if values else None

    def _index(self, handle):
        for index in range(self._count):
            if self._handles[index] == handle:
                return index
        if self._count == _OBJECTS_MAX:
            return -1
        index = self._count
        self._count += 1
        self._handles[index] = handle
        self._periods[index] = 0
        self._sizes[index] = 2
        self._masks[index] = 0xFFFF
        self._scales[index] = None
        return index

    def _samples(self, data, at, end, index):
        physio = u16(data, at)
        known = WAVES.get(physio)
        size = u16(data, at + 4)
        width = self._sizes[index]
        if known is None or at + 6 + size > end or width not in (1, 2) or not self._periods[index]:
            return None
        parameter, decimals, low, high, low_sample, high_sample = known
        told = self._scales[index]
        if told is not None:
            floor, top = scaled(told, 0, decimals), scaled(told, 4, decimals)
            if floor is not None and top is not None and u16(told, 10) > u16(told, 8):
                low = floor
                high = top
                low_sample = u16(told, 8)
                high_sample = u16(told, 10)
        self._reduce(high - low, high_sample - low_sample)
        step, whole = self._step, self._whole
        wave = self.wave
        wave.parameter = parameter
        wave.decimals = decimals
        wave.period_us = self._periods[index] * _EIGHTH_US
        bad = u16(data, at + 2) & _STATE_BAD
        mask = self._masks[index]
        count = min(size // width, _SAMPLES_MAX)
        at += 6
        for number in range(count):
            sample = data[at] if width == 1 else data[at] << 8 | data[at + 1]
            at += width
            value = low + ((sample & mask) - low_sample) * step // whole
            fits = not bad and -0x8000 < value <= 0x7FFF
            wave.samples[number] = value if fits else NO_SAMPLE
        wave.count = count
        return wave if count else None

    def _reduce(self, one, other):
        """Keep the fraction one/other in the smallest numbers: products stay small."""
        step, whole = one, other
        while whole:
            rest = step % whole
            step = whole
            whole = rest
        self._whole = other // step
        self._step = one // step
