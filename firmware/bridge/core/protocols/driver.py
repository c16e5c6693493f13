"""What most drivers share: frames found in a stream, damage counted, polls and alarms kept.

A driver of framed data says of each place in its buffer whether a frame stands there (`_frame`)
and what it means (`_take`). Bytes that are no frame are given up one by one, so that a false start
never swallows a good frame; each byte is part of a frame or of one Damage.
"""

from micropython import const

from bridge.core.events import Alarm, Damage, Observation
from bridge.core.protocols.polls import IDLE
from bridge.core.rxbuf import RxBuffer

WAIT = const(0)  # of _frame: more bytes must come

NOISE = "noise"
CHECK = "check"
LENGTH = "length"
FORMAT = "format"


class Driver:
    """Bytes to frames to events.

    rx_size   bytes of the buffer; the longest frame fits twice, or a false one hides a true one
    capacity  parameters of one observation
    polls     Polls, or None for a device that is not asked; `requests` are what they index
    """

    def __init__(self, rx_size, capacity, polls=None, requests=()):
        self.rx = RxBuffer(rx_size)
        self._at = 0  # bytes of rx that are done with
        self._observation = Observation(capacity)
        self._polls = polls
        self._requests = requests
        self._damage = Damage()
        self._lost = 0  # bytes that are no frame, not told yet, and what they are
        self._lost_kind = NOISE
        self._why = NOISE  # set by _frame when it returns less than 0

    # --- for each protocol ---

    def _frame(self, at, count):
        """Return the size of the good frame at rx.data[at], which has `count` bytes from there.

        WAIT when more must come to know; less than 0 for so many bytes that are none, of which
        `_why` says the kind.
        """
        raise NotImplementedError

    def _take(self, at, size):
        """Return the event of a good frame, or None."""
        raise NotImplementedError

    def _pending(self):
        """Return an event that is left of an earlier frame, or None."""
        return None

    # --- for a line ---

    def next_request(self, now_ms):
        """Return the bytes to send now, or None."""
        polls = self._polls
        if polls is None:
            return None
        index = polls.next(now_ms)
        return None if index == IDLE else self._requests[index]

    def next_event(self):
        """Return the next event, or None until more bytes arrive. Raises nothing."""
        polls = self._polls
        if polls is not None and polls.missed:
            polls.missed -= 1
            return self._damage.of("timeout", 1)
        event = self._pending()
        if event is not None:
            return event
        rx = self.rx
        while self._at < rx.count:
            at = self._at
            size = self._frame(at, rx.count - at)
            if size == WAIT:
                if at or rx.count < len(rx.data):
                    break
                size = -1
                self._why = LENGTH
            if size < 0:
                if self._lost and self._lost_kind != self._why:
                    return self._tell_lost()
                self._lost_kind = self._why
                self._lost -= size
                self._at = at - size
                continue
            if self._lost:
                return self._tell_lost()
            event = self._take(at, size)
            self._at = at + size
            if event is None:
                event = self._pending()
            if event is not None:
                return event
        if self._lost:
            return self._tell_lost()
        self._make_room()
        return None

    def _make_room(self):
        rx = self.rx
        if self._at == rx.count or rx.count > len(rx.data) >> 1:
            rx.drop(self._at)
            self._at = 0

    def _tell_lost(self):
        count = self._lost
        self._lost = 0
        return self._damage.of(self._lost_kind, count)

    def _refused(self):
        """Close the open request, which the device does not want to answer."""
        self._polls.answered()
        return self._damage.of("refused", 1)


class AlarmBits:
    """Alarms that a device sends as bits: told when they change.

    table  for each bit its text and priority; at most 24
    """

    def __init__(self, table, page=0):
        self._table = table
        self._told = 0
        self._alarm = Alarm()
        self._alarm.page = page
        self.now = 0

    def next(self, unit=0):
        """Return the Alarm of a bit that has changed, or None."""
        changed = self.now ^ self._told
        if not changed:
            return None
        bit = 0
        while not changed >> bit & 1:
            bit += 1
        if bit >= len(self._table):
            self._told = self.now
            return None
        self._told ^= 1 << bit
        alarm = self._alarm
        alarm.unit = unit
        alarm.code = bit
        alarm.text, alarm.priority = self._table[bit]
        alarm.active = self.now >> bit & 1 == 1
        return alarm
