"""What the log expects of its data: one description that both writes and reads (coder.py).

Every function takes a coder and the value to write; a decoder ignores the value and the function
returns the one read. Everything here starts afresh with each sector and each resume.
"""

from array import array

from micropython import const

from bridge.core.errors import FormatError
from bridge.core.events import NO_SAMPLE, NO_VALUE, UNDER_RANGE
from bridge.core.journal.coder import EVEN, RARE

NUMBERS = const(256)
_STATE_KEY = const(100)
_LENGTH_MAX = const(66)  # bits: no number of ours is longer

# Contexts of one channel
_CHANGED = const(0)  # + 3 * (it changed last time) + (what the channel before did)
_STATE = const(6)  # + (the state of the channel before changed)
_BACK = const(8)  # its value moved while it had none
_UP = const(9)  # + (what it did last: 0 nothing yet, 1 up, 2 down)
CONTEXTS = const(12)

# What a channel did
_STAYED = const(0)
_MOVED = const(1)
_STATE_MOVED = const(2)


def table():
    """Return the contexts of a table of numbers."""
    return array("H", bytes(2 * NUMBERS))


def clear(cells, cell):
    for index in range(len(cells)):
        cells[index] = cell


def number(coder, cells, key, value):
    """Code a number from 0 up: the length of value + 1 in bits, then what follows its top bit.

    key  tells the contexts of one kind of number from another's; the factors below spread them
    """
    value += 1
    length = 1
    if coder.decoding:
        value = 1
        while coder.bit(cells, key + 149 * length & 255, 0):
            length += 1
            if length > _LENGTH_MAX:
                raise FormatError("commit: a number of %d bits" % length)
    else:
        while value >> length:
            coder.bit(cells, key + 149 * length & 255, 1)
            length += 1
        coder.bit(cells, key + 149 * length & 255, 0)
    key += 149 * length + 17
    for shift in range(length - 2, -1, -1):
        bit = coder.bit(cells, key + 83 * shift & 255, value >> shift & 1)
        if coder.decoding:
            value = value << 1 | bit
    return value - 1


def first_context(key):
    """Return the context of the first bit of a number, the only one that a 0 has."""
    return key + 149 & 255


def signed(coder, cells, key, value):
    """Code a number of either sign."""
    return unfold(number(coder, cells, key, fold(value)))


def fold(value):
    return value << 1 if value >= 0 else ~value << 1 | 1


def unfold(value):
    return ~(value >> 1) if value & 1 else value >> 1


class Tempo:
    """When the next of a steady row of records is due, in steps of 10 ms.

    The period is kept in sixteenths of a step.
    """

    _KEY = 11

    def __init__(self):
        self._cells = array("H", bytes(12))
        self.restart(0)

    def restart(self, tick):
        self.tick = tick
        self._period = 0
        self._miss = 0  # what the last one was: 0 on time, 1 late, 2 early
        clear(self._cells, EVEN)

    def code(self, coder, cells, tick):
        """Code the time of a record and return it; `cells` is a table of numbers."""
        due = self.tick + (self._period + 8 >> 4)
        miss = tick - due
        cell = self._miss
        if not coder.bit(self._cells, cell, 1 if miss else 0):
            tick = due
            self._miss = 0
        elif coder.bit(self._cells, cell + 3, 1 if miss > 0 else 0):
            tick = due + 1 + number(coder, cells, self._KEY, miss - 1)
            self._miss = 1
        else:
            tick = due - 1 - number(coder, cells, self._KEY, -miss - 1)
            self._miss = 2
        step = (tick - self.tick) << 4
        self._period = step if not self._period else self._period + (step - self._period >> 3)
        self.tick = tick
        return tick


