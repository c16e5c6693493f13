"""Text that must fit is cut between characters."""

import unittest

from bridge.core.clip import clip


class TestClip(unittest.TestCase):
    def test_text_that_fits_is_whole(self):
        self.assertEqual(clip("", 3), b"")
        self.assertEqual(clip("abc", 3), b"abc")

    def test_no_part_of_a_character_is_left(self):
        text = "aä€𝄞"
        data = text.encode()
        for size in range(len(data) + 1):
            cut = clip(text, size)
            self.assertLessEqual(len(cut), size)
            self.assertTrue(text.startswith(cut.decode()))
            self.assertTrue(data.startswith(cut))


if __name__ == "__main__":
    unittest.main()
