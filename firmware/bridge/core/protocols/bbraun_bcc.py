"""B. Braun Space and CompactPlus pumps behind a SpaceCom: BCC, request mode, RS232.

    01 LLLLL 02 bed/1/1> records 03|17 CCCCC 04
    LLLLL: length from 01 to 04; CCCCC: sum of all bytes from 01 to 03 or 17, modulo 256; both in
    five decimal digits; 17 says that more blocks follow

On the wire D is EX, E is EE, d is ex, e is ee; length and sum count what was before. A record is
time,address,parameter,value; records are parted by 1E. Each block wants an ACK (06), or a NAK
(15) to come again. Only ADMIN:ALIVE, which asks for the bed's name, and MEM:GET, which asks for
all values, are sent: BCC has no command that changes an infusion, and none is made here. Speed
9600 bit/s 8N1 by default. Source: B. Braun technical interface specification BCC, I0022_000030.
"""

from array import array

from micropython import const

from bridge.core.digits import Decimal, matches, number_of
from bridge.core.events import NO_VALUE, OVER_RANGE, VALID, Alarm
from bridge.core.options import number, only
from bridge.core.protocols.driver import CHECK, FORMAT, LENGTH, NOISE, WAIT, Driver
from bridge.core.protocols.polls import IDLE, Polls

PORTS = ("9600 8N1", "19200 8N1", "38400 8N1", "57600 8N1", "115200 8N1")
_ACK = b"\x06"
_NAK = b"\x15"
SENDS = (b"\x010", _ACK, _NAK)  # frames of the two questions below begin so
_QUESTIONS = (b"ADMIN:ALIVE", b"MEM:GET")

_FRAME_MAX = const(2560)
_SOH, _STX, _ETX, _EOT, _ETB, _RS = (
    const(1),
    const(2),
    const(3),
    const(4),
    const(0x17),
    const(0x1E),
)
_COMMA = const(0x2C)
_TEXT_AT = const(7)
_TIMEOUT_MS = const(4000)
_ACK_MS = const(100)
_BED_MAX = const(24)

_PUMPS_MAX = const(72)  # three pillars of 24
_VALUES_MAX = const(16)
_SATURATED = const(65535)
_LEFT = const(451)
_PARAMETERS = (
    (b"INRT", 448),
    (b"INVI", 449),
    (b"INVTB", 450),
    (b"INRMT", _LEFT),
    (b"INVOLACT", 454),
    (b"INBORT", 455),
    (b"INBOVAL", 456),
    (b"INP2", 457),
    (b"INAKKU", 458),
    (b"INTIME", 460),
    (b"INBOCNT", 461),
    (b"INSTBY", 462),
)
_ALARMS = (
    (b"INA1", "BATTERY EMPTY", 3),
    (b"INA2", "SYRINGE EMPTY", 3),
    (b"INA3", "PRESSURE", 3),
    (b"INA5", "STANDBY OVER", 2),
    (b"INA6", "CC", 2),
    (b"INA7", "END OF VOLUME", 3),
    (b"INA8", "TIME OVER", 3),
    (b"INA9", "SYRINGE", 3),
    (b"INA11", "BATTERY PRE-ALARM", 1),
    (b"INA12", "NEAR EMPTY", 1),
    (b"INA13", "DOOR", 2),
    (b"INA14", "DROP", 3),
    (b"INA15", "AIR", 3),
    (b"INA16", "KVO END", 3),
)
_NO_VALUES = (b"_NV", b"_NA")


