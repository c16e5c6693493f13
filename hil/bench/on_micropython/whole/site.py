"""One site: a broker and a hub in one, on a gateway's own connection. Its store is files."""

import hashlib
import os
import struct

from bridge.core import wire
from bridge.core.journal.layout import CLASSES, SEAL_AT, SECTOR_SIZE
from hil.bench.on_micropython.whole import world

_PACKET_MAX = 4096
_WHOLES_MAX = 4096  # sectors of a class
_CONNECT, _PUBLISH, _SUBSCRIBE, _PINGREQ = 1, 3, 8, 12


class Store:
    """Prefixes of sectors, each in a file of its own until it is whole."""

    def __init__(self, name):
        self._name = name
        self._whole = [bytearray(_WHOLES_MAX // 8) for _ in CLASSES]
        self._chunk = bytearray(512)
        self._view = memoryview(self._chunk)
        self._blank = b"\xff" * 256
        self.runs = 0
        os.mkdir(name)

    def _path(self, cls, number):
        return "%s/%d_%d" % (self._name, cls, number)

    def is_whole(self, cls, number):
        return self._whole[cls][number >> 3] >> (number & 7) & 1

    def length(self, cls, number):
        if self.is_whole(cls, number):
            return SECTOR_SIZE
        try:
            return os.stat(self._path(cls, number))[6]
        except OSError:
            return 0

    def take(self, cls, number, offset, data):
        """Store a run; return (class, number, length, digest) of what there is then."""
        self.runs += 1
        length = self.length(cls, number)
        path = self._path(cls, number)
        with open(path, "ab") as file:
            while offset == SEAL_AT and length < offset:
                count = min(len(self._blank), offset - length)
                file.write(memoryview(self._blank)[:count])
                length += count
            if offset <= length < offset + len(data):
                file.write(memoryview(data)[length - offset :])
                length = offset + len(data)
        entry = self.entry(cls, number, length)
        if length == SECTOR_SIZE:
            self._whole[cls][number >> 3] |= 1 << (number & 7)
            os.remove(path)
        return entry

    def entry(self, cls, number, length):
        state = hashlib.sha256()
        with open(self._path(cls, number), "rb") as file:
            count = file.readinto(self._chunk)
            while count:
                state.update(self._view[:count])
                count = file.readinto(self._chunk)
        return cls, number, length, state.digest()[:8]


class Site:
    """What a gateway talks to.

    deaf  takes everything and receipts nothing
    """

    def __init__(self, found):
        self.id = bytes.fromhex(found["id"])
        self._key = bytes.fromhex(found["key"])
        self._uplink_key = bytes.fromhex(world.order["uplink_key"])
        self._gateway = bytes.fromhex(world.order["gateway"])
        self._log_id = bytes.fromhex(world.order["log_id"])
        self._nonce = bytes(8)
        self._receipt_topic = wire.topic(self._gateway, "receipt").encode()
        self.store = Store(found["name"])
        self.buffer = bytearray(_PACKET_MAX)  # of any connection: none is to count as the board's
        self.deaf = False
        self.far = None
        self.statuses = self.sessions = 0
        self.status_size = 0
        self.counters = None
        world.hosts[(found["host"], found["port"])] = self.open

    def open(self, socket):
        self.far = Connection(self, socket)
        return self.far

    def cut(self):
        """Break the connection that there is."""
        if self.far is not None:
            self.far.end()
            self.far = None

    def publish(self, topic, payload):
        """Take a PUBLISH of the gateway; return the receipt that answers it, or None."""
        leaf = wire.parse_topic(topic)[1]
        if self.deaf:
            return None
        if leaf == "health":
            return self._answer(payload)
        if leaf[:4] != "log/":
            return None
        cls = CLASSES.index(leaf[4:])
        run = wire.parse_run(payload, self._uplink_key, self._gateway, cls)
        made = self._receipt()
        made.entries = [self.store.take(cls, run.sector, run.offset, run.data)]
        return wire.pack_receipt(made, self._key)

    def _receipt(self):
        return wire.Receipt(self.id, b"epoch--1", self._gateway, self._log_id, self._nonce)

    def _answer(self, payload):
        fields = wire.parse_status(payload, self._uplink_key, self._gateway)
        self.statuses += 1
        self.status_size = max(self.status_size, len(payload))
        self.counters = sorted(fields["counters"].items())
        self._nonce = bytes.fromhex(fields["nonce"])
        made = self._receipt()
        made.utc_ms, made.echo_ms = 1773480413000 + world.now_ms, fields["mono"]
        if fields["ask"]:
            made.have = True
            for cls, name in enumerate(CLASSES):
                oldest, newest, _ = fields["heads"][name]
                self._say_have(made, cls, max(0, oldest), newest)
        return wire.pack_receipt(made, self._key)

    def _say_have(self, made, cls, first, newest):
        count = newest - first + 1
        bits = bytearray((count + 7) // 8)
        for index in range(count):
            number = first + index
            length = self.store.length(cls, number)
            if length == SECTOR_SIZE:
                bits[index >> 3] |= 1 << (index & 7)
            elif length and len(made.entries) < wire.ENTRIES_MAX:
                made.entries.append(self.store.entry(cls, number, length))
        made.maps.append((cls, first, count, bytes(bits)))


class Connection:
    """The far end of one socket: the broker's half of MQTT 3.1.1, as far as a gateway asks."""

    def __init__(self, site, socket):
        self._site = site
        self._socket = socket
        self._out = []
        self._in = site.buffer
        self._count = 0
        self._ended = False
        self.closed = False

    def end(self):
        self._ended = True
        self._wake()

    def _wake(self):
        if self._socket.waiting is not None:
            self._socket.waiting.set()

    def readinto(self, buffer):
        if self._out:
            data = self._out.pop(0)
            count = min(len(data), len(buffer))
            buffer[:count] = data[:count]
            if count < len(data):
                self._out.insert(0, data[count:])
            return count
        return 0 if self._ended or not world.cable else None

    def take(self, data):
        if self._ended:
            raise OSError(104)
        if not world.cable:
            return len(data)  # into the void
        self._in[self._count : self._count + len(data)] = data
        self._count += len(data)
        while self._packet():
            pass
        return len(data)

    def _packet(self):
        data, at, length, shift = self._in, 1, 0, 0
        while at < self._count:
            length |= (data[at] & 0x7F) << shift
            shift += 7
            at += 1
            if data[at - 1] < 0x80:
                break
        else:
            return False
        if at + length > self._count:
            return False
        self._handle(data[0], bytes(data[at : at + length]))
        rest = self._count - at - length
        data[:rest] = data[at + length : self._count]
        self._count = rest
        return True

    def _say(self, data):
        self._out.append(data)
        self._wake()

    def _handle(self, first, body):
        kind = first >> 4
        if kind == _CONNECT:
            self._site.sessions += 1
            self._say(b"\x20\x02\x00\x00")
        elif kind == _SUBSCRIBE:
            filters, at = 0, 2
            while at < len(body):
                at += 3 + (body[at] << 8 | body[at + 1])  # the filter and its QoS
                filters += 1
            self._say(bytes((0x90, 2 + filters)) + body[:2] + b"\x01" * filters)
        elif kind == _PINGREQ:
            self._say(b"\xd0\x00")
        elif kind == _PUBLISH:
            size = body[0] << 8 | body[1]
            topic = body[2 : 2 + size].decode()
            at = 2 + size
            if first & 6:
                self._say(b"\x40\x02" + body[at : at + 2])
                at += 2
            made = self._site.publish(topic, body[at:])
            if made is not None:
                self._say(self._framed(made))

    def _framed(self, payload):
        topic = self._site._receipt_topic
        length = 2 + len(topic) + 2 + len(payload)
        head = bytes((0x32, length & 0x7F | 0x80, length >> 7))
        return head + struct.pack(">H", len(topic)) + topic + b"\x00\x07" + payload
