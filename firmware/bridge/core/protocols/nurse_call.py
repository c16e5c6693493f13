"""A nurse-call or remote-alarm contact: a relay of a device, sampled fifty times a second.

Each sample is one byte: "0" open, "1" closed, "2" a broken and "3" a shorted supervised loop. A
level counts when it has held for the debounce time. A contact cannot say which alarm it is.
Nothing is ever sent. A pin of the board gives the samples (links/contact.py), or a converter on
a serial line. Source: operator's manuals of devices with such a relay.
"""

from micropython import const

from bridge.core.events import NO_VALUE, VALID, Alarm, Damage, Observation
from bridge.core.options import flag, number, only, text
from bridge.core.rxbuf import RxBuffer

PORTS = ("1200 8N1",)  # of a converter
SENDS = ()

SAMPLE_MS = const(20)
_RX_SIZE = const(128)
_STATE = const(592)
_OPEN = const(0x30)
_CLOSED = const(0x31)
_BROKEN = const(0x32)
_SHORTED = const(0x33)
_NOTHING = const(0)
_REPEAT_MS = const(10000)
_TEXTS = ("LOOP BROKEN", "LOOP SHORTED")


class ContactDecoder:
    """One contact. Group 0 is its state: 1 calls, 0 does not; it is told at each change.

    options  {"closed_calls": false for a relay that lets go when it calls, default true;
              "debounce_ms": 40 to 2000, default 100; "text": of the alarm, default "NURSE CALL";
              "priority": 1 to 3, default 2}
    """

    def __init__(self, options):
        where = "nurse_call"
        only(options, ("closed_calls", "debounce_ms", "text", "priority"), where)
        self._calling = _CLOSED if flag(options, "closed_calls", True, where) else _OPEN
        debounce_ms = number(options, "debounce_ms", 40, 2000, where, 100)
        self._needed = (debounce_ms + SAMPLE_MS - 1) // SAMPLE_MS
        self._text = text(options, "text", 32, where, "NURSE CALL")
        self._priority = number(options, "priority", 1, 3, where, 2)
        self.rx = RxBuffer(_RX_SIZE)
        self._at = 0
        self._level = _NOTHING  # that holds
        self._new = _NOTHING  # that may come to hold
        self._count = 0
        self._silent = 0  # samples since the state was told
        self._alarms = 0  # bits: calls, broken, shorted
        self._told = 0
        self._noise = 0
        self._is_due = False
        self._observation = Observation(1)
        self._alarm = Alarm()
        self._damage = Damage()

    def next_request(self, now_ms):
        """Return None: a contact is not asked."""

    def next_event(self):
        """Return the next event, or None until more bytes arrive. Raises nothing."""
        rx = self.rx
        while True:
            if self._is_due:
                self._is_due = False
                return self._state()
            if self._alarms != self._told:
                return self._next_alarm()
            if self._at == rx.count:
                break
            byte = rx.data[self._at]
            self._at += 1
            if _OPEN <= byte <= _SHORTED:
                self._sample(byte)
            else:
                self._noise += 1
        rx.drop(rx.count)
        self._at = 0
        if not self._noise:
            return None
        self._damage.kind = "noise"
        self._damage.count = self._noise
        self._noise = 0
        return self._damage

    def _sample(self, level):
        self._silent += 1
        if level == self._new:
            self._count += 1
        else:
            self._new = level
            self._count = 1
        if self._count >= self._needed and level != self._level:
            self._level = level
            self._is_due = True
            self._alarms = 1 if level == self._calling else 0
            if level >= _BROKEN:
                self._alarms = 2 << level - _BROKEN
        elif self._level and self._silent * SAMPLE_MS >= _REPEAT_MS:
            self._is_due = True

    def _state(self):
        self._silent = 0
        observation = self._observation
        observation.begin(0, 0)
        if self._level >= _BROKEN:
            observation.add(_STATE, 0, 0, NO_VALUE)
        else:
            observation.add(_STATE, 1 if self._level == self._calling else 0, 0, VALID)
        return observation

    def _next_alarm(self):
        changed = self._alarms ^ self._told
        bit = 0
        while not changed >> bit & 1:
            bit += 1
        self._told ^= 1 << bit
        alarm = self._alarm
        alarm.code = bit
        alarm.text = _TEXTS[bit - 1] if bit else self._text
        alarm.priority = 1 if bit else self._priority
        alarm.active = self._alarms >> bit & 1 == 1
        return alarm
