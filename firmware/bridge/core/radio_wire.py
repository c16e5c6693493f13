"""Frames on the air between a gateway and a site, and the answer (docs/formats/radio.md).

A frame is encrypted and authenticated from the gateway to the site; whoever relays it needs no
key. What makes it unique is the log: each period on the radio begins with a record committed to
class A's log, and a place in the log never has two meanings. All numbers are little-endian.
"""

import hashlib
import struct

from micropython import const

from bridge.core.airtime import FRAME_MAX
from bridge.core.clip import clip
from bridge.core.errors import FormatError, TagError
from bridge.core.events import NO_VALUE, UNDER_RANGE
from bridge.core.journal.seal import Counter
from bridge.core.mac import hmac_sha256, same

FRAME = const(0x11)  # version 1, from a gateway
ANSWER = const(0x12)  # version 1, from a site
SHORT_ID = const(4)
HEAD = const(15)
TAG = const(8)
ANSWER_SIZE = const(15)
BODY_HEAD = const(4)
COUNTER_MAX = const(0xFFFF)
DEVICES_MAX = const(32)

_HEAD = "<B4sIHHH"
_ANSWER = "<B4sH"
_HEARD = "<Bhb"
_HEARD_VERSION = const(1)
_KEY = b"vitalkeep radio"
_ENCRYPT = b"vitalkeep radio encrypt"
_FRAME_TAG = b"vitalkeep radio frame"
_ANSWER_TAG = b"vitalkeep radio answer"

_DEVICE = const(0x80)  # + number: of this device, and so old, are the values that follow
_ALARM = const(0xC0)  # + number
_KINDS = const(0xE0)
_ACTIVE = const(0x80)
_TEXT_MAX = const(32)


def short_id(gateway):
    """Return the 4 bytes by which a gateway is known on the air."""
    return hashlib.sha256(gateway).digest()[:SHORT_ID]


def names_check(names):
    """Return a number that tells one list of device names from another."""
    return struct.unpack("<H", hashlib.sha256("\n".join(names).encode()).digest()[:2])[0]


def radio_key(uplink_key, log_id):
    """Return the key of a gateway's frames, for as long as it writes one log."""
    return hmac_sha256(uplink_key, _KEY, log_id)


# --- the body: alarms, then values ---


class Body:
    """Fills the plaintext of a frame, up to `room` bytes; what does not fit is refused whole.

    names    `names_check` of the gateway's devices, in their order
    """

    def __init__(self, names, room):
        self._room = room
        self._names = names
        self._data = bytearray(BODY_HEAD)
        self._device = -1
        self._age_s = -1

    def add_alarm(self, device, age_s, page, code, priority, active, text):
        """Add an alarm and return True, or False where there is no room."""
        data = clip(text, _TEXT_MAX)
        flags = (_ACTIVE if active else 0) | min(priority, 3)
        item = bytearray((_ALARM + device, flags, page & 0xFF, code & 0xFF, code >> 8 & 0xFF))
        _append_number(item, age_s)
        item.append(len(data))
        item.extend(data)
        return self._take(item)

    def add_value(self, device, age_s, parameter, value, decimals, state):
        """Add a value and return True, or False where there is no room."""
        item = bytearray()
        if device != self._device or age_s != self._age_s:
            item.append(_DEVICE + device)
            _append_number(item, age_s)
        item.append(state << 3 | decimals)
        _append_number(item, parameter)
        if state != NO_VALUE:
            _append_number(item, value << 1 if value >= 0 else (-value << 1) - 1)
        if not self._take(item):
            return False
        self._device, self._age_s = device, age_s
        return True

    def _take(self, item):
        if len(self._data) + len(item) > self._room:
            return False
        self._data.extend(item)
        return True

    def finish(self, alarms_left, values_left):
        """Return the plaintext; says how many alarms and values had no room."""
        counts = min(alarms_left, 255), min(values_left, 255)
        struct.pack_into("<HBB", self._data, 0, self._names, *counts)
        return self._data


class RadioValue:
    """One last value; `value` is None when there is none, `age_s` its age when it was sent."""

    def __init__(self, device, age_s, parameter, value, decimals, state):
        self.device = device
        self.age_s = age_s
        self.parameter = parameter
        self.value = value
        self.decimals = decimals
        self.state = state


class RadioAlarm:
    """One alarm of a device, begun (`active`) or over since `age_s` when it was sent."""

    def __init__(self, device, age_s, page, code, priority, active, text):
        self.device = device
        self.age_s = age_s
        self.page = page
        self.code = code
        self.priority = priority
        self.active = active
        self.text = text


class Content:
    """What a body says: `names`, `alarms`, `values`, and how many of each had no room."""

    def __init__(self, names, alarms_left, values_left):
        self.names = names
        self.alarms_left = alarms_left
        self.values_left = values_left
        self.alarms = []
        self.values = []


