"""The last value of each parameter, and the alarms, of the devices of class A. Pure.

It is filled while all is well and costs a board its RAM, so boards without a radio have none.
Times are milliseconds since the boot.
"""

from array import array

from micropython import const

VALUES_MAX = const(128)
ALARMS_MAX = const(24)


class KnownAlarm:
    """An alarm as a device gave it last; `told` once a site has said over the radio it has it."""

    def __init__(self, device, page, code):
        self.device = device
        self.page = page
        self.code = code
        self.priority = 0
        self.active = False
        self.text = ""
        self.at_ms = 0
        self.told = False


class LastValues:
    """Last values by (device, parameter), in arrays: to note a value allocates nothing.

    count       values known; `devices`, `parameters`, `values`, `decimals`, `states`, `at_ms`
                hold them by index
    told_ms     `at_ms` of each as a site has it by radio, -1 for none in this period
    alarms      list of KnownAlarm
    lost        values and alarms for which there was no room
    """

    def __init__(self):
        self.count = 0
        self.devices = bytearray(VALUES_MAX)
        self.parameters = array("H", bytes(2 * VALUES_MAX))
        self.values = array("i", bytes(4 * VALUES_MAX))
        self.decimals = bytearray(VALUES_MAX)
        self.states = bytearray(VALUES_MAX)
        self.at_ms = array("q", bytes(8 * VALUES_MAX))
        self.told_ms = array("q", bytes(8 * VALUES_MAX))
        self.alarms = []
        self.lost = 0
        self._next = 0  # where the next value probably is: devices repeat themselves

    # --- from the devices ---

    def observation(self, device, event, now_ms):
        """Take an Observation of a device."""
        for index in range(event.count):
            place = self._place(device, event.parameters[index])
            if place < 0:
                self.lost += 1
                continue
            self.values[place] = event.values[index]
            self.decimals[place] = event.decimals[index]
            self.states[place] = event.states[index]
            self.at_ms[place] = now_ms

    def _place(self, device, parameter):
        count = self.count
        place = self._next
        for _ in range(count):
            if place >= count:
                place = 0
            if self.parameters[place] == parameter and self.devices[place] == device:
                self._next = place + 1
                return place
            place += 1
        if count == VALUES_MAX:
            return -1
        self.devices[count] = device
        self.parameters[count] = parameter
        self.told_ms[count] = -1
        self.count = self._next = count + 1
        return count

    def alarm(self, device, event, now_ms):
        """Take an Alarm of a device; one that only repeats itself is no news."""
        known = None
        for alarm in self.alarms:
            if alarm.device == device and alarm.page == event.page and alarm.code == event.code:
                known = alarm
        if known is None:
            known = self._add(device, event)
        elif known.active == event.active and known.priority == event.priority:
            return
        known.priority = event.priority
        known.active = event.active
        known.text = event.text
        known.at_ms = now_ms
        known.told = False

    def _add(self, device, event):
        if len(self.alarms) >= ALARMS_MAX:
            worst = min(self.alarms, key=lambda a: (a.active, not a.told, a.priority, a.at_ms))
            self.lost += not worst.told
            self.alarms.remove(worst)
        alarm = KnownAlarm(device, event.page, event.code)
        self.alarms.append(alarm)
        return alarm

    # --- to the sites ---

    def settle(self):
        """A site gets the log: alarms that are over have been said, and those that stand go first
        when it is gone."""
        if self.alarms:
            self.alarms = [alarm for alarm in self.alarms if alarm.active]
            for alarm in self.alarms:
                alarm.told = False

    def begin(self):
        """From now on the radio has to say all of it."""
        for place in range(self.count):
            self.told_ms[place] = -1

    def untold(self):
        """Return the alarms that no site has by radio."""
        return [alarm for alarm in self.alarms if not alarm.told]

    def has_news(self):
        """Say whether a value is newer than what a site has by radio."""
        for place in range(self.count):
            if self.at_ms[place] > self.told_ms[place]:
                return True
        return False
