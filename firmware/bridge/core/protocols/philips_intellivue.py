"""Philips IntelliVue monitors: data export over the MIB/RS232 port.

    C0 | 11 01 size u16 | message | FCS, low byte first | C1    CRC-16/X-25 of 11 01 to the message
    C0, C1 and 7D inside are sent as 7D and the byte with bit 5 turned

A session: association request and its answer; the monitor's MDS create event, which must be
answered; then polls that the monitor serves once a second for a minute, begun again before it
ends. A poll of the alarms every few seconds keeps the association. All that is sent are the
association, that answer and polls: the export has no request that sets the monitor, and
none is made here. Speed 115200 bit/s 8N1. Source: public decoders that agree, and the title of
the vendor's Data Export Interface Programming Guide (4535 642 59271).
"""

from micropython import const

from bridge.core.checks import crc16_x25
from bridge.core.options import flag, only
from bridge.core.protocols.driver import CHECK, FORMAT, LENGTH, NOISE, WAIT, Driver
from bridge.core.protocols.intellivue_alarms import Alarms
from bridge.core.protocols.intellivue_data import add_value, u16
from bridge.core.protocols.intellivue_waves import Waves

PORTS = ("115200 8N1",)


def framed(message):
    """Return a frame."""
    body = b"\x11\x01" + bytes((len(message) >> 8, len(message) & 0xFF)) + message
    fcs = crc16_x25(body, 0, len(body))
    out = bytearray(b"\xc0")
    for byte in body + bytes((fcs & 0xFF, fcs >> 8)):
        if byte in b"\xc0\xc1\x7d":
            out.append(0x7D)
            byte ^= 0x20
        out.append(byte)
    out.append(0xC1)
    return bytes(out)


# The presentation header names the profiles by their object identifiers.
_OIDS = tuple(b"\x06\x0c\x2a\x86\x48\xce\x14\x02\x01\x00\x00\x00" + tail for tail in
              (b"\x01\x01", b"\x02\x01", b"\x03\x01"))  # fmt: skip
_USER = (
    b"\x80\x00\x00\x00\x40\x00\x00\x00" + bytes(4) + b"\x80\x00\x00\x00\x20\x00\x00\x00" + bytes(4)
    + b"\x00\x01\x00\x2c\x00\x01\x00\x28\x80\x00\x00\x00\x00\x00\x1f\x40\x00\x00\x03\xe8"
    + b"\x00\x00\x03\xe8\xff\xff\xff\xff\x60\x00\x00\x00\x00\x01\x00\x0c\xf0\x01\x00\x08"
    + b"\x88\x00\x00\x00" + bytes(4)
)  # fmt: skip
_REQUEST = framed(
    b"\x0d\xec\x05\x08\x13\x01\x00\x16\x01\x02\x80\x00\x14\x02\x00\x02\xc1\xdc"
    + b"\x31\x80\xa0\x80\x80\x01\x01\x00\x00\xa2\x80\xa0\x03\x00\x00\x01\xa4\x80"
    + b"\x30\x80\x02\x01\x01\x06\x04\x52\x01\x00\x01\x30\x80\x06\x02\x51\x01\x00\x00\x00\x00"
    + b"\x30\x80\x02\x01\x02" + _OIDS[0] + b"\x30\x80" + _OIDS[1] + bytes(6)
    + b"\x61\x80\x30\x80\x02\x01\x01\xa0\x80\x60\x80\xa1\x80" + _OIDS[2] + b"\x00\x00"
    + b"\xbe\x80\x28\x80" + _OIDS[0] + b"\x02\x01\x02\x81\x48" + _USER + bytes(16)
)  # fmt: skip
_POLL = b"\x00\x21\x00\x00\x00\x00\x00\x00\x00\x00"


def _extended(number, code):
    """Return a poll that the monitor serves for a minute."""
    return framed(
        b"\xe1\x00\x00\x02\x00\x01\x00\x28\x00" + bytes((number,)) + b"\x00\x07\x00\x22" + _POLL
        + b"\xf1\x3b\x00\x14\x00" + bytes((number,)) + b"\x00\x01\x00" + bytes((code,))
        + b"\x00\x00\x00\x01\x00\x08\xf1\x3e\x00\x04\x00\x07\x53\x00"
    )  # fmt: skip


def _single(number, code):
    return framed(
        b"\xe1\x00\x00\x02\x00\x01\x00\x1c\x00" + bytes((number,)) + b"\x00\x07\x00\x16" + _POLL
        + b"\x0c\x16\x00\x08\x00" + bytes((number,)) + b"\x00\x01\x00" + bytes((code,))
        + b"\x00\x00"
    )  # fmt: skip


