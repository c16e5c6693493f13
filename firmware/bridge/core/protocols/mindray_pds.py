"""Mindray monitors, Patient Data Share: HL7 v2.3.1 in MLLP blocks, the monitor's own identifiers.

The message type stands in MSH-10: 204 periodic values, 503 measured ones, 106 heartbeat. The
monitor speaks by itself and wants a heartbeat each second; that is all that is sent. Over TCP
the monitor is the server on port 4601; a serial server or a serial gateway may stand between.
-100 is no value. Source: public programs and simulators of this protocol.
"""

from micropython import const

from bridge.core.digits import number_of
from bridge.core.events import NO_VALUE, VALID
from bridge.core.options import choice, only
from bridge.core.protocols.hl7_stream import Hl7Stream

PORTS = ("115200 8N1", "9600 8N1", "57600 8N1")
SENDS = (b"\x0bMSH|^~\\&|||||||ORU^R01|106|P|2.3.1|\r\x1c\r",)

_HEARTBEAT_MS = const(1000)
_MSH_ID = const(9)
_CODE = const(3)
_VALUE = const(5)
_TIME = const(14)
_PERIODIC = const(204)
_MEASURED = const(503)
_NO_VALUE = const(-100)
_STAMP = const(14)

# identifier, parameter; those of CO2 are for mm[Hg]
_IDS = (
    (101, 4), (102, 237), (151, 5), (160, 1), (161, 2), (162, 3), (170, 20), (171, 21), (172, 22),
    (200, 278), (201, 279), (202, 544), (210, 236), (212, 545), (213, 234), (250, 99), (251, 238),
    (253, 97), (254, 291), (256, 111), (257, 110), (268, 149), (269, 148), (280, 80), (281, 292),
    (500, 226), (501, 228), (502, 227), (503, 229), (504, 231), (505, 230), (506, 550), (507, 552),
    (508, 551), (515, 546), (516, 548), (517, 547), (587, 23), (600, 549),
)  # fmt: skip
_CO2_KPA = {99: 100, 238: 239}
_SIGNED = (544, 234, 278, 279)


class PdsDecoder(Hl7Stream):
    """One monitor. Group 0 is periodic, group 1 what was measured once.

    options  {"co2": "mmHg" or "kPa", as the monitor is set, default "mmHg": it does not say}
    """

    def __init__(self, options):
        only(options, ("co2",), "mindray_pds")
        self._is_kpa = choice(options, "co2", ("mmHg", "kPa"), "mmHg", "mindray_pds") == 1
        super().__init__()
        self._due_ms = 0
        self._kind = 0
        self._stamp = bytearray(_STAMP)  # of the last measurement that was told
        self._is_new = False

    def next_request(self, now_ms):
        """Return the heartbeat when it is due, else None."""
        if now_ms < self._due_ms:
            return None
        late_ms = now_ms - self._due_ms
        self._due_ms = now_ms + _HEARTBEAT_MS - (late_ms if late_ms < _HEARTBEAT_MS else 0)
        return SENDS[0]

    def _begin(self):
        start, end = self.start(_MSH_ID), self.end(_MSH_ID)
        self._kind = number_of(self._segment, start, end) if end - start <= 5 else -1
        self._observation.begin(0, 1 if self._kind == _MEASURED else 0)
        self._is_new = self._kind != _MEASURED

    def _take(self):
        segment = self._segment
        code = number_of(segment, self.start(_CODE), self.first(_CODE))
        parameter = 0
        for known, meant in _IDS:
            if known == code:
                parameter = meant
        if not parameter or not self.is_word(self.start(2), self.end(2), b"NM"):
            return
        if self._kind == _MEASURED:
            self._note_time()
        if self._is_kpa:
            parameter = _CO2_KPA.get(parameter, parameter)
        found = self._number
        state = VALID
        value = found.value if found.read(segment, self.start(_VALUE), self.end(_VALUE)) else None
        if value is None or value == _NO_VALUE * 10**found.decimals:
            state = NO_VALUE
        negative = value is not None and value < 0
        if negative and parameter not in _SIGNED:
            state = NO_VALUE
        valid = state == VALID
        self._observation.add(
            parameter, found.value if valid else 0, found.decimals if valid else 0, state
        )

    def _note_time(self):
        """See whether the time of a measurement is another than the last."""
        start, end = self.start(_TIME), self.end(_TIME)
        if end - start < _STAMP:
            self._is_new = True
            return
        for index in range(_STAMP):
            if self._stamp[index] != self._segment[start + index]:
                self._stamp[index] = self._segment[start + index]
                self._is_new = True

    def _end(self):
        self._crc = 0
        return self._observation if self._observation.count and self._is_new else None
