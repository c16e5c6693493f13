"""What decoders say ends up in the right class, and silence is noticed."""

import unittest

from bridge.core.events import Alarm, Damage, Identity, Observation, Wave
from bridge.core.journal import records
from bridge.core.last_values import LastValues
from bridge.core.recorder import Recorder
from tests.support.gateway import Flash, observation, read_all

LINES = (
    {"devices": [{"name": "vent", "class": "A", "unit": 0}]},
    {"devices": [{"name": "panel", "class": "C", "unit": 17}]},
)


class Counts:
    def __init__(self):
        self.values = {}

    def add(self, name, count):
        self.values[name] = self.values.get(name, 0) + count


class TestRecorder(unittest.TestCase):
    def setUp(self):
        self.journal, self.clock = Flash().boot()
        self.counts = Counts()
        self.recorder = Recorder(self.journal, self.clock, self.counts, LINES, 10000)

    def texts(self, cls, event):
        self.journal.commit(cls)
        found = read_all(self.journal, cls, records.EVENT)
        return [record.text for record in found if record.event == event]

    def test_observation_goes_to_the_class_of_its_device(self):
        made = observation(3)[0]
        self.recorder.take(0, made)
        made.unit = 17
        self.recorder.take(1, made)
        for cls, name in ((0, "vent"), (2, "panel")):
            self.journal.commit(cls)
            found = read_all(self.journal, cls)
            self.assertEqual([record.device.name for record in found], [name])
        self.assertEqual(read_all(self.journal, 1), [])

    def test_last_values_are_kept_of_class_a_alone(self):
        self.recorder.last = LastValues()
        made = observation(3)[0]
        self.recorder.take(0, made)
        made.unit = 17
        self.recorder.take(1, made)
        self.assertEqual(self.recorder.last.count, made.count)
        alarm = Alarm()
        for line, unit in ((0, 0), (1, 17)):
            alarm.unit, alarm.active, alarm.text = unit, True, "LOW"
            self.recorder.take(line, alarm)
        self.assertEqual([known.device for known in self.recorder.last.alarms], [0])

    def test_stranger_on_the_bus_is_counted_and_not_stored(self):
        made = Observation(2)
        made.begin(99, 0)
        self.recorder.take(1, made)
        self.assertEqual(self.counts.values, {"line1_stranger": 1})

    def test_damage_is_counted_by_line_and_kind(self):
        damage = Damage()
        damage.kind, damage.count = "noise", 7
        self.recorder.take(0, damage)
        self.recorder.take(0, damage)
        self.assertEqual(self.counts.values, {"line0_noise": 14})

    def test_wave_began_when_its_first_sample_was_taken(self):
        made = Wave(50)
        made.parameter, made.period_us, made.count = 1, 4000, 50
        self.clock.now_ms = 3000
        self.recorder.take(0, made)
        self.journal.commit(0)
        found = read_all(self.journal, 0, records.WAVE)
        self.assertEqual([(r.mono_ms, len(r.samples)) for r in found], [(2800, 50)])

    def test_alarm_is_on_flash_at_once(self):
        before = self.journal.newest(0)[1]
        self.recorder.take(0, Alarm())
        self.assertGreater(self.journal.newest(0)[1], before)

    def test_identity_is_an_event(self):
        self.recorder.take(0, Identity(0, "Evita 4 04.12"))
        self.assertEqual(self.texts(0, records.IDENTITY), ["vent: Evita 4 04.12"])

    def test_class_without_a_key_is_counted_and_the_others_go_on(self):
        flash = Flash()
        flash.keys.writeblocks(1, bytes(64), 0)
        self.journal, self.clock = flash.boot()
        recorder = Recorder(self.journal, self.clock, self.counts, LINES, 10000)
        made = observation(3)[0]
        recorder.take(0, made)
        recorder.say(0, records.SITE_UP, "primary")
        self.assertEqual(self.counts.values, {"key_lost": 2})
        made.unit = 17
        recorder.take(1, made)
        self.journal.commit(2)
        self.assertEqual(len(read_all(self.journal, 2)), 1)

    def test_silence_and_return_are_said_once(self):
        self.recorder.take(0, observation(1)[0])
        for _ in range(3):
            self.clock.now_ms += 6000
            self.recorder.watch()
        self.assertEqual(self.texts(0, records.DEVICE_SILENT), ["vent"])
        self.recorder.take(0, observation(2)[0])
        self.recorder.take(0, observation(3)[0])
        self.assertEqual(self.texts(0, records.DEVICE_BACK), ["vent"])


if __name__ == "__main__":
    unittest.main()
