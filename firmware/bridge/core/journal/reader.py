"""A sector's bytes back to records, as they arrive; the twin of writer.py."""

from array import array

from micropython import const

from bridge.core.errors import FormatError, TagError
from bridge.core.events import NO_SAMPLE, NO_VALUE
from bridge.core.journal import layout, model, records
from bridge.core.journal.coder import EVEN, Decoder
from bridge.core.journal.seal import Counter, begin_seal, end_seal, resume_key, sector_key
from bridge.core.mac import same

_TEXT_MAX = const(96)
_SAMPLES_MAX = const(4096)
# More than devices say between two commits. What does not change takes a fifteenth of a bit, so a
# few hundred bytes could mean any number.
RECORDS_MAX = const(2048)


class _Shape:
    def __init__(self, device, group, base):
        self.device = device
        self.group = group
        self.channels = []  # (parameter, label, unit, decimals)
        self.tempo = model.Tempo()
        self.tempo.restart(base)
        self.readings = model.Readings(0)


class _Waveform:
    def __init__(self, device, channel, period_us, base):
        self.device = device
        self.channel = channel
        self.period_us = period_us
        self.tempo = model.Tempo()
        self.tempo.restart(base)
        self.samples = model.Samples()


class RecordReader:
    """Coded commits to records, within one sector; the state mirrors RecordWriter's."""

    def __init__(self):
        self._numbers = model.table()
        self.restart(0, 0)

    def restart(self, boot, mono_ms):
        self._boot = boot
        self._tick = self._base = mono_ms // records.TICK_MS
        self._parameter = 0
        self._devices = {}
        self._shapes = []
        self._waveforms = []
        model.clear(self._numbers, EVEN)

    def read(self, data):
        """Return the list of records in one commit; raises FormatError."""
        self._coder = Decoder(data)
        found = []
        kind = records.END
        try:
            while True:
                key = records.KIND_KEY + records.KIND_STEP * kind
                kind = model.number(self._coder, self._numbers, key, 0)
                if kind == records.END:
                    break
                record = self._record(kind)
                self._coder.check()
                if record is not None:
                    record.boot = self._boot
                    record.mono_ms = self._tick * records.TICK_MS
                    record.index = len(found)
                    if record.index == RECORDS_MAX:
                        raise FormatError("commit: more than %d records" % RECORDS_MAX)
                    found.append(record)
        except (IndexError, KeyError, ValueError, OverflowError) as error:
            raise FormatError("commit of %d bytes: makes no sense: %s" % (len(data), error))
        self._coder.check()
        return found

    def _record(self, kind):
        if kind == records.DEVICE:
            index, unit = self._number(), self._number()
            self._devices[index] = records.Device(self._text(), self._text(), unit)
            return None
        if kind == records.SHAPE:
            self._define()
            return None
        if kind == records.WAVEFORM:
            device, channel = self._devices[self._number()], self._channel()
            period_us = self._coder.even(0, 24)
            self._waveforms.append(_Waveform(device, channel, period_us, self._base))
            return None
        if kind == records.OBSERVATION:
            return self._observation(self._shapes[self._number()])
        if kind == records.WAVE:
            return self._wave(self._waveforms[self._number()])
        self._tick += model.signed(self._coder, self._numbers, records.TIME_KEY, 0)
        if kind == records.ALARM:
            return self._alarm(self._devices[self._number()])
        even = self._coder.even
        if kind == records.EVENT:
            return records.EventRecord(self._number(), self._text())
        if kind == records.GAP:
            return records.GapRecord(even(0, 2), even(0, 32), even(0, 32))
        if kind == records.CLOCK:
            return records.ClockRecord(even(0, 48), even(0, 48), even(0, 16), even(0, 3))
        raise FormatError("commit: a record of kind %d" % kind)

    def _define(self):
        index, device, group = self._number(), self._number(), self._number()
        if index == len(self._shapes):
            self._shapes.append(_Shape(self._devices[device], group, self._base))
        shape = self._shapes[index]
        for _ in range(self._number()):
            channel = len(shape.channels)
            shape.channels.append(self._channel())
            shape.readings.grow(1)
            shape.readings.restart(channel)
            self._coder.check()

    def _channel(self):
        self._parameter += model.signed(self._coder, self._numbers, records.PARAMETER_KEY, 0)
        decimals = self._number()
        label = unit = None
        if self._parameter >= layout.FIRST_CONFIGURED:
            label, unit = self._text(), self._text()
        return self._parameter, label, unit, decimals

    def _observation(self, shape):
        self._tick = shape.tempo.code(self._coder, self._numbers, 0)
        readings = shape.readings
        readings.code(self._coder, self._numbers, len(shape.channels))
        values = []
        for index, (parameter, label, unit, decimals) in enumerate(shape.channels):
            state = readings.fresh_states[index]
            number = None if state == NO_VALUE else readings.fresh[index]
            values.append(records.Value(parameter, label, unit, number, decimals, state))
        return records.ObservationRecord(shape.device, shape.group, values)

    def _wave(self, waveform):
        self._tick = waveform.tempo.code(self._coder, self._numbers, 0)
        count = model.number(self._coder, self._numbers, records.COUNT_KEY, 0)
        if count > _SAMPLES_MAX:
            raise FormatError("commit: a wave of %d samples" % count)
        samples = array("h", bytes(2 * count))
        waveform.samples.code(self._coder, samples, count)
        parameter, label, unit, decimals = waveform.channel
        values = [None if sample == NO_SAMPLE else sample for sample in samples]
        return records.WaveRecord(
            waveform.device, parameter, label, unit, decimals, waveform.period_us, values
        )

    def _alarm(self, device):
        even = self._coder.even
        page, code, priority, active = even(0, 8), even(0, 16), even(0, 7), bool(even(0, 1))
        return records.AlarmRecord(device, page, code, priority, active, self._text())

    def _number(self):
        return model.number(self._coder, self._numbers, records.FIELD_KEY, 0)

    def _text(self):
        size = self._number()
        if size > _TEXT_MAX:
            raise FormatError("commit: a text of %d bytes" % size)
        return bytes([self._coder.even(0, 8) for _ in range(size)]).decode()


