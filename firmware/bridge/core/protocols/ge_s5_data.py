"""GE and Datex-Ohmeda S/5: where the values of the basic class stand, and what waves there are."""

from micropython import const

from bridge.core.events import NO_VALUE, OVER_RANGE, UNDER_RANGE, VALID

_NO_DATA = const(-32001)  # and below
_UNDER = const(-32764)
_OVER = const(-32763)

# label of a pressure channel: parameters of systole, diastole and mean, 0 for none
_PRESSURES = {
    1: (226, 227, 228),
    2: (0, 0, 19),
    3: (229, 230, 231),
    7: (0, 0, 232),
    8: (16, 17, 18),
}
_PRESSURE_PLACES = (16, 30, 44, 58, 240, 254)
_TEMPERATURE_PLACES = (86, 94, 102, 110)
_PRESSURE_1 = const(260)
_TEMPERATURES = {1: 282, 2: 15, 4: 233, 5: 284, 6: 285, 7: 283, 15: 286}
_TEMPERATURE_1 = const(278)
_AGENTS = {2: (145, 144), 3: (147, 146), 4: (149, 148), 5: (151, 150), 6: (153, 152)}

# place of the group, then for each of its values: place, parameter, decimals
_GROUPS = (
    (118, ((6, 1, 2), (8, 2, 0), (10, 287, 2))),
    (132, ((6, 101, 2), (8, 104, 2), (10, 84, 0), (12, 290, 1))),
    (146, ((6, 97, 2), (8, 291, 2))),
    (156, ((6, 111, 2), (8, 110, 2))),
    (178, ((6, 80, 0), (8, 320, 2), (10, 323, 2), (12, 322, 2), (14, 336, 1), (16, 337, 1))),
    (200, ((6, 236, 3), (8, 234, 2), (12, 294, 2))),
    (214, ((6, 28, 1), (8, 27, 1))),
    (232, ((6, 288, 2),)),
)
_FLOW_MORE = ((18, 293, 2), (20, 338, 2))
_ECG = ((8, 256, 2), (10, 257, 2), (12, 258, 2), (14, 5, 0))
_SPO2_SOURCE = const(6)
_LEADS = {1: 209, 2: 210, 3: 211, 7: 212}
_ECG_WAVE = const(297)

# name in the options, type, parameter (0 goes by the label), decimals, period in us, rate in Hz
WAVES = (
    ("ecg1", 1, 0, 3, 3333, 300),
    ("ecg2", 2, 0, 3, 3333, 300),
    ("ecg3", 3, 0, 3, 3333, 300),
    ("p1", 4, 0, 2, 10000, 100),
    ("p2", 5, 0, 2, 10000, 100),
    ("pleth", 8, 296, 2, 10000, 100),
    ("co2", 9, 295, 2, 40000, 25),
    ("paw", 13, 341, 1, 40000, 25),
    ("flow", 14, 219, 1, 40000, 25),
    ("resp", 15, 214, 2, 40000, 25),
    ("volume", 23, 220, 0, 40000, 25),
)
_WAVE_PRESSURES = {1: 216, 8: 216, 2: 217}


def i16(data, at):
    """Return the two bytes at `at`, low byte first, with their sign."""
    value = data[at] | data[at + 1] << 8
    return value - 0x10000 if value & 0x8000 else value


class Basic:
    """The basic class of displayed values."""

    def __init__(self):
        self._pressure = bytearray(6)  # the last cuff pressure that was told
        self.leads = bytearray(3)

    def read(self, data, at, observation):
        """Add all that is measured now; `at` is the place of the class data."""
        self._add_ecg(data, at, observation)
        for channel in range(len(_PRESSURE_PLACES)):
            place = _PRESSURE_PLACES[channel]
            if data[at + place] & 1:
                known = _PRESSURES.get(i16(data, at + place + 4))
                for index in range(3):
                    parameter = known[index] if known else _PRESSURE_1 + 3 * channel + index
                    if parameter:
                        _add(observation, parameter, data, at + place + 6 + 2 * index, 2)
        for channel in range(len(_TEMPERATURE_PLACES)):
            place = _TEMPERATURE_PLACES[channel]
            if data[at + place] & 1:
                label = i16(data, at + place + 4)
                parameter = _TEMPERATURES.get(label, _TEMPERATURE_1 + channel)
                _add(observation, parameter, data, at + place + 6, 2)
        for place, values in _GROUPS:
            if data[at + place] & 1 and (place != 118 or not i16(data, at + place + 4)):
                for offset, parameter, decimals in values:
                    _add(observation, parameter, data, at + place + offset, decimals)
        if data[at + 178] & 1:
            for offset, parameter, decimals in _FLOW_MORE:
                _add(observation, parameter, data, at + 178 + offset, decimals)
        if data[at + 166] & 1:
            known = _AGENTS.get(i16(data, at + 170))
            if known:
                _add(observation, known[0], data, at + 172, 2)
                _add(observation, known[1], data, at + 174, 2)
            _add(observation, 292, data, at + 176, 2)

    def _add_ecg(self, data, at, observation):
        if not data[at] & 1:
            return
        source = (data[at] | data[at + 1] << 8) >> 3 & 15
        if source != _SPO2_SOURCE:
            _add(observation, 4, data, at + 6, 0)
        for offset, parameter, decimals in _ECG:
            _add(observation, parameter, data, at + offset, decimals)
        label = data[at + 4] | data[at + 5] << 8
        for channel in range(3):
            self.leads[channel] = label >> 4 * (2 - channel) & 15

    def read_cuff(self, data, at, observation):
        """Add the cuff pressure when it is a new one."""
        at += 72
        if not data[at] & 1 or data[at + 5] & 1:
            return  # none, or older than a minute
        fresh = False
        for index in range(6):
            if data[at + 6 + index] != self._pressure[index]:
                self._pressure[index] = data[at + 6 + index]
                fresh = True
        if fresh:
            for index in range(3):
                _add(observation, 20 + index, data, at + 6 + 2 * index, 2)

    def wave_parameter(self, kind, label):
        """Return the parameter of a wave that goes by its label, 0 for none."""
        if kind <= 3:
            return _LEADS.get(self.leads[kind - 1], _ECG_WAVE)
        return _WAVE_PRESSURES.get(label, 0)


def _add(observation, parameter, data, at, decimals):
    value = i16(data, at)
    if value > _NO_DATA:
        observation.add(parameter, value, decimals, VALID)
    elif value == _UNDER:
        observation.add(parameter, 0, decimals, UNDER_RANGE)
    elif value == _OVER:
        observation.add(parameter, 0, decimals, OVER_RANGE)
    else:
        observation.add(parameter, 0, decimals, NO_VALUE)
