"""MEDIBUS data: rows of codes and numbers to observations."""

from micropython import const

from bridge.core.digits import hex_pair
from bridge.core.events import NO_VALUE, VALID, Observation

MEASURED = const(0x24)
SETTINGS = const(0x29)

DATA_AT = const(2)  # in a response: behind SOH and the code
_VALUES_MAX = const(64)
_MEASURED_ROW = const(6)  # code 2, value 4
_SETTINGS_ROW = const(7)  # code 2, value 5

# Pairs of hex numbers: the device's code and the parameter of codes.py. Compliance, resistance,
# tidal and minute volume have two codes each, of which the device sends the one that fits.
_MEASURED_IDS = bytes.fromhex(
    "0520 7D21 7322 7423 7824 7925 7126 7227 6B28"  # pressures
    "8830 8230 7F31 8332 8433 8534 7E35 8136 8937 8A38 8B39"  # volumes
    "B83A B93A 7A3B B73B B63C B23D B33E"  # minute volumes, leakage
    "0640 0740 0841 0B41 2A42 C943 BD44 E745 E846 6947 6F48 7649 C14A"  # mechanics, times
    "D650 7B51 B552 B453 D554 D755 D956 DF57 E102 EB01"  # rates, oximetry
    "F060 EF61 C462 E663 E364 DB65 E566 FF67 DA68 0969 646A"  # O2, CO2
    "E26B DE6C DD6D FB6E FC6F AC70 AD71 C672"  # flows, N2O, MAC, battery
    "5080 5181 5282 5383 5484 5585 5686 5787 5888 5989 5A8A 5B8B 5C8C 5D8D"  # agents in kPa
    "F490 F591 F692 F793 F894 F995 AE96 AF97 B098 B199 E99A EA9B ED9C EE9D"  # agents in %
)
_SETTINGS_IDS = bytes.fromhex(
    "01B0 0BB1 0AB2 04B3 40B3 05B4 02B5 07B6 08B7 09B8 12B9 13BA 15BB 45BC 0DBD 0EBE"
    "0CBF 0FC0 10C1 11C2 16C3 17C4 27C5 29C6 2EC7 2FC8 42C9 4ACA 4BCB"
)
_MEASURED_LITRES = b"\x7e\x7f\x82"  # their parameters are in mL
_SETTINGS_LITRES = b"\x04"
_TENS = const(0x64)  # O2 uptake, in tens of mL/min


class ValueReader:
    """Reads the answers to MEASURED and SETTINGS into one observation, whose group is the code."""

    def __init__(self):
        self.strange = 0  # bytes of rows that gave nothing: no such code, no number, no room
        self._observation = Observation(_VALUES_MAX)
        self._value = 0
        self._decimals = 0

    def read(self, response, end, group):
        """Return the observation in response[2:end], None when that is not rows of this group."""
        row = _MEASURED_ROW if group == MEASURED else _SETTINGS_ROW
        ids = _MEASURED if group == MEASURED else _SETTINGS
        rows = (end - DATA_AT) // row
        if rows * row != end - DATA_AT:
            return None
        for index in range(rows):
            if hex_pair(response, DATA_AT + row * index) < 0:
                return None
        self._observation.begin(0, group)
        for index in range(rows):  # a range with a step would allocate
            at = DATA_AT + row * index
            code = hex_pair(response, at)
            state = self._read_number(response, at + 2, at + row)
            if state == VALID:
                self._convert(group, code)
            if not ids[code] or not self._put(ids[code], NO_VALUE if state < 0 else state):
                state = -1
            if state < 0:
                self.strange += row
        return self._observation

    def _convert(self, group, code):
        """Bring the number to its parameter's unit, without ever rounding."""
        places = 0
        if code in (_MEASURED_LITRES if group == MEASURED else _SETTINGS_LITRES):
            places = 3
        elif group == MEASURED and code == _TENS:
            places = 1
        for _ in range(places):
            if self._decimals:
                self._decimals -= 1
            else:
                self._value *= 10

    def _put(self, parameter, state):
        """Add the number, or fill a blank one that came first; False when there is no place."""
        observation = self._observation
        for index in range(observation.count):
            if observation.parameters[index] == parameter:
                if state == VALID and observation.states[index] == VALID:
                    return False  # both codes of a pair: which one is right?
                if state == VALID:
                    observation.values[index] = self._value
                    observation.decimals[index] = self._decimals
                    observation.states[index] = VALID
                return True
        return observation.add(parameter, self._value, self._decimals, state)

    def _read_number(self, response, at, end):
        """Leave the number in response[at:end] in `_value` and `_decimals`.

        Returns VALID, NO_VALUE for spaces and dashes, -1 for what is no number.
        """
        self._value = self._decimals = 0
        while at < end and response[at] == 0x20:
            at += 1
        while end > at and response[end - 1] == 0x20:
            end -= 1
        value = digits = decimals = dashes = 0
        point = False
        for index in range(at, end):
            byte = response[index]
            if 0x30 <= byte <= 0x39:
                value = 10 * value + byte - 0x30
                digits += 1
                decimals += 1 if point else 0
            elif byte == 0x2E and not point:
                point = True
            elif byte == 0x2D:
                dashes += 1
            else:
                return -1
        if not digits:
            return NO_VALUE if dashes or at == end else -1
        if dashes > 1 or (dashes and response[at] != 0x2D):
            return -1
        self._value = -value if dashes else value
        self._decimals = decimals
        return VALID


def _index(pairs):
    """Return a table from code to parameter, 0 where there is none."""
    table = bytearray(256)
    for at in range(0, len(pairs), 2):
        table[pairs[at]] = pairs[at + 1]
    return table


_MEASURED = _index(_MEASURED_IDS)
_SETTINGS = _index(_SETTINGS_IDS)


def text_of(data, start, end):
    """Return data[start:end] as text without what cannot be printed and outer spaces."""
    text = ""
    for index in range(start, end):
        byte = data[index]
        if 0x20 <= byte < 0x7F:
            text += chr(byte)
    return text.strip()
