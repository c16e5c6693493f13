"""Graseby 3400 syringe pump: rate, state and total by polls; RS232.

    "<" text ">" CK CK CR    CK CK: sum of all bytes from "<" to ">" modulo 256, two hex digits

Text of an answer: OK, or CE where the pump refuses; the command; STBY, INFS or ALRM; data. Only
GETR (get the rate) and TOTL (get the total) are asked: both read. What starts, stops or changes
an infusion, and CHKR, which keeps a remote infusion alive, is not in this file. Speed 9600 bit/s
8N1. Source: the public STANPUMP driver for this pump.
"""

from micropython import const

from bridge.core.checks import sum8
from bridge.core.digits import any_hex_pair, matches, number_of
from bridge.core.events import VALID, Alarm
from bridge.core.options import number, only
from bridge.core.protocols.driver import CHECK, FORMAT, NOISE, WAIT, Driver
from bridge.core.protocols.polls import IDLE, Polls

PORTS = ("9600 8N1",)
SENDS = (b"<GETR>AC\r", b"<TOTL>BD\r")

_RX_SIZE = const(128)
_FRAME_MAX = const(40)
_LESS = const(0x3C)
_MORE = const(0x3E)
_CR = const(0x0D)
_TIMEOUT_MS = const(1500)
_TOTAL_MS = const(10000)

_RATE = const(448)
_STATE = const(453)
_TOTAL = const(459)  # in a unit that no public source names
_STATES = (b"STBY", b"INFS", b"ALRM")
_ALARM = const(2)
_COMMANDS = (b"GETR", b"TOTL")
_COMMAND_AT = const(3)
_STATE_AT = const(7)
_DATA_AT = const(11)


class GrasebyDecoder(Driver):
    """One pump. Group 0 is rate and state (0 stand-by, 1 infusing, 2 alarm), group 1 the total.

    options  {"poll_ms": time between two readings of the rate, default 1000}
    """

    def __init__(self, options):
        only(options, ("poll_ms",), "graseby_3400")
        poll_ms = number(options, "poll_ms", 500, 60000, "graseby_3400", 1000)
        super().__init__(_RX_SIZE, 2, Polls((poll_ms, _TOTAL_MS), _TIMEOUT_MS), SENDS)
        self._alarm = Alarm()
        self._alarm.text = "ALRM"
        self._alarm.priority = 3
        self._alarmed = False

    def _frame(self, at, count):
        data = self.rx.data
        if data[at] != _LESS:
            self._why = NOISE
            return -1
        close = data.find(b">", at, at + min(count, _FRAME_MAX))
        if close < 0:
            self._why = FORMAT
            return WAIT if count < _FRAME_MAX else -1
        if at + count < close + 4:
            return WAIT
        if data[close + 3] != _CR or close - at < _DATA_AT:
            self._why = FORMAT
            return -1
        if any_hex_pair(data, close + 1) != sum8(data, at, close + 1):
            self._why = CHECK
            return -1
        return close + 4 - at

    def _take(self, at, size):
        data = self.rx.data
        end = at + size - 4
        command = -1
        for index in range(len(_COMMANDS)):
            if matches(data, at + _COMMAND_AT, _COMMANDS[index]):
                command = index
        if command < 0:
            return None  # the answer to another controller's command
        if self._polls.open == command:
            self._polls.answered()
        if matches(data, at + 1, b"CE"):
            return self._damage.of("refused", 1)
        state = -1
        for index in range(len(_STATES)):
            if matches(data, at + _STATE_AT, _STATES[index]):
                state = index
        value = number_of(data, at + _DATA_AT, end)
        if state < 0 or value < 0 or end - at - _DATA_AT > 9:
            return self._damage.of(FORMAT, size)
        self._alarm.active = state == _ALARM
        observation = self._observation
        observation.begin(0, command)
        if command:
            observation.add(_TOTAL, value, 0, VALID)
        else:
            observation.add(_RATE, value, 1, VALID)
        observation.add(_STATE, state, 0, VALID)
        return observation

    def _pending(self):
        if self._alarm.active == self._alarmed:
            return None
        self._alarmed = self._alarm.active
        return self._alarm

    def next_request(self, now_ms):
        """Return the bytes to send now, or None."""
        index = self._polls.next(now_ms)
        return None if index == IDLE else SENDS[index]