class BccDecoder(Driver):
    """All pumps of one SpaceCom; a pump's unit is 24 x (pillar - 1) + its place, 1 to 72.

    options  {"poll_ms": time between two readings of all pumps, default 2000}
    """

    def __init__(self, options):
        only(options, ("poll_ms",), "bbraun_bcc")
        poll_ms = number(options, "poll_ms", 1000, 60000, "bbraun_bcc", 2000)
        super().__init__(_FRAME_MAX, _VALUES_MAX, Polls((0, poll_ms), _TIMEOUT_MS))
        self._polls.again(0)
        self._requests = [_message(b"1/1/1>", _QUESTIONS[0]), b""]
        self._bed = b""
        self._text = bytearray(_FRAME_MAX)  # of one block, as it was before the stuffing
        self._size = 0
        self._say = b""  # ACK or NAK
        self._say_ms = None
        self._told = array("H", bytes(2 * (_PUMPS_MAX + 1)))
        self._now = 0
        self._known = 0  # alarms that the block has
        self._unit = 0
        self._alarm = Alarm()
        self._number = Decimal()
        self._strange = 0

    # --- asking ---

    def next_request(self, now_ms):
        """Return the bytes to send now, or None."""
        if self._say:
            if self._say_ms is None:
                self._say_ms = now_ms + _ACK_MS
            if now_ms < self._say_ms:
                return None
            said = self._say
            self._say = b""
            self._say_ms = None
            self._polls.heard(now_ms)
            return said
        polls = self._polls
        if polls.open == IDLE and not self._bed:
            polls.again(0)
        missed = polls.missed
        index = polls.next(now_ms)
        if polls.missed != missed:
            self._bed = b""  # after a silence the session begins anew
        if index == IDLE:
            return None
        if index == 1 and not self._bed:
            polls.answered()
            return None
        return self._requests[index]

    # --- blocks ---

    def _frame(self, at, count):
        data = self.rx.data
        if data[at] != _SOH:
            self._why = NOISE
            return -1
        end = data.find(b"\x04", at, at + count)
        again = data.find(b"\x01", at + 1, end if end >= 0 else at + count)
        if again >= 0:
            self._why = FORMAT
            return at - again
        if end < 0:
            self._why = LENGTH
            return WAIT if count < _FRAME_MAX else -1
        if not self._unstuff(at, end + 1):
            self._why = CHECK
            if self._polls.open != IDLE:
                self._say = _NAK
            return at - end - 1
        return end + 1 - at

    def _unstuff(self, at, end):
        """Put data[at:end] into `_text` as it was; say whether length and sum are right."""
        data = self.rx.data
        text = self._text
        size = 0
        while at < end:
            byte = data[at]
            at += 1
            if byte == 0x45 or byte == 0x65:
                after = data[at]  # the frame's end at least
                at += 1
                if after - byte == 0x13:  # X after E, x after e
                    byte -= 1
                elif after != byte:
                    return False
            text[size] = byte
            size += 1
        self._size = size
        if size < _TEXT_AT + 7 or text[6] != _STX:
            return False
        last = text[size - 7]
        if last != _ETX and last != _ETB:
            return False
        total = 0
        for index in range(size - 6):
            total += text[index]
        return (
            number_of(text, 1, 6) == size and number_of(text, size - 6, size - 1) == total & 0xFF
        )

    def _take(self, at, size):
        text = self._text
        end = self._size - 7
        self._say = _ACK
        head = text.find(b">", _TEXT_AT, min(end, _TEXT_AT + _BED_MAX))
        if head < 0:
            return self._damage.of(FORMAT, size)
        if not self._bed:
            self._bed = bytes(text[_TEXT_AT : head + 1])
            self._requests[1] = _message(self._bed, _QUESTIONS[1])
        if text[end] == _ETX:
            self._polls.answered()
        observation = self._observation
        observation.begin(0, 0)
        self._now = self._known = 0
        at = head + 1
        while at < end:
            stop = text.find(b"\x1e", at, end)
            if stop < 0:
                stop = end
            if not self._record(at, stop):
                self._strange += stop - at
            at = stop + 1
        self._unit = observation.unit
        return observation if observation.count else None

    def _record(self, at, end):
        """Take one record; False when it is none, or of another pump than the block's first."""
        text = self._text
        address = text.find(b",", at, end) + 1
        name = text.find(b",", address, end) + 1
        if not address or not name or name - address != 6:
            return False
        value = text.find(b",", name, end) + 1
        if not value:
            return matches(text, name, b"GNACK") or name < end  # ADMIN:VERSION has no value
        unit = _unit_of(text, address)
        if unit < 0:
            return False
        if not unit:
            return True  # of the SpaceCom itself
        observation = self._observation
        if observation.unit and observation.unit != unit:
            return False
        observation.unit = unit
        size = value - 1 - name
        for known, parameter in _PARAMETERS:
            if size == len(known) and matches(text, name, known):
                return self._value(parameter, value, end)
        for index in range(len(_ALARMS)):
            known = _ALARMS[index][0]
            if size == len(known) and matches(text, name, known):
                self._known |= 1 << index
                if end == value + 1 and text[value] == 0x31:
                    self._now |= 1 << index
                return True
        return True

    def _value(self, parameter, at, end):
        text = self._text
        observation = self._observation
        for marker in _NO_VALUES:
            if end - at == 3 and matches(text, at, marker):
                return observation.add(parameter, 0, 0, NO_VALUE)
        found = self._number
        if not found.read(text, at, end):
            return False
        saturated = parameter == _LEFT and found.value == _SATURATED
        state = OVER_RANGE if saturated else VALID
        return observation.add(parameter, found.value, found.decimals, state)

    def _pending(self):
        if self._strange:
            count = self._strange
            self._strange = 0
            return self._damage.of(FORMAT, count)
        unit = self._unit
        changed = (self._now ^ self._told[unit]) & self._known
        if not unit or not changed:
            return None
        bit = 0
        while not changed >> bit & 1:
            bit += 1
        self._told[unit] ^= 1 << bit
        alarm = self._alarm
        alarm.unit = unit
        alarm.code = bit
        _, alarm.text, alarm.priority = _ALARMS[bit]
        alarm.active = self._now >> bit & 1 == 1
        return alarm


def _unit_of(text, at):
    """Return the unit of an address 501xy, 0 for the system's, -1 for none."""
    if not matches(text, at, b"501"):
        return -1
    pillar = text[at + 3] - 0x30
    place = text[at + 4]
    place -= 0x30 if place <= 0x39 else 0x37  # A follows 9
    if not 0 <= pillar <= 3 or not 0 <= place <= 24:
        return -1
    return 24 * (pillar - 1) + place if pillar and place else 0


def _message(bed, question):
    """Return the frame of a question, stuffed."""
    size = 7 + len(bed) + len(question) + 7
    plain = b"\x01%05d\x02" % size + bed + question + b"\x03"
    plain += b"%05d\x04" % (sum(plain) & 0xFF)
    out = bytearray()
    for byte in plain:
        if byte in b"De" or byte in b"dE":
            out += {0x44: b"EX", 0x45: b"EE", 0x64: b"ex", 0x65: b"ee"}[byte]
        else:
            out.append(byte)
    return bytes(out)
