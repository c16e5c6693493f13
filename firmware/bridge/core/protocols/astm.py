"""Analysers and point-of-care devices on ASTM E1381 (frames) and E1394 (records): results, RS232.

    ENQ ... STX number text ETB|ETX C1 C2 CR LF ... EOT    C1 C2: sum from the number to ETB or ETX

The receiver's side: each ENQ and each good frame is answered with ACK, a bad frame with NAK,
upon which it comes again; the last good one that comes twice is told once. A result counts when
its test and its unit are known, by the table below or the configuration, and its value is a
number with a final, corrected or preliminary state. Text ("<0.5", "ERROR") is no value, never
zero. Speed often 9600 bit/s 8N1. Source: ASTM E1381 and E1394 (CLSI LIS01-A2, LIS2-A2), public
receivers.
"""

from micropython import const

from bridge.core.digits import Decimal, any_hex_pair
from bridge.core.errors import ConfigError
from bridge.core.events import NO_VALUE, QUESTIONABLE, VALID
from bridge.core.options import number, only, text
from bridge.core.protocols.driver import CHECK, FORMAT, LENGTH, NOISE, WAIT, Driver

PORTS = ("9600 8N1", "19200 8N1", "9600 7E1", "38400 8N1", "115200 8N1")
_ACK = b"\x06"
_NAK = b"\x15"
SENDS = (_ACK, _NAK)

_RX_SIZE = const(768)
_FRAME_MAX = const(700)
_RECORD_MAX = const(512)
_VALUES_MAX = const(32)
_MAP_MAX = const(64)
_ENQ = const(0x05)
_EOT = const(0x04)
_STX = const(0x02)
_ETX = const(0x03)
_ETB = const(0x17)
_CR = const(0x0D)
_LF = const(0x0A)
_R = const(0x52)
_H = const(0x48)
_VOID = (0x58, 0x49)  # X and I

# test, unit, parameter
_TESTS = (
    (b"GLU", b"mmol/L", 560),
    (b"GLU", b"mg/dL", 561),
    (b"pH", b"", 562),
    (b"PH", b"", 562),
    (b"pCO2", b"mmHg", 563),
    (b"PCO2", b"mmHg", 563),
    (b"pO2", b"mmHg", 564),
    (b"PO2", b"mmHg", 564),
    (b"Na", b"mmol/L", 565),
    (b"Na+", b"mmol/L", 565),
    (b"NA", b"mmol/L", 565),
    (b"K", b"mmol/L", 566),
    (b"K+", b"mmol/L", 566),
    (b"Ca", b"mmol/L", 567),
    (b"Ca++", b"mmol/L", 567),
    (b"Cl", b"mmol/L", 568),
    (b"Cl-", b"mmol/L", 568),
    (b"Lac", b"mmol/L", 569),
    (b"LAC", b"mmol/L", 569),
    (b"Hb", b"g/dL", 570),
    (b"tHb", b"g/dL", 570),
    (b"HCO3", b"mmol/L", 571),
    (b"BE", b"mmol/L", 572),
)