_NUMERIC = const(0x06)
_WAVE = const(0x09)
_ALARM = const(0x36)
_RELEASE = framed(
    b"\x09\x18\xc1\x16\x61\x80\x30\x80\x02\x01\x01\xa0\x80\x62\x80\x80\x01" + bytes(9)
)
_ANSWER = b"\xc0\x11\x01\x00\x1c\xe1\x00\x00\x02\x00\x02\x00\x14"  # of the MDS create event
_POLLS = (_extended(1, _NUMERIC), _extended(2, _WAVE), _single(3, _ALARM), _single(4, _NUMERIC))
SENDS = (_REQUEST, _RELEASE, _ANSWER) + _POLLS
_NUMERICS = const(0)
_WAVES = const(1)
_ALARMS = const(2)
_ONCE = const(3)

_RX_SIZE = const(1536)
_MESSAGE_MAX = const(1100)
_VALUES_MAX = const(40)
_HEAD = const(4)  # 11 01 and the size

_AGAIN_MS = const(4000)  # an association request without an answer
_WAIT_MS = const(2000)  # after a refusal or an abort
_SILENT_MS = const(10000)
_EXTENDED_MS = const(50000)  # of the 60 s that a poll lasts
_KEEP_MS = const(4000)
_ONCE_MS = const(1000)
_GAP_MS = const(50)

_IDLE = const(0)
_ASKED = const(1)
_OPEN = const(2)
_RUNNING = const(3)


