"""What goes to a site next: live first, backlog beside, nothing twice, nothing forgotten."""

import unittest

from bridge.core import wire
from bridge.core.journal.layout import CLASSES, SECTOR_SIZE
from bridge.core.policy import ALL_CLASSES, CLASS_A
from bridge.core.sender import Sender
from tests.support.gateway import GATEWAY, LOG_ID, SITE, UPLINK_KEY, Flash, observation
from tests.support.site import SmallSite

NONCE = b"nonce--1"


def zeros(count):
    return bytes(count)


def ones(count):
    return b"\xff" * count


class TestSender(unittest.TestCase):
    def setUp(self):
        self.journal, self.clock = Flash(sectors=12).boot()
        self.whole = []
        self.sender = Sender(
            self.journal, 16384, lambda cls, number, copies: self.whole.append((cls, number))
        )
        self.site = SmallSite()
        self.step = 0

    def append(self, count, cls=0):
        for _ in range(count):
            self.clock.now_ms += 1000
            self.step += 1
            self.journal.observation(cls, 0, observation(self.step)[0], self.clock.now_ms)
            self.journal.commit(cls)
            self.journal.idle()

    def ask(self):
        self.give(self.answer())

    def answer(self, echo_ms=0):
        heads = {}
        for cls in range(len(CLASSES)):
            heads[cls] = (self.journal.pool.oldest(cls), self.journal.newest(cls)[0])
        receipt = self.site.have(NONCE, heads)
        receipt.echo_ms = echo_ms
        return receipt

    def give(self, receipt):
        self.sender.receipt(self.site.through_the_wire(receipt), self.clock.now_ms)

    def next_payload(self):
        run = self.sender.next_run()
        if run is None:
            return None, None
        cls, number, offset, count = run
        payload = bytearray(wire.run_size(count))
        data = memoryview(payload)[wire.RUN_HEAD : wire.RUN_HEAD + count]
        self.journal.read(cls, number, offset, data)
        if offset <= 7 < offset + count:
            data[7 - offset] = 0xFF
        wire.pack_run(payload, UPLINK_KEY, GATEWAY, cls, LOG_ID, number, offset, count)
        self.sender.sent(run, self.clock.now_ms)
        return run, payload

    def deliver_all(self):
        runs = []
        while True:
            run, payload = self.next_payload()
            if run is None:
                return runs
            runs.append(run)
            position = self.site.take(payload, run[0])
            self.give(self.site.receipt(NONCE, [position]))

    def assert_copied(self):
        for cls in range(len(CLASSES)):
            newest, end = self.journal.newest(cls)
            for number in range(self.journal.pool.oldest(cls), newest + 1):
                size = end if number == newest else SECTOR_SIZE
                own = bytearray(size)
                self.journal.read(cls, number, 0, own)
                own[7] = 0xFF
                self.assertEqual(bytes(self.site.sectors[(cls, number)]), bytes(own))

    def test_nothing_goes_before_the_site_says_what_it_has(self):
        self.append(3)
        self.assertIsNone(self.sender.next_run())

    def test_log_is_copied_byte_for_byte(self):
        self.append(300)
        self.append(20, cls=1)
        self.ask()
        self.deliver_all()
        self.append(100)
        self.deliver_all()
        self.assert_copied()
        self.assertEqual(self.sender.backlog_bytes(0), 0)

    def test_open_sector_goes_before_the_backlog(self):
        self.append(300)
        self.ask()
        newest = self.journal.newest(0)[0]
        self.assertGreater(newest, 1)
        runs = [run for run in self.deliver_all() if run[0] == 0]
        order = [number for _, number, _, _ in runs]
        self.assertEqual(order[0], newest)
        backlog = [number for number in order if number != newest]
        self.assertEqual(backlog, sorted(backlog))

    def test_live_commit_overtakes_the_backlog(self):
        self.append(300)
        self.ask()
        for _ in range(4):
            run, payload = self.next_payload()
            self.give(self.site.receipt(NONCE, [self.site.take(payload, run[0])]))
        self.append(1)
        run, _ = self.next_payload()
        self.assertEqual(run[1], self.journal.newest(0)[0])

    def test_sector_that_closes_while_live_is_sent_with_its_seal(self):
        self.ask()
        while self.journal.newest(0)[0] < 2:
            self.append(5)
            self.deliver_all()
        self.deliver_all()
        self.assertIn((0, 0), self.whole)
        self.assertIn((0, 1), self.whole)
        self.assert_copied()

    def test_nothing_goes_twice_while_receipts_are_on_their_way(self):
        self.append(150)
        self.ask()
        self.deliver_all()
        sent = []
        for _ in range(400):
            self.append(1)
            while (found := self.next_payload())[0] is not None:
                sent.append(found)
                if len(sent) % 20 == 0:
                    for run, payload in sent[-20:]:
                        self.give(self.site.receipt(NONCE, [self.site.take(payload, run[0])]))
        self.assertGreater(self.journal.newest(0)[0], 2)
        places = [run[:3] for run, _ in sent]
        self.assertEqual(len(set(places)), len(places))
        for run, payload in sent[-20:]:
            self.site.take(payload, run[0])
        self.assert_copied()

    def test_window_is_bounded_without_receipts(self):
        self.append(600)
        self.ask()
        total = 0
        while True:
            run, _ = self.next_payload()
            if run is None:
                break
            total += run[3]
        self.assertLessEqual(total, 16384)
        self.assertGreater(self.sender.overdue_ms(self.clock.now_ms + 5000), 4000)

    def test_lost_runs_come_again_after_asking(self):
        self.append(300)
        self.ask()
        for _ in range(5):
            self.next_payload()
        self.ask()
        self.deliver_all()
        self.assert_copied()

    def test_nothing_is_sent_while_the_site_is_asked(self):
        self.append(300)
        self.ask()
        first, payload = self.next_payload()
        lost, _ = self.next_payload()
        self.assertTrue(self.sender.asks(False, self.clock.now_ms, 2000, zeros))
        self.assertIsNone(self.sender.next_run())
        # A site that is behind receipts what came before the question, and then answers it.
        position = self.site.take(payload, first[0])
        self.give(self.site.receipt(NONCE, [position]))
        self.assertIsNone(self.sender.next_run())
        self.give(self.answer(self.clock.now_ms))
        sent = self.deliver_all()
        self.assertNotIn(first, sent)
        self.assertIn(lost, sent)
        self.assert_copied()

    def test_second_answer_to_a_question_sends_nothing_twice(self):
        self.append(300)
        self.ask()
        self.sender.asks(False, self.clock.now_ms, 2000, zeros)
        late = self.answer(self.clock.now_ms)
        self.give(late)
        runs = [self.next_payload()[0] for _ in range(3)]
        self.give(late)
        self.assertEqual(len(self.sender.flights), 3)
        self.assertNotIn(self.sender.next_run(), runs)

    def test_hub_that_has_just_begun_is_believed_unasked(self):
        self.append(300)
        self.ask()
        run, _ = self.next_payload()
        self.give(self.answer(echo_ms=0))
        self.assertEqual(self.sender.flights, [])
        self.assertEqual(self.sender.next_run(), run)

    def test_site_that_does_not_answer_is_asked_ever_less_often(self):
        self.append(1)
        asked = [s for s in range(0, 200, 2) if self.sender.asks(False, 1000 * s, 2000, zeros)]
        gaps = [asked[at + 1] - asked[at] for at in range(6)]
        self.assertEqual(gaps, [2, 4, 8, 16, 32, 32])
        self.ask()
        self.assertEqual(self.sender.asked, 0)
        self.assertTrue(self.sender.asks(False, 0, 2000, zeros))
        # Never more than a quarter earlier, whatever is drawn.
        self.assertFalse(self.sender.asks(False, 1500, 2000, ones))
        self.assertTrue(self.sender.asks(False, 2000, 2000, ones))
        self.assertFalse(self.sender.asks(False, 5000, 2000, ones))
        self.assertTrue(self.sender.asks(False, 5010, 2000, ones))
        # It answered a heartbeat in time: it is back, and never had the question.
        self.sender.hurry()
        self.assertTrue(self.sender.asks(False, 5020, 2000, ones))
        self.assertFalse(self.sender.asks(False, 7000, 2000, ones))

    def test_new_session_goes_on_where_the_site_is(self):
        self.append(200)
        self.ask()
        self.deliver_all()
        self.append(2)
        self.sender.restart()
        self.ask()
        sent = sum(count for _, _, _, count in self.deliver_all())
        self.assertLess(sent, 200)
        self.assert_copied()

    def test_what_lies_below_the_map_is_stored(self):
        self.append(400)
        self.ask()
        self.deliver_all()
        newest = self.journal.newest(0)[0]
        receipt = wire.Receipt(SITE, self.site.epoch, GATEWAY, LOG_ID, NONCE)
        receipt.have = True
        receipt.maps = [(0, 2, newest - 2, bytes((newest - 2 + 7) // 8))]
        self.give(receipt)
        sent = {number for cls, number, _, _ in self.deliver_all() if cls == 0}
        self.assertEqual(sent, set(range(2, newest + 1)))
        # Beyond what was ever written here there is nothing to believe.
        receipt.maps = [(0, newest + 5, 0, b"")]
        self.give(receipt)
        self.assertFalse(self.sender.has(0, newest))

    def test_site_may_speak_for_another(self):
        self.append(800)
        self.ask()
        self.deliver_all()
        self.assertGreater(self.journal.newest(0)[0], 3)
        told = []
        self.sender._on_whole = lambda *news: told.append(news)
        self.assertEqual(self.sender.copies(0, 0), 1)
        receipt = self.site.receipt(NONCE, [(0, 1)])
        receipt.copies = 2
        self.give(receipt)
        self.assertEqual(told, [(0, 1, 2)])
        receipt.entries = []
        receipt.maps = [(0, 1, 2, b"\x02")]  # all below 1, and 2
        self.give(receipt)
        self.assertEqual([self.sender.copies(0, number) for number in range(4)], [2, 1, 2, 1])
        self.assertEqual(self.sender.copies(0, 10**6), 0)
        self.sender.forget_copies()
        self.assertEqual(self.sender.copies(0, 0), 1)

    def test_emptied_store_gets_everything_again(self):
        self.append(200)
        self.ask()
        self.deliver_all()
        self.site = SmallSite(b"epoch--2")
        receipt = self.site.receipt(NONCE, [])
        self.give(receipt)
        self.assertFalse(receipt.have)
        self.ask()
        self.deliver_all()
        self.assert_copied()

    def test_receipt_of_another_epoch_confirms_nothing(self):
        self.append(100)
        self.ask()
        run, payload = self.next_payload()
        position = self.site.take(payload, run[0])
        self.site.epoch = b"epoch--2"
        self.give(self.site.receipt(NONCE, [position]))
        self.assertEqual(len(self.sender.flights), 1)

    def test_receipt_for_other_bytes_confirms_nothing(self):
        self.append(100)
        self.ask()
        run, payload = self.next_payload()
        position = self.site.take(payload, run[0])
        self.site.sectors[position][-1] ^= 1
        self.give(self.site.receipt(NONCE, [position]))
        self.assertEqual(len(self.sender.flights), 1)
        self.assertEqual(self.sender.mismatches, 1)

    def test_site_gets_only_its_classes_and_the_rest_when_it_takes_over(self):
        self.sender.assign(CLASS_A, True)
        self.append(100)
        self.append(100, cls=1)
        self.ask()
        self.assertEqual({run[0] for run in self.deliver_all()}, {0})
        self.assertEqual(self.sender.backlog_bytes(1), 0)
        self.append(100, cls=1)
        self.assertFalse(self.sender.news())
        self.sender.assign(ALL_CLASSES, True)
        runs = self.deliver_all()
        # The open sector first, as ever, then what nobody has.
        self.assertEqual(runs[0][:2], (1, self.journal.newest(1)[0]))
        self.assert_copied()

    def test_stand_in_is_spared_what_another_site_has(self):
        self.append(300, cls=1)
        newest = self.journal.newest(1)[0]
        self.assertGreater(newest, 1)
        self.journal.release(1, 0)
        self.sender.assign(ALL_CLASSES, True)
        self.ask()
        sent = {number for cls, number, _, _ in self.deliver_all() if cls == 1}
        self.assertEqual(sent, set(range(1, newest + 1)))
        # The ward's first site gets all that is held.
        self.sender.assign(ALL_CLASSES, False)
        self.ask()
        self.deliver_all()
        self.assert_copied()

    def test_renewed_store_is_noticed_once(self):
        self.append(10)
        self.ask()
        self.assertEqual(self.sender.renewals, 0)
        self.site = SmallSite(b"epoch--2")
        self.ask()
        self.ask()
        self.assertEqual(self.sender.renewals, 1)


if __name__ == "__main__":
    unittest.main()