class SectorReader:
    """Decodes one sector while its bytes arrive.

    cipher     AES-256 in ECB mode, see seal.py
    chain_key  the class's chain key of this sector's number
    header     layout.Header once it was there, else None
    at         where the next commit begins: what lies before is decoded
    """

    def __init__(self, cipher, chain_key):
        self._cipher = cipher
        self._chain_key = chain_key
        self._records = RecordReader()
        self._key = None
        self._counter = None
        self.at = 0
        self.header = None

    def feed(self, data, found=None):
        """Return the records of the commits that `data` completes.

        data    the sector's bytes from offset 0, at least as many as the last time
        found   a list to append them to, for who wants those before an error, too
        Raises  FormatError when the header or a commit with a good check makes no sense
        """
        if found is None:
            found = []
        if self.header is None and not self._open(data):
            return found
        end = len(data)
        while True:
            kind, start, stop, after = layout.look(data, self.at, end)
            if kind == layout.END:
                # Torn or still on its way. Only a resume or a skip further on can tell, and only
                # once it is whole; until then nothing behind this place counts.
                after = self._find_page(data, end)
                if after < 0:
                    return found
                self.at = after
                continue
            if kind == layout.SKIP:
                return found  # nothing failed before it: it is not where a writer puts one
            if kind == layout.RESUME:
                random, boot, mono_ms, _, _ = layout.parse_resume(data, start)
                key = resume_key(self._key, random, start)
                self._counter = Counter(self._cipher, key)
                self._records.restart(boot, mono_ms)
            else:
                plain = bytearray(data[start:stop])
                self._counter.apply(plain, 0, len(plain), start)
                for record in self._records.read(plain):
                    record.offset = self.at
                    found.append(record)
            self.at = after

    def _open(self, data):
        if len(data) < layout.HEADER_SIZE:
            return False
        self.header = header = layout.parse_header(data)
        self._key = sector_key(self._chain_key, data[: layout.HEADER_SIZE])
        self._counter = Counter(self._cipher, self._key)
        self._records.restart(header.boot, header.mono_ms)
        self.at = layout.HEADER_SIZE
        return True

    def _find_page(self, data, end):
        at = layout.next_page(self.at - 1)
        while at < end:
            kind, _, _, after = layout.look(data, at, end)
            if kind == layout.RESUME:
                return at
            if kind == layout.SKIP and layout.parse_skip(data, at) == self.at:
                return after
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
    mac = begin_seal(chain_key, data[:size], previous_tag, end)
    mac.update(data[size:end])
    if not same(end_seal(mac), tag):
        raise TagError("sector: the seal does not fit")
    return tag