class Readings:
    """The last values and states of a row of channels, and how they tend to move.

    values, states  of the last observation
    fresh, fresh_states  those to write; after reading they are the ones read
    """

    def __init__(self, capacity):
        self.values = array("i", bytes(4 * capacity))
        self.states = bytearray(capacity)
        self.fresh = array("i", bytes(4 * capacity))
        self.fresh_states = bytearray(capacity)
        self._did = bytearray(capacity)  # 1 it changed last time, + 2 went up or 4 down last
        self._cells = array("H", bytes(2 * CONTEXTS * capacity))

    def grow(self, channels):
        """Make room for so many more channels."""
        self.values.extend(array("i", bytes(4 * channels)))
        self.fresh.extend(array("i", bytes(4 * channels)))
        self.states.extend(bytes(channels))
        self.fresh_states.extend(bytes(channels))
        self._did.extend(bytes(channels))
        self._cells.extend(array("H", bytes(2 * CONTEXTS * channels)))

    def restart(self, channel):
        """Forget a channel."""
        self.values[channel] = 0
        self.states[channel] = NO_VALUE
        self._did[channel] = 0
        cells = self._cells
        first = channel * CONTEXTS
        for cell in range(first, first + CONTEXTS):
            cells[cell] = EVEN
        for cell in range(first, first + _BACK):
            cells[cell] = RARE

    def code(self, coder, numbers, count):
        """Code the fresh values and states of the first `count` channels."""
        cells = self._cells
        before = _STAYED
        for channel in range(count):
            base = channel * CONTEXTS
            did = self._did[channel]
            state = self.fresh_states[channel]
            moved = 1 if state != self.states[channel] else 0
            value = self.values[channel]
            change = 0 if state == NO_VALUE else self.fresh[channel] - value
            at = base + _CHANGED + 3 * (did & 1) + before
            if not coder.bit(cells, at, 1 if moved or change else 0):
                self._did[channel] = did & 6
                self.fresh[channel] = value
                self.fresh_states[channel] = self.states[channel]
                before = _STAYED
                continue
            did |= 1
            at = base + _STATE + (1 if before == _STATE_MOVED else 0)
            if coder.bit(cells, at, moved):
                state = number(coder, numbers, _STATE_KEY + 5 * self.states[channel], state)
                if state > UNDER_RANGE:
                    raise FormatError("commit: state %d of a value" % state)
                self.states[channel] = self.fresh_states[channel] = state
                before = _STATE_MOVED
                if state == NO_VALUE:
                    self._did[channel] = did
                    self.fresh[channel] = value
                    continue
                if not coder.bit(cells, base + _BACK, 1 if change else 0):
                    self._did[channel] = did
                    self.fresh[channel] = value
                    continue
            else:
                self.fresh_states[channel] = self.states[channel]
                before = _MOVED
            up = coder.bit(cells, base + _UP + (did >> 1), 1 if change > 0 else 0)
            size = number(coder, numbers, 47 * channel, (change if change > 0 else -change) - 1)
            value += size + 1 if up else -size - 1
            self.values[channel] = self.fresh[channel] = value
            self._did[channel] = 3 if up else 5


class Samples:
    """A waveform as its misses from where its last samples point.

    There are three guesses: half the last slope, the whole, or with half the last bend. Their mean
    serves, in which the one that has lately missed least counts twice. The upper bits of a miss
    are modelled, the lower are noise.
    """

    def __init__(self):
        self._numbers = array("H", bytes(2 * NUMBERS))
        self._absent = array("H", bytes(4))
        self._missed = array("i", bytes(12))  # by each guess lately, in quarters
        self.restart()

    def restart(self):
        self._last = self._slope = self._bend = self._gone = 0
        clear(self._numbers, EVEN)
        clear(self._absent, RARE)
        clear(self._missed, 0)

    def code(self, coder, samples, count):
        """Code samples[:count] of an array("h")."""
        missed = self._missed
        for index in range(count):
            value = samples[index]
            self._gone = coder.bit(self._absent, self._gone, 1 if value == NO_SAMPLE else 0)
            if self._gone:
                samples[index] = NO_SAMPLE
                continue
            slope = self._slope
            half = self._last + (slope >> 1)
            whole = self._last + slope
            bent = whole + (self._bend >> 1)
            size, guess = missed[0], half
            if missed[1] < size:
                size, guess = missed[1], whole
            if missed[2] < size:
                size, guess = missed[2], bent
            guess = whole + half + bent + guess >> 2
            noise = 0
            while size >> noise > 8:
                noise += 1
            miss = fold(value - guess)
            upper = number(coder, self._numbers, 31 * noise, miss >> noise)
            miss = upper << noise | coder.even(miss & (1 << noise) - 1, noise)
            value = guess + unfold(miss)
            missed[0] += abs(value - half) - (missed[0] >> 2)
            missed[1] += abs(value - whole) - (missed[1] >> 2)
            missed[2] += abs(value - bent) - (missed[2] >> 2)
            slope = value - self._last
            self._bend = slope - self._slope
            self._slope = slope
            self._last = value
            samples[index] = value
