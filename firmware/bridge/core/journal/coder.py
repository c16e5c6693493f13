"""An adaptive binary range coder, in integers that fit the small ones of 32-bit boards.

A model is an array("H") of contexts: a probability of a 1 in 1/4096 (the upper 12 bits) and how
often it was seen (the lower 4, at most 15). Encoder and Decoder have the same methods, so one
description of the data (model.py) both writes and reads it: each method takes the value to write
and returns it, or ignores it and returns the one read.

The interval is 28 bits wide. A commit is coded by itself and ends with the shortest string of
bytes that lies in the last interval when zeros follow it.
"""

from array import array

from micropython import const

from bridge.core.errors import FormatError

try:
    from bridge.core.journal.fast import decode, encode
except (ImportError, AttributeError, SyntaxError, ValueError):
    # No native code on hosts, on WebAssembly and on some boards.
    from bridge.core.journal.plain import decode, encode

EVEN = const(0x8000)  # a fresh context: one half, never seen
RARE = const(0x1000)  # a fresh context that expects a 0: one in sixteen

# About 1 / (n + 1.6) after n bits, in the end 1/32.
_RATES = b"\xa0\x62\x47\x38\x2e\x27\x22\x1e\x1b\x18\x16\x14\x13\x12\x11\x08"

_TOP = const(0x10000000)
_FINISH = const(4)  # bytes that `finish` may add
_TAIL = const(6)  # and with them what one last bit may
_ZEROS_MAX = const(64)  # zeros that an encoder may have left out at the end

# Cells of the state
_LOW = const(0)  # of a decoder: the code relative to it
_SPAN = const(1)
_SIZE = const(2)  # bytes written, or read
_LIMIT = const(3)
_MARK = const(4)  # the size when the record at hand began
_CARRIED = const(5)  # 1 when a carry has changed a byte before the mark
_FULL = const(6)  # 1 when the limit was met


class Encoder:
    """Fills `data[:size]`; `mark` and `undo` take back what did not fit.

    capacity  bytes of one commit
    """

    decoding = False

    def __init__(self, capacity):
        self.data = bytearray(capacity)
        self._state = array("i", bytes(28))
        self._kept = array("i", bytes(12))
        self._flat = array("H", (EVEN,))
        self.begin(capacity)

    @property
    def room(self):
        """Bytes that can still be written."""
        return self._state[_LIMIT] - self._state[_SIZE]

    @property
    def is_full(self):
        """Something did not fit."""
        return self._state[_FULL] == 1

    def begin(self, limit):
        """Start a commit of at most `limit` bytes."""
        state = self._state
        state[_LOW] = state[_SIZE] = state[_MARK] = state[_CARRIED] = 0
        state[_SPAN] = _TOP - 1
        state[_LIMIT] = max(limit - _TAIL, 0)
        state[_FULL] = 1 if limit < _TAIL else 0

    def open_tail(self):
        """Allow the one last bit that ends the commit, for which `begin` has kept room."""
        self._state[_LIMIT] += _TAIL - _FINISH

    def mark(self):
        """Remember this place for `undo`."""
        state, kept = self._state, self._kept
        kept[0], kept[1], kept[2] = state[_LOW], state[_SPAN], state[_SIZE]
        state[_MARK] = state[_SIZE]
        state[_CARRIED] = 0

    def undo(self):
        """Take back all since the mark; the models stay as they are and fit this data no more."""
        state, kept, data = self._state, self._kept, self.data
        if state[_CARRIED]:
            at = state[_MARK] - 1
            while data[at] == 0:
                data[at] = 255
                at -= 1
            data[at] -= 1
        state[_LOW], state[_SPAN], state[_SIZE] = kept[0], kept[1], kept[2]
        state[_FULL] = state[_CARRIED] = 0

    def bit(self, cells, context, bit):
        encode(self._state, self.data, cells, _RATES, context, bit)
        return bit

    def even(self, value, bits):
        """Code `bits` bits of a number whose values are all alike."""
        for shift in range(bits - 1, -1, -1):
            self._flat[0] = EVEN
            encode(self._state, self.data, self._flat, _RATES, 0, value >> shift & 1)
        return value

    def finish(self):
        """End the commit and return its size, at least one byte."""
        state, data = self._state, self.data
        low, span, size = state[_LOW], state[_SPAN], state[_SIZE]
        value = low
        for shift in (28, 20, 12, 4, 0):
            value = (low + (1 << shift) - 1) >> shift << shift
            if value - low < span:
                break
        if value & _TOP:
            at = size - 1
            while data[at] == 255:
                data[at] = 0
                at -= 1
            data[at] += 1
        for shift in (20, 12, 4):
            data[size] = value >> shift & 255
            size += 1
        data[size] = (value & 15) << 4  # masked first: it has to stay a small integer
        size += 1
        while size > 1 and data[size - 1] == 0:
            size -= 1
        state[_SIZE] = size
        return size


class Decoder:
    """Reads what one `finish` ended.

    Raises FormatError where more is asked for than an encoder can have meant.
    """

    decoding = True

    def __init__(self, data):
        self._data = data
        self._state = array("i", bytes(28))
        self._flat = array("H", (EVEN,))
        code = 0
        for index in range(3):
            code = code << 8 | (data[index] if index < len(data) else 0)
        state = self._state
        state[_LOW] = code << 4 | (data[3] >> 4 if len(data) > 3 else 0)
        state[_SPAN] = _TOP - 1
        state[_SIZE] = 3
        state[_LIMIT] = len(data)

    def bit(self, cells, context, bit):
        return decode(self._state, self._data, cells, _RATES, context)

    def even(self, value, bits):
        value = 0
        for _ in range(bits):
            self._flat[0] = EVEN
            bit = decode(self._state, self._data, self._flat, _RATES, 0)
            value = value << 1 | bit
        return value

    def check(self):
        """Raise FormatError when the reading has long left the data: it was none of ours."""
        if self._state[_SIZE] > self._state[_LIMIT] + _ZEROS_MAX:
            raise FormatError("commit of %d bytes: cut short" % self._state[_LIMIT])