class AstmDecoder(Driver):
    """One analyser. Each frame with results makes an observation, group 0.

    options  {"tests": [{"test": as the analyser names it, "unit": as it writes it,
              "parameter": id}]}
    """

    def __init__(self, options):
        only(options, ("tests",), "astm")
        super().__init__(_RX_SIZE, _VALUES_MAX)
        entries = options.get("tests", ())
        if not isinstance(entries, (list, tuple)) or len(entries) > _MAP_MAX:
            raise ConfigError("astm: tests: want a list of at most %d" % _MAP_MAX)
        own = []
        for index, entry in enumerate(entries):
            where = "astm: test %d" % index
            only(entry, ("test", "unit", "parameter"), where)
            name = text(entry, "test", 24, where).encode()
            unit = text(entry, "unit", 16, where).encode() if entry.get("unit") else b""
            own.append((name, unit, number(entry, "parameter", 1, 0xFFFF, where)))
        self._tests = tuple(own) + _TESTS
        self._say = None
        self._is_open = False  # between ENQ and EOT
        self._last = 0  # number of the last good frame of this message
        self._record = bytearray(_RECORD_MAX)
        self._size = 0  # of the record so far
        self._delimiters = bytearray(b"|\\^")
        self._number = Decimal()

    def next_request(self, now_ms):
        """Return the answer to send now, or None."""
        said = self._say
        self._say = None
        return said

    def _frame(self, at, count):
        data = self.rx.data
        byte = data[at]
        if byte == _ENQ or byte == _EOT:
            return 1
        if byte == _CR or byte == _LF:
            return 1  # some send more of them than they should
        if byte != _STX:
            self._why = NOISE
            return -1
        end = at + 1
        last = at + min(count, _FRAME_MAX)
        while end < last and data[end] not in (_ETX, _ETB, _STX, _ENQ, _EOT):
            end += 1
        if end == at + count and count < _FRAME_MAX:
            return WAIT
        if end == last or data[end] not in (_ETX, _ETB):
            self._why = LENGTH
            return self._bad(at, end)
        if at + count < end + 4:
            return WAIT
        if data[end + 3] != _CR or end - at < 2 or not 0x30 <= data[at + 1] <= 0x37:
            self._why = FORMAT
            return self._bad(at, end + 3)
        total = 0
        for index in range(at + 1, end + 1):
            total += data[index]
        if any_hex_pair(data, end + 1) != total & 0xFF:
            self._why = CHECK
            return self._bad(at, end + 4)
        return end + 4 - at

    def _bad(self, at, end):
        """Ask for a bad frame again."""
        if self._is_open:
            self._say = _NAK
        return at - end

    def _take(self, at, size):
        data = self.rx.data
        if size == 1:
            if data[at] == _ENQ:
                self._say = _ACK
                self._is_open = True
                self._last = 0
                self._size = 0
            elif data[at] == _EOT:
                self._is_open = False
            return None
        self._say = _ACK
        frame = data[at + 1]
        if frame == self._last:
            return None  # our answer to it was lost
        self._last = frame
        observation = self._observation
        observation.begin(0, 0)
        for index in range(at + 2, at + size - 4):
            self._collect(data[index])
        if data[at + size - 4] == _ETX:
            self._end_record()  # some leave out the CR of the last
        return observation if observation.count else None

    def _collect(self, byte):
        if byte == _CR:
            self._end_record()
        elif self._size < _RECORD_MAX:
            self._record[self._size] = byte
            self._size += 1

    # --- records ---

    def _end_record(self):
        size = self._size
        self._size = 0
        record = self._record
        if size >= 5 and record[0] == _H:
            for index in range(3):
                self._delimiters[index] = record[1 + index]
        elif size >= 5 and size < _RECORD_MAX and record[0] == _R:
            self._result(size)

    def _field(self, number, size):
        """Return where field `number` begins, from 1; the record's end for none."""
        at = 0
        for _ in range(number - 1):
            while at < size and self._record[at] != self._delimiters[0]:
                at += 1
            at += 1
        return min(at, size)

    def _field_end(self, at, size):
        while at < size and self._record[at] != self._delimiters[0]:
            at += 1
        return at

    def _result(self, size):
        test = self._field(3, size)
        test_end = self._field_end(test, size)
        while test < test_end and self._record[test] == self._delimiters[2]:
            test += 1
        stop = test
        while stop < test_end and self._record[stop] != self._delimiters[2]:
            stop += 1
        unit = self._field(5, size)
        unit_end = self._field_end(unit, size)
        parameter = 0
        for name, wanted, known in self._tests:
            if self._is(test, stop, name) and self._is(unit, unit_end, wanted):
                parameter = known
                break
        if not parameter:
            return
        value = self._field(4, size)
        status = self._field(9, size)
        void = status < size and self._record[status] in _VOID
        found = self._number
        if void or not found.read(self._record, value, self._field_end(value, size)):
            self._observation.add(parameter, 0, 0, NO_VALUE)
            return
        doubt = status < size and self._record[status] == 0x50  # preliminary
        state = QUESTIONABLE if doubt else VALID
        self._observation.add(parameter, found.value, found.decimals, state)

    def _is(self, start, end, word):
        if end - start != len(word):
            return False
        for index in range(len(word)):
            if self._record[start + index] != word[index]:
                return False
        return True
