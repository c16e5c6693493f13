"""MEDIBUS alarms: rows of an answer to the alarms that appear and go.

    priority (1 to 31, plus 30H) | code, two hex digits | phrase, 12 characters

An answer lists what is active; a device never says that an alarm is gone.
"""

from micropython import const

from bridge.core.digits import hex_pair
from bridge.core.events import Alarm
from bridge.core.protocols.medibus_data import DATA_AT, text_of

_ROW = const(15)
_ACTIVE_MAX = const(32)


class ActiveAlarms:
    """The device's active alarms, and what the last answer changes about them."""

    def __init__(self):
        self.lost = 0  # bytes of alarms that found no room
        self._alarm = Alarm()
        self._count = 0
        self._pages = bytearray(_ACTIVE_MAX)
        self._codes = bytearray(_ACTIVE_MAX)
        self._priorities = bytearray(_ACTIVE_MAX)
        self._seen = bytearray(_ACTIVE_MAX)  # in the answer at hand
        self._texts = [""] * _ACTIVE_MAX
        self._page = 0  # of the answer at hand, 0 for none
        self._at = 0
        self._end = 0

    def compare(self, response, page, end):
        """Begin with response[2:end], good rows, and return the first change or None."""
        self._page = page
        self._at = DATA_AT
        self._end = end
        for index in range(self._count):
            self._seen[index] = 0
        return self.next_change(response)

    def next_change(self, response):
        """Return an alarm that appeared, changed its priority or went; None when all are told."""
        if not self._page:
            return None
        while self._at < self._end:
            at = self._at
            self._at += _ROW
            index = self._find(hex_pair(response, at + 1))
            priority = _priority(response[at] - 0x30)
            if index < 0:
                self.lost += _ROW
            elif index == self._count:
                self._count += 1
                self._texts[index] = text_of(response, at + 3, at + _ROW)
                self._priorities[index] = priority
                self._seen[index] = 1
                return self._tell(index, True)
            elif not self._seen[index]:
                self._seen[index] = 1
                if self._priorities[index] != priority:
                    self._priorities[index] = priority
                    return self._tell(index, True)
        for index in range(self._count):
            if self._pages[index] == self._page and not self._seen[index]:
                self._tell(index, False)
                self._remove(index)
                return self._alarm
        self._page = 0
        return None

    def _find(self, code):
        """Return the index of an alarm, a new one at the end, or -1 when there is no room."""
        for index in range(self._count):
            if self._codes[index] == code and self._pages[index] == self._page:
                return index
        index = self._count
        if index == _ACTIVE_MAX:
            return -1
        self._codes[index] = code
        self._pages[index] = self._page
        return index

    def _tell(self, index, active):
        alarm = self._alarm
        alarm.page = self._pages[index]
        alarm.code = self._codes[index]
        alarm.priority = self._priorities[index]
        alarm.text = self._texts[index]
        alarm.active = active
        return alarm

    def _remove(self, index):
        last = self._count - 1
        self._pages[index] = self._pages[last]
        self._codes[index] = self._codes[last]
        self._priorities[index] = self._priorities[last]
        self._seen[index] = self._seen[last]
        self._texts[index] = self._texts[last]
        self._count = last


def are_alarms(response, end):
    """Say whether response[2:end] is rows of priority 1 to 31, a hex code and a phrase."""
    rows = (end - DATA_AT) // _ROW
    if rows * _ROW != end - DATA_AT:
        return False
    for index in range(rows):
        at = DATA_AT + _ROW * index
        if not 0x31 <= response[at] <= 0x4F or hex_pair(response, at + 1) < 0:
            return False
    return True


def _priority(urgency):
    """Return the priority of a MEDIBUS urgency, 1 to 31 with 31 most urgent."""
    if urgency >= 25:
        return 3
    if urgency >= 11:
        return 2
    return 1 if urgency >= 7 else 0
