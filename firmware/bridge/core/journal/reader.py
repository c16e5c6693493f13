"""A sector's bytes back to records, as they arrive; the twin of writer.py."""

import struct

from bridge.core.errors import FormatError, TagError
from bridge.core.events import NO_VALUE
from bridge.core.journal import layout, records
from bridge.core.journal.seal import Counter, resume_key, seal_tag, sector_key
from bridge.core.mac import same


class _Shape:
    def __init__(self, device, group):
        self.device = device
        self.group = group
        self.channels = []  # records.Value templates, updated in place


class RecordReader:
    """Plaintext of commits to records, within one sector; the state mirrors RecordWriter's."""

    def __init__(self):
        self.restart(0, 0)

    def restart(self, boot, mono_ms):
        self._boot = boot
        self._tick = mono_ms // records.TICK_MS
        self._devices = {}
        self._shapes = {}

    def read(self, data):
        """Return the list of records in one commit; raises FormatError."""
        self._data = data
        self._at = 0
        found = []
        try:
            while self._at < len(data):
                record = self._next()
                if record is not None:
                    record.boot = self._boot
                    record.mono_ms = self._tick * records.TICK_MS
                    record.index = len(found)
                    found.append(record)
        except (IndexError, KeyError, ValueError) as error:
            raise FormatError("commit of %d bytes: cut short at %d" % (len(data), self._at), error)
        return found

    def _next(self):
        kind = self._byte()
        if kind == records.DEVICE:
            index, unit = self._byte(), self._byte()
            self._devices[index] = records.Device(self._text(), self._text(), unit)
            return None
        if kind == records.SHAPE:
            self._define()
            return None
        self._tick += self._varint()
        if kind & 0xC0 == records.OBSERVATION:
            return self._observation(self._shapes[kind & 0x3F])
        if kind == records.ALARM:
            device = self._devices[self._byte()]
            page, code, flags = self._byte(), self._unpack("<H")[0], self._byte()
            priority, active = flags & 0x7F, bool(flags & 0x80)
            return records.AlarmRecord(device, page, code, priority, active, self._text())
        if kind == records.EVENT:
            return records.EventRecord(self._byte(), self._text())
        if kind == records.GAP:
            return records.GapRecord(*self._unpack("<BII"))
        if kind == records.CLOCK:
            return records.ClockRecord(*self._unpack("<QqHB"))
        raise FormatError("record 0x%02x at %d of the commit" % (kind, self._at - 1))

    def _define(self):
        index, device, group, count = self._byte(), self._byte(), self._byte(), self._byte()
        if index not in self._shapes:
            self._shapes[index] = _Shape(self._devices[device], group)
        shape = self._shapes[index]
        for _ in range(count):
            parameter = self._unpack("<H")[0]
            decimals = self._byte()
            label = unit = None
            if parameter >= layout.FIRST_CONFIGURED:
                label, unit = self._text(), self._text()
            shape.channels.append(records.Value(parameter, label, unit, 0, decimals, NO_VALUE))

    def _observation(self, shape):
        channel = -1
        for _ in range(self._byte()):
            step = self._varint()
            channel += (step >> 1) + 1
            value = shape.channels[channel]
            if step & 1:
                value.state = self._byte()
            if value.state != NO_VALUE:
                change = self._varint()
                value.value += change >> 1 if not change & 1 else -(change + 1 >> 1)
        values = []
        for known in shape.channels:
            number = None if known.state == NO_VALUE else known.value
            values.append(
                records.Value(
                    known.parameter, known.label, known.unit, number, known.decimals, known.state
                )
            )
        return records.ObservationRecord(shape.device, shape.group, values)

    def _byte(self):
        byte = self._data[self._at]
        self._at += 1
        return byte

    def _varint(self):
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise FormatError("number longer than nine bytes at %d" % self._at)

    def _unpack(self, form):
        size = struct.calcsize(form)
        self._at += size
        if self._at > len(self._data):
            raise FormatError("commit of %d bytes: cut short" % len(self._data))
        return struct.unpack_from(form, self._data, self._at - size)

    def _text(self):
        size = self._byte()
        self._at += size
        if self._at > len(self._data):
            raise FormatError("commit of %d bytes: cut short" % len(self._data))
        return bytes(self._data[self._at - size : self._at]).decode()


class SectorReader:
    """Decodes one sector while its bytes arrive.

    cipher     AES-256 in ECB mode, see seal.py
    chain_key  the class's chain key of this sector's number
    header     layout.Header once it was there, else None
    """

    def __init__(self, cipher, chain_key):
        self._cipher = cipher
        self._chain_key = chain_key
        self._records = RecordReader()
        self._key = None
        self._counter = None
        self._at = 0
        self.header = None

    def feed(self, data):
        """Return the records of the commits that `data` completes.

        data    the sector's bytes from offset 0, at least as many as the last time
        Raises  FormatError when the header or a commit with a good check makes no sense
        """
        found = []
        if self.header is None and not self._open(data):
            return found
        end = len(data)
        while True:
            kind, start, stop, after = layout.look(data, self._at, end)
            if kind == layout.END:
                # Torn or still on its way. Only a resume further on can tell, and only once
                # it is whole; until then nothing behind this place counts.
                after = self._find_resume(data, end)
                if after < 0:
                    return found
                self._at = after
                continue
            if kind == layout.RESUME:
                random, boot, mono_ms, _, _ = layout.parse_resume(data, start)
                key = resume_key(self._key, random, start)
                self._counter = Counter(self._cipher, key)
                self._records.restart(boot, mono_ms)
            else:
                plain = bytearray(data[start:stop])
                self._counter.apply(plain, 0, len(plain), start)
                for record in self._records.read(plain):
                    record.offset = self._at
                    found.append(record)
            self._at = after

    def _open(self, data):
        if len(data) < layout.HEADER_SIZE:
            return False
        self.header = header = layout.parse_header(data)
        self._key = sector_key(self._chain_key, data[: layout.HEADER_SIZE])
        self._counter = Counter(self._cipher, self._key)
        self._records.restart(header.boot, header.mono_ms)
        self._at = layout.HEADER_SIZE
        return True

    def _find_resume(self, data, end):
        at = layout.next_page(self._at - 1)
        while at < end:
            if layout.look(data, at, end)[0] == layout.RESUME:
                return at
            at = layout.next_page(at)
        return -1


def verify_seal(data, chain_key, previous_tag):
    """Check a whole sector and return its tag, to which the next sector is chained.

    data      SECTOR_SIZE bytes
    Raises    FormatError when it has no seal or bytes behind its end, TagError when a byte, the
              order or the chain is not what was sealed
    """
    sealed = layout.parse_seal(data)
    if sealed is None:
        raise FormatError("sector: no seal, or a torn one")
    end, tag = sealed
    used = layout.used_end(data)
    if end != used or end < layout.HEADER_SIZE:
        raise FormatError("sector: sealed up to %d, in use up to %d" % (end, used))
    size = layout.HEADER_SIZE
    if not same(seal_tag(chain_key, data[:size], data[size:end], previous_tag), tag):
        raise TagError("sector: the seal does not fit")
    return tag
