"""MQTT 3.1.1 for a client at QoS 0 and 1: packets to bytes and bytes to packets, no I/O.

The gateway and the hub's consumer both run this file. Every packet is built whole, so that one
write sends it; every length from the peer is checked against the decoder's fixed buffer.
Source: MQTT Version 3.1.1, OASIS Standard, 29 October 2014 (section numbers below).
"""

import struct
from array import array

from micropython import const

from bridge.core.errors import ProtocolError

CONNACK = const(2)
PUBLISH = const(3)
PUBACK = const(4)
SUBACK = const(9)
UNSUBACK = const(11)
PINGRESP = const(13)

WINDOW = const(51)
_REMAINING_MAX = const(268435455)
_PUBLISH_HEAD = const(0x30)

# What a client may be sent, and the low nibble each must have (2.2.2)
_FLAGS = {CONNACK: 0, PUBACK: 0, SUBACK: 0, UNSUBACK: 0, PINGRESP: 0}

REFUSALS = (
    "accepted",
    "unacceptable protocol version",
    "identifier rejected",
    "server unavailable",
    "bad user name or password",
    "not authorized",
)


class Packet:
    """One packet from the broker.

    type         CONNACK, PUBLISH, PUBACK, SUBACK, UNSUBACK or PINGRESP
    packet_id    of a PUBLISH at QoS 1, PUBACK, SUBACK; else 0
    code         CONNACK return code, an index of REFUSALS
    codes        SUBACK return codes, one for each filter: the QoS granted, or 0x80
    topic        str; payload: bytes; qos, retain, dup: of a PUBLISH
    """

    def __init__(self, type):
        self.type = type
        self.packet_id = 0
        self.code = 0
        self.codes = b""
        self.session_present = False
        self.topic = ""
        self.payload = b""
        self.qos = 0
        self.retain = False
        self.dup = False


class Unacknowledged:
    """Packet identifiers that wait for their acknowledgement: at most WINDOW in a row.

    They are 1 to 65535 and round again (2.3.1); WINDOW divides 65535, so that no two of a window
    fall on one slot.
    """

    def __init__(self):
        self._slots = array("H", bytes(2 * WINDOW))
        self._last = 0
        self.count = 0

    def full(self):
        """Say whether the next identifier still waits for the acknowledgement of its last use."""
        return self._slots[(self._last % 0xFFFF + 1) % WINDOW] != 0

    def take(self):
        """Return the next identifier; not while `full()`."""
        self._last = self._last % 0xFFFF + 1
        self._slots[self._last % WINDOW] = self._last
        self.count += 1
        return self._last

    def acknowledge(self, packet_id):
        """Take an acknowledgement; raises ProtocolError when nothing waits for it."""
        if not packet_id or self._slots[packet_id % WINDOW] != packet_id:
            raise ProtocolError("packet identifier %d acknowledged, which is not due" % packet_id)
        self._slots[packet_id % WINDOW] = 0
        self.count -= 1


class Decoder:
    """Bytes from the broker to packets; `max_packet` bounds a whole packet and the memory."""

    def __init__(self, max_packet):
        self._data = bytearray(max_packet)
        self._view = memoryview(self._data)
        self._count = 0
        self._start = 0

    def window(self):
        """Return the free part of the buffer for `readinto`; say `commit(n)` afterwards."""
        if self._start:
            # Complete packets were taken from the front: move the rest there once.
            rest = self._count - self._start
            self._view[:rest] = self._view[self._start : self._count]
            self._start, self._count = 0, rest
        return self._view[self._count :]

    def commit(self, count):
        self._count += count

    def feed(self, data):
        """Copy in as much of `data` as fits and return the number of bytes taken."""
        window = self.window()
        count = min(len(window), len(data))
        window[:count] = data[:count]
        self.commit(count)
        return count

    def next_packet(self):
        """Return the next Packet or None for "more bytes"; raises ProtocolError."""
        data, start, end = self._data, self._start, self._count
        if start < end:
            _check_first(data[start])
        length = 0
        at = start + 1
        shift = 0
        while True:
            if at >= end:
                return None
            byte = data[at]
            length |= (byte & 0x7F) << shift
            at += 1
            if byte < 0x80:
                break
            shift += 7
            if shift > 21:
                raise ProtocolError("remaining length longer than four bytes")
        stop = at + length
        if stop - start > len(data):
            raise ProtocolError("packet of %d bytes, want at most %d" % (stop - start, len(data)))
        if stop > end:
            return None
        self._start = stop
        return _parse(data[start], self._view[at:stop])


def _check_first(first):
    # At once: the rest of what is no MQTT may never come.
    kind = first >> 4
    if kind != PUBLISH and _FLAGS.get(kind) != first & 0x0F:
        raise ProtocolError("unexpected packet 0x%02x" % first)