def parse_body(body):
    """Return the Content of a plaintext; raises FormatError."""
    if len(body) < BODY_HEAD:
        raise FormatError("radio: body of %d bytes" % len(body))
    content = Content(*struct.unpack_from("<HBB", body, 0))
    device = age_s = -1
    at = BODY_HEAD
    try:
        while at < len(body):
            kind = body[at]
            at += 1
            if kind & _KINDS == _DEVICE:
                device = kind - _DEVICE
                age_s, at = _number(body, at)
            elif kind & _KINDS == _ALARM:
                flags, page, code, more = body[at], body[at + 1], body[at + 2], body[at + 3]
                age, at = _number(body, at + 4)
                size = body[at]
                text = bytes(body[at + 1 : at + 1 + size])
                at += 1 + size
                if at > len(body) or size > _TEXT_MAX:
                    raise FormatError("radio: alarm text of %d bytes" % size)
                alarm = (kind - _ALARM, age, page, code | more << 8, flags & 3)
                content.alarms.append(RadioAlarm(*alarm, bool(flags & _ACTIVE), text.decode()))
            elif kind < _DEVICE and device >= 0:
                state, decimals = kind >> 3, kind & 7
                if state > UNDER_RANGE or decimals > 6:
                    raise FormatError("radio: value of kind 0x%02x" % kind)
                parameter, at = _number(body, at)
                value = None
                if state != NO_VALUE:
                    value, at = _number(body, at)
                    value = -(value + 1 >> 1) if value & 1 else value >> 1
                content.values.append(RadioValue(device, age_s, parameter, value, decimals, state))
            else:
                raise FormatError("radio: kind 0x%02x at %d" % (kind, at - 1))
    except (IndexError, UnicodeError) as error:
        raise FormatError("radio: body cut short or not text", error)
    return content


def _append_number(item, number):
    while number > 0x7F:
        item.append(number & 0x7F | 0x80)
        number >>= 7
    item.append(number)


def _number(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
        if shift > 28:
            raise FormatError("radio: number of more than 35 bits")


# --- frames ---


class Frame:
    """A frame as it is in the clear: `order` grows with each frame of one log.

    short    4 bytes that name the gateway
    order    (sector, offset, counter): place of the period's first record in class A's log,
             and the frame's number in the period
    tag      its last 8 bytes
    data     all of it
    """

    def __init__(self, short, order, data):
        self.short = short
        self.order = order
        self.data = data
        self.tag = bytes(data[len(data) - TAG :])


def seal_frame(cipher, key, gateway, place, salt, counter, body):
    """Return the bytes of a frame.

    cipher   as journal.seal has it
    key      of `radio_key`
    place    (sector, offset) of class A's log at which this period on the radio begins
    salt     16 random bits of the period
    counter  0 up, never twice in a period
    """
    data = bytearray(HEAD + len(body) + TAG)
    struct.pack_into(_HEAD, data, 0, FRAME, short_id(gateway), *place, salt, counter)
    head = bytes(data[:HEAD])
    data[HEAD : HEAD + len(body)] = body
    stop = HEAD + len(body)
    # A key for each frame: no counter block is ever used twice.
    Counter(cipher, hmac_sha256(key, _ENCRYPT, head)).apply(data, HEAD, stop, 0)
    data[stop:] = _frame_tag(key, gateway, data)
    return data


def _frame_tag(key, gateway, data):
    return hmac_sha256(key, _FRAME_TAG, gateway, bytes(data[: len(data) - TAG]))[:TAG]


def parse_frame(data):
    """Return the Frame in bytes from the air, not yet authenticated; raises FormatError."""
    if not HEAD + BODY_HEAD + TAG <= len(data) <= FRAME_MAX:
        raise FormatError("radio: frame of %d bytes" % len(data))
    kind, short, sector, offset, _, counter = struct.unpack_from(_HEAD, data, 0)
    if kind != FRAME:
        raise FormatError("radio: kind 0x%02x, want 0x%02x" % (kind, FRAME))
    return Frame(short, (sector, offset, counter), bytes(data))


def open_frame(cipher, key, gateway, frame):
    """Return the Content of a frame; raises TagError when it is not of this gateway's key."""
    data = bytearray(frame.data)
    if not same(_frame_tag(key, gateway, data), frame.tag):
        raise TagError("radio: wrong tag")
    stop = len(data) - TAG
    Counter(cipher, hmac_sha256(key, _ENCRYPT, bytes(data[:HEAD]))).apply(data, HEAD, stop, 0)
    return parse_body(data[HEAD:stop])


# --- answers: a site has durably stored what a frame said ---


def pack_answer(key, gateway, frame):
    """Return the answer to a Frame, under the receipt key of (gateway, site)."""
    head = struct.pack(_ANSWER, ANSWER, frame.short, frame.order[2])
    return head + hmac_sha256(key, _ANSWER_TAG, gateway, frame.tag, head)[:TAG]


def is_answer(data, gateway):
    """Say whether bytes from the air claim to be an answer to this gateway."""
    return len(data) == ANSWER_SIZE and data[0] == ANSWER and data[1:5] == short_id(gateway)


def check_answer(data, keys, gateway, frame):
    """Check an answer to `frame`, a Frame; raises TagError unless a site of `keys` gave it."""
    for key in keys:
        if same(bytes(data), pack_answer(key, gateway, frame)):
            return
    raise TagError("radio: answer with a wrong tag")


# --- between a base station and a hub: a frame, and how it was heard ---


def pack_heard(rssi, snr, data):
    """Return the payload that carries a frame to the hub.

    rssi  dBm; snr: dB
    """
    rssi = max(-32768, min(32767, int(rssi)))
    return struct.pack(_HEARD, _HEARD_VERSION, rssi, max(-128, min(127, int(4 * snr)))) + data


def parse_heard(payload):
    """Return (rssi, snr, frame bytes) of a base station's payload; raises FormatError."""
    size = struct.calcsize(_HEARD)
    if len(payload) < size or payload[0] != _HEARD_VERSION:
        raise FormatError("radio: %d bytes that are no relayed frame" % len(payload))
    _, rssi, snr = struct.unpack_from(_HEARD, payload, 0)
    return rssi, snr / 4, bytes(payload[size:])
