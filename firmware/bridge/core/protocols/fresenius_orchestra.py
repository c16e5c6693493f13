"""Fresenius Orchestra Base Primea with DPS modules: rate and volume by polls, RS232.

    02 destination text CK CK 03    CK CK: FF less the sum of destination and text, two hex digits

Each message wants an ACK (06) or a NAK (15); an ENQ (05) of the base wants a DC4 (14) at once,
else the base closes the session. An event is echoed besides. Sent are DC (open a session), LE
(read variables), echoes, ACK and DC4: none changes an infusion, and a session that ends leaves
the pumps as they are. Speed 19200 bit/s 7E1. Source: the public driver infupy; a single source.
"""

from micropython import const

from bridge.core.digits import hex_digit, hex_number_of, hex_pair
from bridge.core.events import VALID
from bridge.core.options import number, only
from bridge.core.protocols.driver import CHECK, FORMAT, LENGTH, NOISE, WAIT, Driver

PORTS = ("19200 7E1",)

_STX = const(0x02)
_ETX = const(0x03)
_ENQ = const(0x05)
_ACK = const(0x06)
_NAK = const(0x15)
_MODULES = const(5)
_TEXT_MAX = const(80)
_FRAME_MAX = const(_TEXT_MAX + 5)
_RX_SIZE = const(256)
_ANSWER_MS = const(1000)
_SCAN_MS = const(5000)
_VOLUME_MAX = const(0xFFFFFF)


def _message(destination, text):
    body = b"%d" % destination + text
    check = 0xFF - (sum(body) & 0xFF)
    return b"\x02" + body + bytes((hex_digit(check >> 4), hex_digit(check & 15))) + b"\x03"


# All that is ever sent; the tables are indexed by destination, 0 for the base.
_SAY_ACK = b"\x06"
_SAY_DC4 = b"\x14"
_OPEN = tuple(_message(place, b"DC") for place in range(_MODULES + 1))
_READ = tuple(_message(place, b"LE;dr" if place else b"LE;b") for place in range(_MODULES + 1))
_ECHO = tuple(_message(place, b"E") for place in range(_MODULES + 1))
_ECHO_M = tuple(_message(place, b"M") for place in range(_MODULES + 1))
SENDS = (_SAY_ACK, _SAY_DC4) + _OPEN + _READ + _ECHO + _ECHO_M

# letter of a variable: parameter, decimals
_VARIABLES = {0x64: (448, 1), 0x72: (449, 3), 0x6B: (455, 1), 0x73: (456, 3)}
_MASK = const(0x62)