class IntellivueDecoder(Driver):
    """One session with one monitor. Group 0 is the numerics.

    options  {"waves": true or false, default true}
    """

    def __init__(self, options):
        only(options, ("waves",), "philips_intellivue")
        wants_waves = flag(options, "waves", True, "philips_intellivue")
        super().__init__(_RX_SIZE, _VALUES_MAX)
        self._message = bytearray(_MESSAGE_MAX + _HEAD + 2)
        self._size = 0
        self._alarms = Alarms()
        self._waves = Waves()
        self._state = _IDLE
        self._due_ms = 0  # of the next association request
        self._heard = False
        self._heard_ms = 0
        self._answer = None
        self._periods_ms = [_EXTENDED_MS, _EXTENDED_MS if wants_waves else 0, _KEEP_MS, 0]
        self._polls_ms = [0, 0, 0, 0]
        self._sent_ms = 0
        self._missed = 0
        self._at_object = self._end_objects = self._in_context = 0
        self._class = 0

    # --- the session ---

    def next_request(self, now_ms):
        """Return the bytes to send now, or None."""
        if self._heard:
            self._heard = False
            self._heard_ms = now_ms
        if self._answer is not None:
            answer = self._answer
            self._answer = None
            self._start(now_ms)
            return answer
        if self._state == _OPEN and now_ms - self._heard_ms >= _AGAIN_MS:
            self._start(now_ms)  # the event was lost, and may not come again
        if self._state == _RUNNING and now_ms - self._heard_ms >= _SILENT_MS:
            self._end(0)
            self._missed += 1
        if self._state <= _ASKED:
            if self._due_ms < 0:
                self._due_ms = now_ms - self._due_ms
            if now_ms < self._due_ms:
                return None
            self._missed += self._state == _ASKED
            self._state = _ASKED
            self._due_ms = now_ms + _AGAIN_MS
            return _REQUEST
        if self._state == _OPEN or now_ms - self._sent_ms < _GAP_MS:
            return None
        for index in range(len(_POLLS)):
            if self._periods_ms[index] and now_ms >= self._polls_ms[index]:
                self._polls_ms[index] = now_ms + self._periods_ms[index]
                self._sent_ms = now_ms
                return _POLLS[index]
        return None

    def goodbye(self):
        """Return what ends the association, or None; the next one need not wait for its end."""
        return _RELEASE if self._state > _ASKED else None

    def _start(self, now_ms):
        self._state = _RUNNING
        self._heard_ms = now_ms
        for index in range(len(_POLLS)):
            self._polls_ms[index] = now_ms

    def _end(self, wait_ms):
        """Forget the session; the next begins after a while."""
        self._state = _IDLE
        self._due_ms = -wait_ms - 1  # counted from the next turn
        self._answer = None
        self._waves.forget()

    # --- frames ---

    def _frame(self, at, count):
        data = self.rx.data
        if data[at] != 0xC0:
            self._why = NOISE
            return -1
        end = data.find(b"\xc1", at, at + count)
        again = data.find(b"\xc0", at + 1, end if end >= 0 else at + count)
        if again >= 0:
            self._why = FORMAT
            return at - again
        if end < 0:
            self._why = LENGTH
            return WAIT if count < len(data) else -count
        self._why = CHECK
        return end + 1 - at if self._unescape(at + 1, end) else at - end - 1

    def _unescape(self, at, end):
        """Put what was before the escaping into `_message`; say whether size and FCS are right."""
        data = self.rx.data
        message = self._message
        size = 0
        while at < end:
            byte = data[at]
            at += 1
            if byte == 0x7D:
                if at == end:
                    return False
                byte = data[at] ^ 0x20
                at += 1
            if size == len(message):
                return False
            message[size] = byte
            size += 1
        self._size = size - 2
        if size < _HEAD + 3 or message[0] != 0x11 or message[1] != 0x01:
            return False
        if u16(message, 2) != size - 2 - _HEAD:
            return False
        return crc16_x25(message, 0, size - 2) == message[size - 2] | message[size - 1] << 8

    def _take(self, at, size):
        message = self._message
        kind = message[_HEAD]
        self._heard = True
        if kind == 0x0E:
            if self._state == _ASKED:
                self._state = _OPEN
        elif kind == 0x0C:
            self._end(_WAIT_MS)
            return self._damage.of("refused", 1)
        elif kind in (0x19, 0x0A):
            self._end(_WAIT_MS)
        elif kind == 0xE1 and self._size >= _HEAD + 14:
            return self._export(u16(message, _HEAD + 4))
        return None

    def _export(self, operation):
        message = self._message
        at = _HEAD + 8
        if operation == 5:
            at += 2  # state and count of a linked result
        elif operation == 3:
            if self._periods_ms[_NUMERICS] and u16(message, at) == 1:
                # It knows no extended poll: ask again and again.
                self._periods_ms = [0, 0, _KEEP_MS, _ONCE_MS]
            return self._damage.of("refused", 1)
        command = u16(message, at + 2)
        at += 6
        if operation == 1:
            if command == 1 and self._size >= at + 12 and u16(message, at + 10) == 0x0D06:
                self._answer = framed(
                    _ANSWER[5:] + message[at - 6 : at - 4] + b"\x00\x01\x00\x0e"
                    + message[at : at + 10] + b"\x0d\x06\x00\x00"
                )  # fmt: skip
            return None
        if command != 7 or self._size < at + 32:
            return None
        is_extended = u16(message, at + 6) == 0xF13B
        at += 10 + (4 if is_extended else 2) + 12
        if self._size < at + 10:
            return None
        self._class = u16(message, at + 2)
        at += 6
        self._at_object = at + 4
        self._end_objects = min(self._size, at + 4 + u16(message, at + 2))
        self._in_context = 0
        if self._class == _NUMERIC:
            self._observation.begin(0, 0)
            self._walk()
            return self._observation if self._observation.count else None
        if self._class == _ALARM:
            self._alarms.begin()
            self._walk()
            self._alarms.end()
        return None

    def _walk(self):
        """Go through the objects; return the wave of the first that has one."""
        message = self._message
        while self._at_object + 6 <= self._end_objects:
            at = self._at_object
            if not self._in_context:
                self._in_context = u16(message, at + 2)
                self._at_object = at + 6
                continue
            self._in_context -= 1
            handle = u16(message, at)
            start = at + 6
            end = start + u16(message, at + 4)
            if end > self._end_objects:
                break
            self._at_object = end
            if self._class == _WAVE:
                wave = self._waves.read(message, start, end, handle)
                if wave is not None:
                    return wave
            else:
                self._attributes(start, end)
        self._at_object = self._end_objects
        return None

    def _attributes(self, at, end):
        message = self._message
        while at + 4 <= end:
            id = u16(message, at)
            size = u16(message, at + 2)
            at += 4
            if at + size > end:
                return
            if self._class == _ALARM:
                if id in (0x0902, 0x0904):
                    self._alarms.take(message, at, at + size, id)
            elif id == 0x0950 and size == 10:
                add_value(self._observation, message, at)
            elif id == 0x094B:
                for place in range(at + 4, at + size - 9, 10):
                    add_value(self._observation, message, place)
            at += size

    def _pending(self):
        if self._missed:
            self._missed -= 1
            return self._damage.of("timeout", 1)
        if self._class == _WAVE and self._at_object < self._end_objects:
            wave = self._walk()
            if wave is not None:
                return wave
        return self._alarms.next()
