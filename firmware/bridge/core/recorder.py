"""Events of the lines to records in the journal: who spoke, in which class, and who is silent."""

from bridge.core.errors import KeyLost, MediumError
from bridge.core.events import Alarm, Damage, Identity, Observation, Wave
from bridge.core.journal import records
from bridge.core.journal.layout import CLASSES


class Recorder:
    """Takes what decoders say and appends it to the journal.

    lines      the configuration's lines, devices with "name", "class" and "unit"
    counters   has add(name, count)
    silent_ms  without an observation for so long, a device is said to be silent
    """

    def __init__(self, journal, clock, counters, lines, silent_ms):
        self._journal = journal
        self._clock = clock
        self._counters = counters
        self._silent_ms = silent_ms
        self._places = {}  # (line number, unit): device number
        self.names = []
        self.classes = []
        self.last = None  # LastValues of class A, where a board can send them by radio
        self.heard_ms = []  # when each device's last observation came, -1 while it is silent
        for number, line in enumerate(lines):
            for device in line["devices"]:
                self._places[(number, device["unit"])] = len(self.names)
                self.names.append(device["name"])
                self.classes.append(CLASSES.index(device["class"]))
                self.heard_ms.append(clock.mono_ms())

    def take(self, line, event):
        """Record one event of line number `line`."""
        if isinstance(event, Damage):
            self._counters.add("line%d_%s" % (line, event.kind), event.count)
            return
        device = self._places.get((line, event.unit), -1)
        if device < 0:
            self._counters.add("line%d_stranger" % line, 1)
            return
        try:
            self._append(device, event)
        except KeyLost:
            # This class's log is shut until the gateway is provisioned; the others go on.
            self._counters.add("key_lost", 1)
        except MediumError:
            self._counters.add("medium_errors", 1)

    def _append(self, device, event):
        cls = self.classes[device]
        if isinstance(event, Observation):
            now_ms = self._clock.mono_ms()
            if self.heard_ms[device] < 0:
                self.say(cls, records.DEVICE_BACK, self.names[device])
            self.heard_ms[device] = now_ms
            if cls == 0 and self.last is not None:
                self.last.observation(device, event, now_ms)
            self._journal.observation(cls, device, event, now_ms)
        elif isinstance(event, Wave):
            # What has just come began a while ago.
            lasted_ms = event.count * event.period_us // 1000
            self._journal.wave(cls, device, event, self._clock.mono_ms() - lasted_ms)
        elif isinstance(event, Alarm):
            if cls == 0 and self.last is not None:
                self.last.alarm(device, event, self._clock.mono_ms())
            self._journal.alarm(cls, device, event, self._clock.mono_ms())
        elif isinstance(event, Identity):
            self.say(cls, records.IDENTITY, "%s: %s" % (self.names[device], event.text))

    def watch(self):
        """Say which devices have gone silent since the last call."""
        now_ms = self._clock.mono_ms()
        for device in range(len(self.names)):
            heard = self.heard_ms[device]
            if heard >= 0 and now_ms - heard > self._silent_ms:
                self.heard_ms[device] = -1
                self.say(self.classes[device], records.DEVICE_SILENT, self.names[device])

    def say(self, cls, event, text):
        """Add an event of the gateway to a class's log, if that can be written."""
        try:
            self._journal.event(cls, event, text)
        except KeyLost:
            self._counters.add("key_lost", 1)
        except MediumError:
            self._counters.add("medium_errors", 1)
