"""HL7 v2 ORU messages over MLLP, on a serial line or a socket: monitors, gateways, anaesthesia.

An OBX gives a value when its identifier is an MDC code of hl7_codes.py, or one of the
configuration, and its unit is one that the parameter has. Empty, "---", a negative number,
status X, D or W and the flag INV are no value. Fahrenheit becomes Cel. Waves (W01) and alarms
(R40) are passed over, as are PID and all that names the patient. A message that comes again is
answered again and told once. Sent is only the acknowledgement of a message. Speed by device,
often 9600 bit/s 8N1. Source: HL7 v2.6 chapters 2 and 7, IHE PCD-01; samples of several makers.
"""

from micropython import const

from bridge.core.digits import number_of
from bridge.core.errors import ConfigError
from bridge.core.events import NO_VALUE, VALID
from bridge.core.options import flag, number, only
from bridge.core.protocols.hl7_codes import CODES, FAHRENHEIT, SIGNED, UNITS
from bridge.core.protocols.hl7_stream import Hl7Stream

PORTS = ("9600 8N1", "19200 8N1", "38400 8N1", "57600 8N1", "115200 8N1")
SENDS = (b"\x0bMSH|^~\\&|",)

_ID_MAX = const(40)
_VOID = (0x58, 0x44, 0x57)  # X, D and W
_NAME_MAX = const(30)
_ANSWER_MAX = const(290)
_MAP_MAX = const(64)

# Fields of MSH, one less in its split: receiver and sender, each application and facility
_TURNED = (4, 5, 2, 3)
_HEAD = b"\x0bMSH|^~\\&|"
_KIND = b"||ACK^R01|a"
_VERSION = b"|P|2.6\rMSA|AA|"
_TAIL = b"\r\x1c\r"
_MSH_TYPE = const(8)
_MSH_ID = const(9)
_CODE = const(3)
_VALUE = const(5)
_UNIT = const(6)
_FLAG = const(8)
_STATUS = const(11)


class OruDecoder(Hl7Stream):
    """One sender.

    options  {"ack": answer each message, default true;
              "map": {identifier: parameter, or {"parameter": .., "unit": as it is sent}}}
    """

    def __init__(self, options):
        only(options, ("ack", "map"), "hl7_oru")
        super().__init__()
        self._acks = flag(options, "ack", True, "hl7_oru")
        self._map = []
        known = options.get("map", {})
        if not isinstance(known, dict) or len(known) > _MAP_MAX:
            raise ConfigError("hl7_oru: map: want an object of at most %d" % _MAP_MAX)
        for name in known:
            entry = known[name]
            unit = None
            where = "hl7_oru: map %s" % name
            if isinstance(entry, dict):
                only(entry, ("parameter", "unit"), where)
                unit = entry.get("unit")
                unit = None if unit is None else unit.encode()
            else:
                entry = {"parameter": entry}
            parameter = number(entry, "parameter", 1, 0xFFFF, where)
            self._map.append((name.encode(), parameter, unit))
        self._id = bytearray(_ID_MAX)
        self._id_size = 0
        self._is_same = False  # the number is that of the message before
        self._last_crc = -1
        self._is_result = self._is_fahrenheit = False
        self._answer = bytearray(_ANSWER_MAX)
        self._answer_size = 0
        self._view = memoryview(self._answer)
        self._is_due = False

    def next_request(self, now_ms):
        """Return the acknowledgement to send now, or None."""
        if not self._is_due:
            return None
        self._is_due = False
        if len(self._view) != self._answer_size:
            self._view = memoryview(self._answer)[: self._answer_size]
        return self._view

    def _begin(self):
        segment = self._segment
        start, end = self.start(_MSH_ID), self.end(_MSH_ID)
        size = min(_ID_MAX, end - start)
        self._is_same = size == self._id_size
        self._id_size = size
        for index in range(size):
            byte = segment[start + index]
            if self._id[index] != byte:
                self._id[index] = byte
                self._is_same = False
        kind, stop = self.start(_MSH_TYPE), self.end(_MSH_TYPE)
        self._is_result = (
            segment.find(b"ORU", kind, stop) == kind
            and segment.find(b"W01", kind, stop) < 0
            and segment.find(b"R40", kind, stop) < 0
        )
        if self._acks:
            self._prepare()

    def _prepare(self):
        """Write the acknowledgement of this message: receiver and sender change places."""
        self._answer_size = 0
        self._put(_HEAD, 0, len(_HEAD))
        for field in _TURNED:
            start = self.start(field)
            self._put(self._segment, start, min(self.end(field), start + _NAME_MAX))
            self._put(b"|", 0, 1)
        self._put(_KIND, 0, len(_KIND))
        self._put(self._id, 0, self._id_size)
        self._put(_VERSION, 0, len(_VERSION))
        self._put(self._id, 0, self._id_size)
        self._put(_TAIL, 0, len(_TAIL))

    def _put(self, data, start, end):
        size = self._answer_size
        for at in range(start, end):
            self._answer[size] = data[at]
            size += 1
        self._answer_size = size

    def _take(self):
        if not self._is_result:
            return
        parameter = self._identify()
        if not parameter:
            return
        observation = self._observation
        segment = self._segment
        start, end = self.start(_VALUE), self.end(_VALUE)
        found = self._number
        state = VALID
        if self._is_void() or not found.read(segment, start, end) or self._is_marker(parameter):
            state = NO_VALUE
        if state != VALID:
            observation.add(parameter, 0, 0, state)
        elif self._is_fahrenheit:
            observation.add(parameter, _celsius(found.value, found.decimals), 2, state)
        else:
            observation.add(parameter, found.value, found.decimals, state)

    def _is_marker(self, parameter):
        """Say whether the number stands for no value."""
        value = self._number.value
        if value < 0 and parameter not in SIGNED:
            return True
        return value in (-100, -999, -9990) or (value == -1 and not self._number.decimals)

    def _is_void(self):
        """Say whether status or flag takes the value back."""
        segment = self._segment
        status = self.start(_STATUS)
        if self.end(_STATUS) > status and segment[status] in _VOID:
            return True
        return segment.find(b"INV", self.start(_FLAG), self.end(_FLAG)) >= 0

    def _identify(self):
        """Return the parameter, 0 for what is not known; see whether it is in Fahrenheit."""
        self._is_fahrenheit = False
        start, end = self.start(_CODE), self.first(_CODE)
        unit_start, unit_end = self.start(_UNIT), self.first(_UNIT)
        for name, parameter, unit in self._map:
            if self.is_word(start, end, name):
                if unit is not None and not self.is_word(unit_start, unit_end, unit):
                    return 0
                return parameter
        code = number_of(self._segment, start, end) if end - start <= 6 else -1
        if code < 0:
            return 0
        unit = 0
        for word, known in UNITS:
            if self.is_word(unit_start, unit_end, word):
                unit = known
                break
        for known, wanted, parameter in CODES:
            if known == code and wanted == unit:
                self._is_fahrenheit = unit == FAHRENHEIT
                return parameter
        return 0

    def _end(self):
        self._is_due = self._acks
        is_again = self._is_same and self._crc == self._last_crc
        self._last_crc = self._crc
        self._crc = 0
        if is_again:
            return None
        return self._observation if self._observation.count else None


def _celsius(value, decimals):
    """Return a temperature in Fahrenheit as one in Cel, with two decimals."""
    ninths = value * 5 * 100 - 32 * 5 * 100 * 10**decimals
    divisor = 9 * 10**decimals
    half = divisor // 2
    return (ninths + half) // divisor if ninths >= 0 else -((-ninths + half) // divisor)
