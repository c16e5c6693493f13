import unittest

from bridge.core.consensus import agree


class TestAgree(unittest.TestCase):
    def test_one_clock_is_believed_unless_two_are_asked_for(self):
        self.assertEqual(agree([(500, 20)]), (500, 20, []))
        self.assertIsNone(agree([(500, 20)], 2))
        self.assertIsNone(agree([]))

    def test_two_clocks_must_meet(self):
        self.assertEqual(agree([(500, 20), (510, 20)]), (505, 15, []))
        self.assertEqual(agree([(500, 20), (540, 20)]), (520, 0, []))
        self.assertIsNone(agree([(500, 20), (541, 20)]))

    def test_a_liar_among_three_is_refused(self):
        self.assertEqual(agree([(500, 20), (99999, 5), (504, 20)]), (502, 18, [1]))

    def test_a_liar_who_overlaps_one_honest_clock_cannot_push_the_truth_out(self):
        # The true time is 500; the liar shares more with the first clock than the second does.
        offset_ms, error_ms, refused = agree([(480, 20), (520, 20), (470, 20)])
        self.assertTrue(abs(offset_ms - 500) <= error_ms)
        self.assertEqual(refused, [])

    def test_two_liars_of_four_decide_nothing(self):
        self.assertIsNone(agree([(500, 9), (503, 9), (900, 9), (903, 9)]))


if __name__ == "__main__":
    unittest.main()