class OrchestraDecoder(Driver):
    """One base; a module's number is its unit.

    options  {"poll_ms": time between two readings of each module, default 2000}
    """

    def __init__(self, options):
        only(options, ("poll_ms",), "fresenius_orchestra")
        self._poll_ms = number(options, "poll_ms", 1000, 60000, "fresenius_orchestra", 2000)
        super().__init__(_RX_SIZE, 4)
        self._there = 0  # bits of the modules that the base has
        self._is_open = bytearray(_MODULES + 1)
        self._due_ms = [0] * (_MODULES + 1)
        self._turn = 0
        self._asked = -1  # whose answer is awaited
        self._opening = False
        self._asked_ms = 0
        self._missed = 0
        self._acks = 0
        self._enquired = False
        self._echo = b""

    # --- asking ---

    def next_request(self, now_ms):
        """Return the bytes to send now, or None."""
        if self._enquired:
            self._enquired = False
            return _SAY_DC4
        if self._acks:
            self._acks -= 1
            return _SAY_ACK
        if self._echo:
            echo = self._echo
            self._echo = b""
            return echo
        if self._asked >= 0:
            if now_ms - self._asked_ms < _ANSWER_MS:
                return None
            self._missed += 1
            self._is_open[self._asked] = 0
            self._asked = -1
        return self._next_question(now_ms)

    def _next_question(self, now_ms):
        for step in range(_MODULES + 1):
            place = (self._turn + step) % (_MODULES + 1)
            wanted = not place or self._there >> place - 1 & 1
            if not wanted or self._due_ms[place] > now_ms or not (self._is_open[0] or not place):
                continue
            self._turn = (place + 1) % (_MODULES + 1)
            self._asked = place
            self._asked_ms = now_ms
            self._opening = not self._is_open[place]
            if self._opening:
                self._due_ms[place] = now_ms
                return _OPEN[place]
            self._due_ms[place] = now_ms + (self._poll_ms if place else _SCAN_MS)
            return _READ[place]
        return None

    # --- frames ---

    def _frame(self, at, count):
        data = self.rx.data
        byte = data[at]
        if byte in (_ENQ, _ACK, _NAK):
            return 1
        if byte != _STX:
            self._why = NOISE
            return -1
        end = at + 1
        last = at + min(count, _FRAME_MAX)
        while end < last and 0x20 <= data[end] <= 0x7D:
            end += 1
        if end == at + count and count < _FRAME_MAX:
            return WAIT
        if end == last:
            self._why = LENGTH
            return -1
        if data[end] == _ENQ:
            # It may stand in the midst of a message, which is then read around it.
            self._enquired = True
            for index in range(end, self.rx.count - 1):
                data[index] = data[index + 1]
            self.rx.count -= 1
            return self._frame(at, count - 1)
        if data[end] != _ETX or end - at < 5:
            self._why = FORMAT
            return at - end
        total = 0
        for index in range(at + 1, end - 2):
            total += data[index]
        if hex_pair(data, end - 2) != 0xFF - (total & 0xFF):
            self._why = CHECK
            return at - end - 1
        return end + 1 - at

    def _take(self, at, size):
        data = self.rx.data
        if size == 1:
            if data[at] == _ENQ:
                self._enquired = True
            elif data[at] == _NAK and self._asked >= 0:
                self._asked = -1
                return self._damage.of("refused", 1)
            return None
        self._acks += 1
        place = data[at + 1] - 0x30
        kind = data[at + 2]
        end = at + size - 3
        if not 0 <= place <= _MODULES:
            return self._damage.of(FORMAT, size)
        if kind == 0x49:  # I: an error
            return self._error(place, at + 4, end)
        if kind == 0x43 and place == self._asked:  # C: correct
            self._asked = -1
            if self._opening:
                self._is_open[place] = 1
        elif kind == 0x45:
            self._echo = _ECHO[place]
        elif kind == 0x4D:
            self._echo = _ECHO_M[place]
        return self._read(place, at + 3, end, size)

    def _error(self, place, at, end):
        code = hex_number_of(self.rx.data, at, end)
        if code == 0x1E or code == 0x0D:
            self._is_open[place] = 0
        if place == self._asked:
            self._asked = -1
            return self._damage.of("refused", 1)
        return None

    def _read(self, place, at, end, size):
        """Read ";" and a letter and hex digits, again and again."""
        data = self.rx.data
        observation = self._observation
        observation.begin(place, 0)
        while at < end:
            if data[at] != 0x3B or at + 2 >= end:
                return self._damage.of(FORMAT, size)
            stop = at + 1
            while stop < end and data[stop] != 0x3B:
                stop += 1
            value = hex_number_of(data, at + 2, stop)
            letter = data[at + 1]
            if value < 0 or value > _VOLUME_MAX:
                return self._damage.of(FORMAT, size)
            if letter == _MASK:
                self._there = value & (1 << _MODULES) - 1
            elif letter in _VARIABLES:
                parameter, decimals = _VARIABLES[letter]
                observation.add(parameter, value, decimals, VALID)
            at = stop
        return observation if observation.count else None

    def _pending(self):
        if not self._missed:
            return None
        self._missed -= 1
        return self._damage.of("timeout", 1)
