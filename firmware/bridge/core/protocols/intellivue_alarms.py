"""Philips IntelliVue: lists of active alarms, compared with what was told."""

from array import array

from micropython import const

from bridge.core.events import Alarm
from bridge.core.protocols.intellivue_data import u16

_ALARMS_MAX = const(16)
_PATIENT = const(0x0902)
_HEAD = const(18)
_TEXT_INFO = const(0x0204)


class Alarms:
    """What is active, by source and code; page 1 is patient alarms, 2 technical ones."""

    def __init__(self):
        self._sources = array("H", bytes(2 * _ALARMS_MAX))
        self._codes = array("H", bytes(2 * _ALARMS_MAX))
        self._pages = bytearray(_ALARMS_MAX)
        self._priorities = bytearray(_ALARMS_MAX)
        self._texts = [""] * _ALARMS_MAX
        # 0 free, 1 new, 2 told and not in this list, 3 told and in this list, 4 gone
        self._states = bytearray(_ALARMS_MAX)
        self._alarm = Alarm()

    def begin(self):
        """A whole list follows."""
        for index in range(_ALARMS_MAX):
            if self._states[index] == 3:
                self._states[index] = 2

    def end(self):
        """The list is over: what was not in it is gone."""
        for index in range(_ALARMS_MAX):
            if self._states[index] == 2:
                self._states[index] = 4

    def take(self, data, at, end, id):
        """Take one attribute: {count, size, entries}."""
        at += 4
        while at + _HEAD <= end:
            size = u16(data, at + 16)
            if at + _HEAD + size > end:
                return
            kind = u16(data, at + 4)
            if kind:
                self._note(data, at, size, 1 if id == _PATIENT else 2, _priority(kind))
            at += _HEAD + size

    def _note(self, data, at, size, page, priority):
        source, code = u16(data, at), u16(data, at + 2)
        free = -1
        for index in range(_ALARMS_MAX):
            state = self._states[index]
            if not state:
                free = index
            elif (
                self._sources[index] == source
                and self._codes[index] == code
                and self._pages[index] == page
            ):
                if state == 2 or state == 4:
                    self._states[index] = 3
                return
        if free < 0:
            return
        self._sources[free] = source
        self._codes[free] = code
        self._pages[free] = page
        self._priorities[free] = priority
        self._texts[free] = _text(data, at, size) or "alarm %d of %d" % (code, source)
        self._states[free] = 1

    def next(self):
        """Return the Alarm that has come or gone, or None."""
        for index in range(_ALARMS_MAX):
            state = self._states[index]
            if state == 1 or state == 4:
                alarm = self._alarm
                alarm.page = self._pages[index]
                alarm.code = self._codes[index]
                alarm.priority = self._priorities[index]
                alarm.text = self._texts[index]
                alarm.active = state == 1
                self._states[index] = 3 if state == 1 else 0
                return alarm
        return None


def _priority(kind):
    """Return 1, 2 or 3 of the bits for low, medium and high, patient's or technical."""
    kind = kind | kind >> 8
    return 3 if kind & 4 else 2 if kind & 2 else 1


def _text(data, at, size):
    """Return the alarm's string, at most 32 characters of it, "" where there is none."""
    start = at + _HEAD + 10
    if u16(data, at + 14) != _TEXT_INFO or size < 12:
        return ""
    count = min(u16(data, start) // 2, (size - 12) // 2, 32)
    letters = []
    for index in range(count):
        letter = u16(data, start + 2 + 2 * index)
        if 32 <= letter < 127:
            letters.append(chr(letter))
    return "".join(letters).strip()
