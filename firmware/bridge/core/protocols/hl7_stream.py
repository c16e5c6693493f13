"""HL7 v2 messages in a stream of bytes: MLLP blocks, segments, fields; nothing longer is kept.

    0B segment CR segment CR ... 1C CR

Segments end with CR, LF or both; some senders leave out 0B. There is no checksum: a message counts
when it has its MSH and its end and no other beginning between.
Source: HL7 v2 chapter 2, MLLP; public samples of monitors.
"""

from array import array

from micropython import const

from bridge.core.digits import Decimal
from bridge.core.events import Damage, Observation
from bridge.core.rxbuf import RxBuffer

_RX_SIZE = const(256)
_SEGMENT_MAX = const(512)
_FIELDS_MAX = const(20)
_VALUES_MAX = const(64)
_MESSAGE_MAX = const(65536)
_VT = const(0x0B)
_FS = const(0x1C)
_CR = const(0x0D)
_LF = const(0x0A)


class Hl7Stream:
    """Messages to observations; a protocol says what a message and an OBX mean."""

    def __init__(self):
        self.rx = RxBuffer(_RX_SIZE)
        self._at = 0  # bytes of rx that are taken
        self._segment = bytearray(_SEGMENT_MAX)
        self._size = 0  # of the segment so far
        self._is_long = False  # the segment has more than that
        self._total = 0  # of the message so far, its framing too
        self._inside = False
        self._noise = 0
        self._separator = self._component = 0
        self._starts = array("H", bytes(2 * (_FIELDS_MAX + 1)))
        self._fields = 0
        self._observation = Observation(_VALUES_MAX)
        self._damage = Damage()
        self._number = Decimal()
        self._crc = 0

    # --- for each protocol ---

    def _begin(self):
        """A message begins; its MSH is in the fields."""

    def _take(self):
        """An OBX is in the fields."""

    def _end(self):
        """The message is whole; return its event, or None."""

    # --- for a line ---

    def next_event(self):
        """Return the next event, or None until more bytes arrive. Raises nothing."""
        rx = self.rx
        data = rx.data
        while self._at < rx.count:
            byte = data[self._at]
            self._at += 1
            event = self._feed(byte)
            if event is not None:
                return event
        rx.drop(rx.count)
        self._at = 0
        return self._tell_noise() if self._noise and not self._size else None

    def _feed(self, byte):
        if byte == _VT:
            return self._restart(1)
        if byte == _FS:
            if not self._inside:
                self._noise += 1 + self._size
                self._size = 0
                return None
            event = self._end_segment()
            if event is not None or not self._inside:
                return event
            self._inside = False
            self._total = 0
            return self._end()
        if byte == _CR or byte == _LF:
            if not self._inside and not self._size:
                return None  # behind the end of a message
            self._total += 1
            return self._end_segment()
        self._total += 1
        self._crc = (self._crc << 1 ^ self._crc >> 15 ^ byte) & 0xFFFF
        if self._size == _SEGMENT_MAX:
            self._is_long = True
            if self._total > _MESSAGE_MAX:
                return self._restart(0)
        else:
            self._segment[self._size] = byte
            self._size += 1
        return None

    def _restart(self, size):
        """Begin anew; return the damage of what was cut off by that, or None."""
        lost = self._total
        self._total = size
        self._size = 0
        self._is_long = False
        self._inside = False
        self._crc = 0
        if lost > 1:
            return self._damage.of("format", lost)
        self._noise += lost
        return None

    def _end_segment(self):
        """Take the segment that is complete; return the damage it does, or None."""
        size = self._size
        self._size = 0
        is_long = self._is_long
        self._is_long = False
        segment = self._segment
        if size >= 8 and segment[0] == 0x4D and segment[1] == 0x53 and segment[2] == 0x48:
            event = None
            if self._inside:
                # Without an end between them the message before was cut off.
                own = size + 1
                lost = self._total - own
                self._total = own
                event = self._damage.of("format", lost)
            self._inside = True
            self._separator = segment[3]
            self._component = segment[4]
            self._split(size)
            self._observation.begin(0, 0)
            self._begin()
            return event
        if not self._inside:
            lost = self._total
            self._total = 0
            self._noise += lost
            return self._tell_noise()
        if is_long or size < 4 or segment[3] != self._separator:
            return None
        if segment[0] == 0x4F and segment[1] == 0x42 and segment[2] == 0x58:
            self._split(size)
            self._take()
        return None

    def _tell_noise(self):
        count = self._noise
        self._noise = 0
        return self._damage.of("noise", count) if count else None

    # --- fields ---

    def _split(self, size):
        """Find the fields of the segment; field 0 is its name, as HL7 counts (MSH but one)."""
        starts = self._starts
        segment = self._segment
        separator = self._separator
        count = 1
        starts[0] = 0
        for at in range(size):
            if segment[at] == separator and count < _FIELDS_MAX:
                starts[count] = at + 1
                count += 1
        starts[count] = size + 1
        self._fields = count

    def start(self, field):
        """Return where a field begins; an absent one is empty at the segment's end."""
        return self._starts[field if field < self._fields else self._fields] - (
            0 if field < self._fields else 1
        )

    def end(self, field):
        """Return where a field ends."""
        if field >= self._fields:
            return self.start(field)
        return self._starts[field + 1] - 1

    def first(self, field):
        """Return where the first component of a field ends."""
        start = self.start(field)
        end = self.end(field)
        at = self._segment.find(_COMPONENTS[self._component], start, end) if start < end else -1
        return end if at < 0 else at

    def is_word(self, start, end, word):
        """Say whether segment[start:end] is just this word."""
        if end - start != len(word):
            return False
        for index in range(len(word)):
            if self._segment[start + index] != word[index]:
                return False
        return True


class _OneByte:
    """Bytes of length 1 by their value, made when they are first wanted."""

    def __init__(self):
        self._known = {}

    def __getitem__(self, byte):
        if byte not in self._known:
            self._known[byte] = bytes((byte,))
        return self._known[byte]


_COMPONENTS = _OneByte()
