"""Hamilton ventilators (GALILEO, G5), polling protocol: one value for each question, RS232.

    question  02 id 03 CR        answer  02 id v v v v v 03 CR

The value is five characters; nothing checks them, so an answer counts only when it is the one that
was asked for, and its number has the shape and the range of one. "RERROR" says that the ventilator
has no such value. A question changes nothing; this protocol has no commands.
Speed 9600 bit/s 8E2. Source: one public driver with its tests; nothing of the maker is public.
"""

from micropython import const

from bridge.core.digits import Decimal, matches
from bridge.core.events import NO_VALUE, VALID
from bridge.core.options import choice, number, only
from bridge.core.protocols.driver import FORMAT, NOISE, WAIT, Driver

PORTS = ("9600 8E2", "9600 8E1", "9600 8N1")
SENDS = (b"\x02",)

_RX_SIZE = const(64)
_SIZE = const(9)
_STX = const(0x02)
_ETX = const(0x03)
_CR = const(0x0D)
_OTHERS = (0x20, 0x2E, 0x2B, 0x2D, 0x2A)  # blank, point, signs, star
_REFUSAL = b"\x02RERROR\x03\r"
_GAP_MS = const(45)  # an answer takes 32 ms and is cut by what is asked too early
_ANSWER_MS = const(300)

# id: parameter where pressures are in mbar, where in cm[H2O], lowest, highest in whole units
_MEASURED = (
    (35, 99, 99, 0, 150),  # PetCO2
    (36, 1, 1, 0, 100),
    (37, 2, 2, 0, 300),
    (60, 336, 336, 0, 3000),
    (61, 337, 337, 0, 3000),
    (62, 338, 338, 0, 100),
    (63, 80, 80, 0, 200),
    (64, 82, 82, 0, 200),
    (66, 33, 320, 0, 150),
    (67, 34, 321, 0, 150),
    (68, 36, 323, 0, 100),
    (69, 35, 322, 0, 150),
    (71, 96, 96, 0, 100),
    (74, 64, 326, 0, 300),
    (103, 37, 324, 0, 100),
    (112, 38, 343, -50, 100),
    (113, 72, 72, 0, 60),
    (115, 39, 330, -30, 100),
)


class HamiltonDecoder(Driver):
    """One ventilator: all values in turn make one observation, group 0.

    options  {"pressure": "cmH2O" or "mbar", as the ventilator's screen shows, default "cmH2O";
              "poll_ms": time between two rounds, 1500 to 60000, default 2000}
    """

    def __init__(self, options):
        only(options, ("pressure", "poll_ms"), "hamilton")
        self._unit = choice(options, "pressure", ("mbar", "cmH2O"), "cmH2O", "hamilton")
        self._poll_ms = number(options, "poll_ms", 1500, 60000, "hamilton", 2000)
        super().__init__(_RX_SIZE, len(_MEASURED))
        self._request = bytearray(b"\x02\x00\x03\r")
        self._turn = 0
        self._open = 0  # id of the question that waits
        self._asked_ms = self._due_ms = 0
        self._after_ms = None  # the gap begins with the turn behind an answer
        self._missed = 0
        self._answered = 0  # of this round
        self._is_round = False
        self._number = Decimal()

    def next_request(self, now_ms):
        """Return the bytes to send now, or None."""
        if self._open:
            if now_ms - self._asked_ms < _ANSWER_MS:
                return None
            self._missed += 1
            self._next_turn()
        if self._after_ms is None:
            self._after_ms = now_ms + _GAP_MS
        if now_ms < self._after_ms or self._is_round:
            return None
        if not self._turn:
            if now_ms < self._due_ms:
                return None
            late_ms = now_ms - self._due_ms
            self._due_ms = now_ms + self._poll_ms - (late_ms if late_ms < self._poll_ms else 0)
            self._observation.begin(0, 0)
            self._answered = 0
        self._open = self._request[1] = _MEASURED[self._turn][0]
        self._asked_ms = now_ms
        return self._request

    def _next_turn(self):
        self._open = 0
        self._after_ms = None
        self._turn += 1
        if self._turn == len(_MEASURED):
            self._turn = 0
            self._is_round = True

    def _frame(self, at, count):
        data = self.rx.data
        if data[at] != _STX:
            self._why = NOISE
            return -1
        if count < _SIZE:
            return WAIT
        if data[at + 7] != _ETX or data[at + 8] != _CR:
            self._why = FORMAT
            return -1
        if matches(data, at, _REFUSAL):
            return _SIZE
        if not self._open or data[at + 1] != self._open or not self._is_value(at + 2):
            self._why = FORMAT
            return -1
        return _SIZE

    def _is_value(self, at):
        """Say whether the five characters are a number, or how no value may be written."""
        data = self.rx.data
        for index in range(at, at + 5):
            byte = data[index]
            if not (0x30 <= byte <= 0x39 or byte in _OTHERS):
                return False
        return True

    def _take(self, at, size):
        if matches(self.rx.data, at, _REFUSAL):
            if not self._open:
                return None
            self._next_turn()
            return None
        _, mbar, water, lowest, highest = _MEASURED[self._turn]
        parameter = water if self._unit else mbar
        self._answered += 1
        found = self._number
        in_range = found.read(self.rx.data, at + 2, at + 7) and (
            lowest * 10**found.decimals <= found.value <= highest * 10**found.decimals
        )
        self._observation.add(
            parameter,
            found.value if in_range else 0,
            found.decimals if in_range else 0,
            VALID if in_range else NO_VALUE,
        )
        self._next_turn()
        return None

    def _pending(self):
        if self._missed:
            self._missed -= 1
            return self._damage.of("timeout", 1)
        if not self._is_round:
            return None
        self._is_round = False
        return self._observation if self._answered else None
