"""What may be given up: two sites for class A, one for B and C, and a store that was lost."""

import unittest

from bridge.core.copies import Copies
from tests.support.gateway import Flash, observation


class Knower:
    """A site of which only this is asked: what it has."""

    def __init__(self):
        self.known = set()
        self.mirrored = set()  # of these it knows that one more site has them

    def copies(self, cls, number):
        place = (cls, number)
        return (place in self.known) + (place in self.known & self.mirrored)

    def forget_copies(self):
        self.mirrored.clear()


class TestCopies(unittest.TestCase):
    def setUp(self):
        self.journal, clock = Flash(sectors=40).boot()
        for cls in (0, 1):
            for step in range(900):
                clock.now_ms += 1000
                self.journal.observation(cls, 0, observation(step)[0], clock.now_ms)
                self.journal.commit(cls)
                self.journal.idle()
        self.sites = [Knower(), Knower()]
        self.copies = Copies(self.journal, self.sites)

    def store(self, site, cls, number):
        self.sites[site].known.add((cls, number))
        self.copies.stored(cls, number)

    def state(self, cls, number):
        sector = self.journal.pool.find(cls, number)
        return self.journal.pool.is_copied(sector), self.journal.pool.is_released(sector)

    def test_class_a_is_released_when_both_have_it(self):
        self.store(0, 0, 1)
        self.assertEqual(self.state(0, 1), (True, False))
        self.store(1, 0, 1)
        self.assertEqual(self.state(0, 1), (True, True))
        self.assertEqual(self.state(0, 2), (False, False))

    def test_class_a_is_released_when_one_says_that_both_have_it(self):
        self.sites[0].known.add((0, 1))
        self.copies.stored(0, 1, 2)
        self.assertEqual(self.state(0, 1), (True, True))
        self.sites[0].known.add((0, 2))
        self.sites[0].mirrored.add((0, 2))
        self.copies.count()
        while self.copies.step():
            pass
        self.assertEqual(self.state(0, 2), (True, True))

    def test_word_of_another_is_void_once_that_one_lost_its_store(self):
        self.store(0, 0, 1)
        self.sites[0].mirrored.add((0, 1))
        self.copies.stored(0, 1, 2)
        self.copies.recount()
        while self.copies.step():
            pass
        self.assertEqual(self.state(0, 1), (True, False))

    def test_class_b_is_released_when_one_has_it(self):
        self.store(1, 1, 2)
        self.assertEqual(self.state(1, 2), (True, True))

    def test_one_site_is_enough_where_there_is_one(self):
        self.copies = Copies(self.journal, self.sites[:1])
        self.store(0, 0, 1)
        self.assertEqual(self.state(0, 1), (True, True))

    def test_open_sector_is_never_released(self):
        newest = self.journal.newest(0)[0]
        self.store(0, 0, newest)
        self.store(1, 0, newest)
        self.assertEqual(self.state(0, newest), (False, False))

    def test_answer_of_a_site_is_gone_over_in_steps(self):
        for number in range(1, 4):
            self.sites[0].known.add((1, number))
        self.copies.count()
        self.assertEqual(self.state(1, 1), (False, False))
        while self.copies.step():
            pass
        self.assertEqual([self.state(1, number)[1] for number in range(4)], [0, 1, 1, 1])

    def test_lost_store_takes_back_what_it_allowed(self):
        for site in (0, 1):
            for number in range(3):
                self.store(site, 0, number)
        self.store(0, 1, 0)
        self.sites[0].known.clear()
        self.copies.recount()
        while self.copies.step():
            pass
        self.assertEqual([self.state(0, number) for number in range(3)], [(True, False)] * 3)
        self.assertEqual(self.state(1, 0), (False, False))
        self.assertFalse(self.copies.step())


if __name__ == "__main__":
    unittest.main()
