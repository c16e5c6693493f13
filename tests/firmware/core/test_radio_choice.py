"""What goes first when not everything fits."""

import unittest

from bridge.core.events import VALID, Alarm, Observation
from bridge.core.last_values import ALARMS_MAX, VALUES_MAX, LastValues
from bridge.core.radio_choice import choose
from bridge.core.radio_wire import parse_body

MINUTE_MS = 60000


def note(last, now_ms, device=0, **values):
    made = Observation(128)
    made.begin(0, 1)
    for name, value in values.items():
        made.add(int(name[1:]), value, 0, VALID)
    last.observation(device, made, now_ms)


def alarm(last, now_ms, code, priority=3, active=True, text="alarm"):
    made = Alarm()
    made.code, made.priority, made.active, made.text = code, priority, active, text
    last.alarm(0, made, now_ms)


def parameters(choice):
    return [value.parameter for value in parse_body(choice.body).values]


class TestLastValues(unittest.TestCase):
    def test_the_last_one_of_each_device_counts(self):
        last = LastValues()
        note(last, 1000, p1=97, p2=60)
        note(last, 2000, device=1, p1=88)
        note(last, 3000, p2=61, p1=96)
        self.assertEqual(last.count, 3)
        found = parse_body(choose(last, 0, 229, 4000, 0, True).body).values
        self.assertEqual(
            sorted((v.device, v.parameter, v.value, v.age_s) for v in found),
            [(0, 1, 96, 1), (0, 2, 61, 1), (1, 1, 88, 2)],
        )

    def test_a_full_table_counts_what_it_has_no_room_for(self):
        last = LastValues()
        for number in range(VALUES_MAX + 3):
            note(last, 1, **{"p%d" % number: 1})
        self.assertEqual((last.count, last.lost), (VALUES_MAX, 3))

    def test_of_too_many_alarms_the_mildest_goes(self):
        last = LastValues()
        for code in range(ALARMS_MAX):
            alarm(last, code, code, priority=1 if code == 5 else 3)
        alarm(last, 100, 99)
        codes = [known.code for known in last.alarms]
        self.assertEqual(len(codes), ALARMS_MAX)
        self.assertFalse(5 in codes)
        self.assertTrue(99 in codes)
        self.assertEqual(last.lost, 1)

    def test_an_alarm_that_repeats_itself_is_no_news(self):
        last = LastValues()
        alarm(last, 1, 7)
        choose(last, 0, 229, 2, 0, True).answered(last)
        alarm(last, 3, 7)
        self.assertEqual(last.untold(), [])
        alarm(last, 4, 7, active=False)
        self.assertEqual(len(last.untold()), 1)
        choose(last, 0, 229, 5, 0, True).answered(last)
        self.assertEqual(last.alarms, [])

    def test_when_a_site_has_the_log_what_stands_is_for_the_next_time(self):
        last = LastValues()
        alarm(last, 1, 7)
        alarm(last, 1, 8, active=False)
        last.settle()
        self.assertEqual([known.code for known in last.untold()], [7])


class TestChoice(unittest.TestCase):
    def test_nothing_to_say_is_nothing(self):
        self.assertIsNone(choose(LastValues(), 0, 229, 0, 0, True))

    def test_alarms_go_before_values_and_the_worst_first(self):
        last = LastValues()
        note(last, 1, p1=97)
        alarm(last, 2, 1, priority=1, text="mild")
        alarm(last, 3, 2, priority=3, text="severe")
        alarm(last, 4, 3, priority=2, text="middling")
        choice = choose(last, 0, 229, 9000, 0, True)
        texts = [a.text for a in parse_body(choice.body).alarms]
        self.assertEqual(texts, ["severe", "middling", "mild"])
        self.assertEqual(parameters(choice), [1])
        choice = choose(last, 0, 20, 9000, 0, True)
        content = parse_body(choice.body)
        self.assertEqual([a.text for a in content.alarms], ["severe"])
        self.assertEqual((content.alarms_left, choice.alarms_left), (2, 2))

    def test_a_frame_of_alarms_alone_has_no_values(self):
        last = LastValues()
        note(last, 1, p1=97)
        self.assertIsNone(choose(last, 0, 229, 2, 0, False))
        alarm(last, 2, 1)
        self.assertEqual(parameters(choose(last, 0, 229, 3, 0, False)), [])

    def test_vital_parameters_go_first(self):
        last = LastValues()
        note(last, 1, p176=21, p2=60, p6=370, p1=97)
        self.assertEqual(parameters(choose(last, 0, 229, 2, 0, True)), [1, 2, 6, 176])

    def test_what_a_site_has_is_sent_again_only_when_it_is_new(self):
        last = LastValues()
        note(last, 1000, p1=97, p2=60)
        choose(last, 0, 229, 2000, 0, True).answered(last)
        self.assertFalse(last.has_news())
        note(last, 3000, p2=61)
        self.assertTrue(last.has_news())
        self.assertEqual(parameters(choose(last, 0, 229, 4000, 0, True)), [2])
        last.begin()
        self.assertEqual(parameters(choose(last, 0, 229, 4000, 0, True)), [1, 2])

    def test_what_changes_while_it_is_on_its_way_stays_news(self):
        last = LastValues()
        note(last, 1000, p1=97)
        alarm(last, 1000, 4)
        choice = choose(last, 0, 229, 2000, 0, True)
        note(last, 2500, p1=80)
        alarm(last, 2500, 4, active=False)
        choice.answered(last)
        self.assertTrue(last.has_news())
        self.assertEqual(len(last.untold()), 1)

    def test_everything_has_its_turn_within_a_bounded_time(self):
        last = LastValues()
        seen = set()
        everything = {"p%d" % number: 1000 for number in range(1, 101)}
        for minute in range(60):
            now_ms = MINUTE_MS * (minute + 1)
            note(last, now_ms, **everything)
            choice = choose(last, 0, 60, now_ms, 0, True)
            self.assertTrue(choice.values_left > 50)
            seen.update(parameters(choice))
            choice.answered(last)
        self.assertEqual(len(seen), 100)

    def test_it_says_what_it_left_out(self):
        last = LastValues()
        note(last, 1, **{"p%d" % number: 1 for number in range(1, 60)})
        choice = choose(last, 0, 40, 2, 0, True)
        content = parse_body(choice.body)
        self.assertEqual(len(content.values) + content.values_left, 59)


if __name__ == "__main__":
    unittest.main()
