"""What goes into the next frame: alarms first, then values by weight and by how long they wait.

Pure, and the only place that decides it.
"""

from micropython import const

from bridge.core.radio_wire import Body

# Parameters that go before others, the weightiest first; numbers of `codes.PARAMETERS`.
_FIRST = (
    1, 2, 4, 208, 224,  # SpO2; PR, HR, HR ECG, Pulse
    5, 80, 84,  # RESP, RR, RRco2
    18, 16, 17, 228, 226, 227, 22, 20, 21,  # arterial and cuff pressures
    99, 100, 101, 96, 291,  # EtCO2, FiO2
    33, 320, 36, 323, 48, 337, 58, 338,  # PIP, PEEP, VT, MV
    6, 19,  # Temp, CVPm
)  # fmt: skip
_HEAD_START_MS = const(600000)  # so much longer than others they seem to have waited
_AGE_MAX_S = const(0x7FFFFFF)


class Choice:
    """What a frame carries.

    body         its plaintext
    alarms       list of (KnownAlarm, at_ms), values list of (index, at_ms): what is told when a
                 site answers
    alarms_left  how many alarms had no room; values_left: how many values that are news
    """

    def __init__(self, body, alarms, values, alarms_left, values_left):
        self.body = body
        self.alarms = alarms
        self.values = values
        self.alarms_left = alarms_left
        self.values_left = values_left

    def answered(self, last):
        """Note in `last` that a site has this: a value or an alarm that changed since is news."""
        for alarm, at_ms in self.alarms:
            if alarm.at_ms == at_ms:
                alarm.told = True
        last.alarms = [alarm for alarm in last.alarms if alarm.active or not alarm.told]
        for place, at_ms in self.values:
            last.told_ms[place] = at_ms


def choose(last, names, room, now_ms, since_ms, with_values):
    """Return the Choice for a body of `room` bytes, None when there is nothing to say.

    last         LastValues
    names        `radio_wire.names_check` of the devices
    since_ms     when this period on the radio began: nothing has waited longer
    with_values  False for a frame of alarms alone
    """
    body = Body(names, room)
    alarms = []
    alarms_left = 0
    waiting = last.untold()
    waiting.sort(key=lambda alarm: (-alarm.priority, not alarm.active, alarm.at_ms))
    for alarm in waiting:
        age_s = _age_s(now_ms, alarm.at_ms)
        what = (alarm.page, alarm.code, alarm.priority, alarm.active, alarm.text)
        if body.add_alarm(alarm.device, age_s, *what):
            alarms.append((alarm, alarm.at_ms))
        else:
            alarms_left += 1
    values = []
    values_left = 0
    for place in _by_weight(last, since_ms) if with_values else ():
        at_ms = last.at_ms[place]
        what = (last.parameters[place], last.values[place], last.decimals[place])
        age_s = _age_s(now_ms, at_ms)
        if body.add_value(last.devices[place], age_s, *what, last.states[place]):
            values.append((place, at_ms))
        else:
            values_left += 1
    if not alarms and not values:
        return None
    return Choice(body.finish(alarms_left, values_left), alarms, values, alarms_left, values_left)


def _age_s(now_ms, at_ms):
    return min(max(0, now_ms - at_ms) // 1000, _AGE_MAX_S)


def _by_weight(last, since_ms):
    """Return the places of values that are news, those to go first in front."""
    order = []
    for place in range(last.count):
        if last.at_ms[place] <= last.told_ms[place]:
            continue
        told_ms = max(last.told_ms[place], since_ms)
        parameter = last.parameters[place]
        if parameter in _FIRST:
            order.append((told_ms - _HEAD_START_MS, _FIRST.index(parameter), place))
        else:
            order.append((told_ms, len(_FIRST), place))
    order.sort()
    return [entry[2] for entry in order]
