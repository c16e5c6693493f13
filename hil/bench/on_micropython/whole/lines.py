"""What is plugged into the board: devices that say again what their simulators once said."""

from hil.bench.on_micropython.whole import world

_ROOM = 2048


class Line:
    """One device.

    messages  (at ms of a period, bytes): said unasked, over and over
    answers   {request: answer}, bytes, for one that is polled
    """

    def __init__(self, messages, period_ms, answers):
        self._messages = messages
        self._period_ms = period_ms
        self._answers = answers
        self._next = 0
        self._start_ms = 0
        self._data = bytearray(_ROOM)
        self._view = memoryview(self._data)
        self._count = self._at = 0
        self.quiet = False
        self.said = 0

    def hear(self, request):
        if self._answers and not self.quiet:
            answer = self._answers.get(bytes(request))
            if answer:
                self._say(answer)

    def _say(self, data):
        if self._at == self._count:
            self._at = self._count = 0
        room = min(len(data), _ROOM - self._count)
        self._view[self._count : self._count + room] = data[:room]
        self._count += room
        self.said += 1

    def readinto(self, window):
        """Return the number of bytes put into `window`, None when there are none."""
        if self._messages:
            self._speak()
        count = min(len(window), self._count - self._at)
        if not count:
            return None
        window[:count] = self._view[self._at : self._at + count]
        self._at += count
        return count

    def _speak(self):
        late_ms = world.now_ms - self._start_ms
        if late_ms > 2 * self._period_ms:  # time jumped: a device does not make up for it
            self._start_ms = world.now_ms
            self._next = late_ms = 0
        at_ms, data = self._messages[self._next]
        if late_ms >= at_ms:
            self._next += 1
            if not self.quiet:
                self._say(data)
            if self._next == len(self._messages):
                self._next = 0
                self._start_ms += self._period_ms


def plug_in(number, found):
    """Make a line of what the order says of it."""
    messages = [(at_ms, bytes.fromhex(data)) for at_ms, data in found["messages"]]
    answers = {bytes.fromhex(ask): bytes.fromhex(say) for ask, say in found["answers"]}
    world.lines[number] = Line(messages, found["period_ms"], answers)
