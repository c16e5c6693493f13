"""Puritan Bennett 840 and 980 ventilators: the waveform port, which sends each breath at its end.

    "BS, S:nnn," LF, then flow "," pressure LF each 20 ms, then "BE" LF

Flow is in L/min, pressure in cm[H2O]; of a breath longer than 8 s the rest is missing. There is no
check: a breath counts when it has its end and nothing else between.
Speed 38400 bit/s 8N1; nothing is ever sent. Source: three public decoders and real recordings.
"""

from micropython import const

from bridge.core.digits import Decimal, matches
from bridge.core.events import Damage, Wave
from bridge.core.options import only
from bridge.core.protocols.textline import NOTHING, TOO_LONG, TextLines

PORTS = ("38400 8N1",)
SENDS = ()

_RX_SIZE = const(256)
_LINE_MAX = const(40)
_SAMPLES_MAX = const(400)
_PERIOD_US = const(20000)
_DECIMALS = const(2)
_FLOW = const(219)
_PRESSURE = const(341)
_MAX = const(32767)


class PuritanWaveDecoder:
    """Breaths as two waves each. Takes no options."""

    def __init__(self, options):
        only(options, (), "puritan_bennett_waves")
        self._lines = TextLines(_RX_SIZE, _LINE_MAX)
        self.rx = self._lines.rx
        self._line = self._lines.line
        self._flow = Wave(_SAMPLES_MAX)
        self._pressure = Wave(_SAMPLES_MAX)
        for wave, parameter in ((self._flow, _FLOW), (self._pressure, _PRESSURE)):
            wave.parameter = parameter
            wave.decimals = _DECIMALS
            wave.period_us = _PERIOD_US
        self._inside = False
        self._size = 0  # bytes of the breath so far
        self._is_left = False
        self._number = Decimal()
        self._damage = Damage()

    def next_request(self, now_ms):
        """Return None: the ventilator speaks by itself."""

    def next_event(self):
        """Return the next event, or None until more bytes arrive. Raises nothing."""
        if self._is_left:
            self._is_left = False
            return self._pressure
        while True:
            found = self._lines.next()
            if found == NOTHING:
                return None
            if found == TOO_LONG:
                return self._broken(self._lines.skipped, "length")
            event = self._take(self._lines.size)
            if event is not None:
                return event

    def _take(self, size):
        line = self._line
        if size >= 5 and matches(line, 0, b"BS, S"):
            lost = self._size
            self._inside = True
            self._size = size
            self._flow.count = self._pressure.count = 0
            return self._damage.of("format", lost) if lost else None
        if not self._inside:
            return self._damage.of("noise", size)
        if size == 2 and matches(line, 0, b"BE"):
            self._inside = False
            self._size = 0
            self._pressure.count = self._flow.count
            if not self._flow.count:
                return None
            self._is_left = True
            return self._flow
        self._size += size
        comma = line.find(b",", 0, size)
        count = self._flow.count
        if comma < 0 or count == _SAMPLES_MAX:
            return self._broken(0, "format")
        if not self._sample(self._flow, 0, comma) or not self._sample(
            self._pressure, comma + 1, size
        ):
            return self._broken(0, "format")
        self._flow.count = count + 1
        return None

    def _sample(self, wave, start, end):
        found = self._number
        if not found.read(self._line, start, end) or found.decimals > _DECIMALS:
            return False
        value = found.value * 10 ** (_DECIMALS - found.decimals)
        if not -_MAX <= value <= _MAX:
            return False
        wave.samples[self._flow.count] = value
        return True

    def _broken(self, size, kind):
        """Give up the breath."""
        size += self._size
        self._inside = False
        self._size = 0
        return self._damage.of(kind, size)