def _parse(first, body):
    kind = first >> 4
    packet = Packet(kind)
    size = len(body)
    if kind == PUBLISH:
        return _parse_publish(packet, first, body, size)
    if kind == PINGRESP:
        if size:
            raise ProtocolError("PINGRESP of %d bytes" % size)
    elif kind == CONNACK:
        if size != 2 or body[0] > 1:
            raise ProtocolError("CONNACK of %d bytes" % size)
        packet.session_present = bool(body[0])
        packet.code = body[1]
    elif size < 2 or (kind == SUBACK and size < 3) or (kind != SUBACK and size != 2):
        raise ProtocolError("packet 0x%02x of %d bytes" % (first, size))
    else:
        packet.packet_id = body[0] << 8 | body[1]
        packet.codes = bytes(body[2:])
    return packet


def _parse_publish(packet, first, body, size):
    packet.qos = first >> 1 & 3
    packet.dup = bool(first & 8)
    packet.retain = bool(first & 1)
    if packet.qos > 1 or size < 2:
        raise ProtocolError("PUBLISH at QoS %d of %d bytes" % (packet.qos, size))
    at = 2 + (body[0] << 8 | body[1])
    if at + 2 * packet.qos > size:
        raise ProtocolError("PUBLISH: topic of %d bytes in %d" % (at - 2, size))
    try:
        packet.topic = bytes(body[2:at]).decode()
    except UnicodeError:
        raise ProtocolError("PUBLISH: topic is not UTF-8")
    if not packet.topic or "\0" in packet.topic:
        raise ProtocolError("PUBLISH: topic is empty or has a null character")  # 4.7.3
    if packet.qos:
        packet.packet_id = body[at] << 8 | body[at + 1]
        if not packet.packet_id:
            raise ProtocolError("PUBLISH: packet identifier 0")
        at += 2
    packet.payload = bytes(body[at:])
    return packet


# --- packets to bytes ---


def _string(text):
    data = text.encode() if isinstance(text, str) else text
    if len(data) > 0xFFFF:
        raise ValueError("string of %d bytes, want at most 65535" % len(data))
    return struct.pack(">H", len(data)) + data


def _length(count):
    if count > _REMAINING_MAX:
        raise ValueError("packet of %d bytes, want at most %d" % (count, _REMAINING_MAX))
    out = bytearray()
    while True:
        byte = count & 0x7F
        count >>= 7
        if not count:
            out.append(byte)
            return bytes(out)
        out.append(byte | 0x80)


def _packet(first, *parts):
    body = b"".join(parts)
    return bytes((first,)) + _length(len(body)) + body


def connect(
    client_id,
    keep_alive_s,
    will_topic=None,
    will_payload=b"",
    will_retain=False,
    user=None,
    password=None,
):
    """Return a CONNECT with a clean session; the will, if any, goes at QoS 1 (3.1)."""
    flags = 2
    tail = [_string(client_id)]
    if will_topic is not None:
        flags |= 0x0C | (0x20 if will_retain else 0)
        tail += [_string(will_topic), _string(will_payload)]
    if user is not None:
        flags |= 0x80
        tail.append(_string(user))
        if password is not None:
            flags |= 0x40
            tail.append(_string(password))
    head = b"\x00\x04MQTT\x04" + bytes((flags,)) + struct.pack(">H", keep_alive_s)
    return _packet(0x10, head, *tail)


def publish(topic, payload, qos=1, packet_id=0, retain=False, dup=False):
    """Return a PUBLISH (3.3); raises ValueError for what does not fit, or has no identifier."""
    if qos and not packet_id:
        raise ValueError("PUBLISH at QoS %d needs a packet identifier" % qos)
    first = _PUBLISH_HEAD | (8 if dup else 0) | qos << 1 | (1 if retain else 0)
    identifier = struct.pack(">H", packet_id) if qos else b""
    return _packet(first, _string(topic), identifier, payload)


def publish_head(buffer, topic, size, packet_id):
    """Write all of a QoS 1 PUBLISH but its payload at the start of `buffer`; return the size.

    topic  bytes, encoded once by the caller
    size   of the payload, which the caller writes right behind
    """
    count = 2 + len(topic) + 2 + size
    buffer[0] = _PUBLISH_HEAD | 2
    at = 1
    while True:
        byte = count & 0x7F
        count >>= 7
        buffer[at] = byte | 0x80 if count else byte
        at += 1
        if not count:
            break
    struct.pack_into(">H", buffer, at, len(topic))
    at += 2
    buffer[at : at + len(topic)] = topic
    at += len(topic)
    struct.pack_into(">H", buffer, at, packet_id)
    return at + 2


def puback(packet_id):
    """Return a PUBACK (3.4)."""
    return struct.pack(">BBH", 0x40, 2, packet_id)


def subscribe(packet_id, filters):
    """Return a SUBSCRIBE; `filters` is a list of (topic filter, QoS) (3.8)."""
    parts = [struct.pack(">H", packet_id)]
    for text, qos in filters:
        parts += [_string(text), bytes((qos,))]
    return _packet(0x82, *parts)


def unsubscribe(packet_id, filters):
    """Return an UNSUBSCRIBE; `filters` is a list of topic filters (3.10)."""
    return _packet(0xA2, struct.pack(">H", packet_id), *[_string(text) for text in filters])


def pingreq():
    """Return a PINGREQ (3.12)."""
    return b"\xc0\x00"


def disconnect():
    """Return a DISCONNECT, which also cancels the will (3.14)."""
    return b"\xe0\x00"
