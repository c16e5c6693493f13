"""The journal over a strict flash model: appending, sealing, recovery, overwriting."""

import unittest

from bridge.core.errors import FormatError, KeyLost, TagError
from bridge.core.events import NO_SAMPLE, Alarm, Observation, Wave
from bridge.core.journal import layout, records
from bridge.core.journal.reader import SectorReader, verify_seal
from bridge.core.journal.seal import FIRST_SEAL, next_chain_key
from tests.support.gateway import (
    CHAIN_KEYS,
    Flash,
    cipher,
    observation,
    read_all,
    values_of,
)


def fill(journal, clock, steps, cls=0, first=0):
    """Append and commit one observation for each step, a second apart; return what it was."""
    expected = []
    for step in range(first, first + steps):
        clock.now_ms += 1000
        made, values = observation(step)
        journal.observation(cls, 0, made, clock.now_ms)
        journal.commit(cls)
        journal.idle()
        expected.append((clock.boot, clock.now_ms, values))
    return expected


def stored(journal, cls=0):
    found = read_all(journal, cls)
    return [(record.boot, record.mono_ms, values_of(record)) for record in found]


class TestAppend(unittest.TestCase):
    def test_what_was_committed_reads_back_across_sectors_and_boots(self):
        flash = Flash()
        expected = []
        for _ in range(3):
            journal, clock = flash.boot()
            expected += fill(journal, clock, 300)
        self.assertGreater(journal.newest(0)[0], 2)
        self.assertEqual(stored(journal), expected)
        self.assertEqual(journal.pool.forced_erases, 0)

    def test_unchanged_observation_still_leaves_a_mark(self):
        journal, clock = Flash().boot()
        made, values = observation(5)
        for _ in range(4):
            clock.now_ms += 1000
            journal.observation(0, 0, made, clock.now_ms)
        before = journal.newest(0)[1]
        journal.commit(0)
        found = stored(journal)
        self.assertEqual([values for _, _, values in found], [values] * 4)
        self.assertLess(journal.newest(0)[1] - before, 160)

    def test_parameter_that_is_not_sent_has_no_value(self):
        journal, clock = Flash().boot()
        for count in (12, 3, 12):
            clock.now_ms += 1000
            made, values = observation(1, count)
            journal.observation(0, 0, made, clock.now_ms)
        journal.commit(0)
        missing = [record.values[4].value for record in read_all(journal, 0)]
        self.assertEqual(missing, [values[4], None, values[4]])

    def test_decimals_are_kept_as_the_device_sent_them(self):
        journal, clock = Flash().boot()
        for value, decimals in ((74, 1), (12, 0), (-1, 2)):
            made = Observation(4)
            made.begin(0, 0)
            made.add(7, value, decimals, 0)
            journal.observation(0, 1, made, clock.now_ms)
        journal.commit(0)
        found = []
        for record in read_all(journal, 0):
            self.assertEqual(record.device.name, "panel")
            found += [(v.value, v.decimals) for v in record.values if v.value is not None]
        self.assertEqual(found, [(74, 1), (12, 0), (-1, 2)])

    def test_parameter_outside_the_table_is_spelled_out_in_each_sector(self):
        journal, clock = Flash().boot()
        fill(journal, clock, 300)
        labels = [(r.values[0].label, r.values[0].unit) for r in read_all(journal, 0)]
        self.assertEqual(labels, [("O2 supply", "kPa")] * 300)

    def test_alarm_event_and_clock_are_committed_and_read_back(self):
        journal, clock = Flash().boot()
        alarm = Alarm()
        alarm.code, alarm.page, alarm.priority, alarm.active, alarm.text = (
            16,
            1,
            3,
            True,
            "PAW HIGH",
        )
        clock.now_ms = 5000
        journal.alarm(0, 0, alarm, 5000)
        journal.event(0, records.SITE_UP, "primary")
        clock.now_ms = 6123
        journal.clock_set(1790000000123, 7)
        found = read_all(journal, 0, records.ALARM)[0]
        self.assertEqual((found.page, found.code, found.priority), (1, 16, 3))
        self.assertTrue(found.active)
        self.assertEqual(found.text, "PAW HIGH")
        self.assertEqual(read_all(journal, 0, records.EVENT)[0].text, "primary")
        tied = read_all(journal, 0, records.CLOCK)[0]
        self.assertEqual((tied.exact_ms, tied.utc_ms, tied.error_ms), (6123, 1790000000123, 7))

    def test_gateway_without_any_key_touches_nothing(self):
        flash = Flash(sectors=8)
        journal, clock = flash.boot()
        fill(journal, clock, 600)
        for place in range(64):
            flash.keys.writeblocks(1, bytes(64), 64 * place)
        journal, clock = flash.boot()
        erases = flash.chip.erases
        for _ in range(20):
            journal.idle()
        self.assertLessEqual(flash.chip.erases - erases, 2)  # of spent key slots at most
        self.assertEqual(journal.newest(0), (-1, 0))

    def test_class_without_a_key_is_shut_and_says_so(self):
        flash = Flash()
        flash.keys.writeblocks(1, bytes(64), 64)
        journal, clock = flash.boot()
        with self.assertRaises(KeyLost):
            journal.observation(1, 0, observation(1)[0], 0)
        fill(journal, clock, 3)
        self.assertEqual(len(stored(journal)), 3)


class TestSeal(unittest.TestCase):
    def setUp(self):
        self.flash = Flash()
        self.journal, clock = self.flash.boot()
        fill(self.journal, clock, 400)
        self.sectors = []
        for number in range(self.journal.newest(0)[0] + 1):
            sector = bytearray(layout.SECTOR_SIZE)
            self.journal.read(0, number, 0, sector)
            self.sectors.append(sector)

    def test_chain_of_seals_verifies(self):
        key, tag = CHAIN_KEYS[0], FIRST_SEAL
        for sector in self.sectors[:-1]:
            tag = verify_seal(sector, key, tag)
            key = next_chain_key(key)
        with self.assertRaises(FormatError):
            verify_seal(self.sectors[-1], key, tag)

    def test_any_flipped_bit_breaks_the_seal(self):
        for index in range(0, layout.SECTOR_SIZE, 61):
            sector = bytearray(self.sectors[0])
            sector[index] ^= 1 << index % 8
            if index == layout.RELEASED_AT:
                continue
            with self.assertRaises((FormatError, TagError)):
                verify_seal(sector, CHAIN_KEYS[0], FIRST_SEAL)

    def test_swapped_sector_breaks_the_chain(self):
        with self.assertRaises(TagError):
            verify_seal(self.sectors[1], CHAIN_KEYS[0], FIRST_SEAL)

    def test_closed_sectors_cannot_be_read_with_what_the_flash_holds(self):
        # The thief has every key on the board; none of them opens a closed sector.
        slots = self.journal.keys.slots
        self.assertEqual(len(slots), 3)
        for slot in slots:
            for sector in self.sectors[:-1]:
                try:
                    found = SectorReader(cipher, slot.key).feed(sector)
                except FormatError:
                    found = []
                expected = [observation(step)[1] for step in range(400)]
                for record in found:
                    if record.kind == records.OBSERVATION:
                        self.assertNotIn(values_of(record), expected)
        flash = bytes(self.flash.chip.store)
        old = CHAIN_KEYS[0]
        for _ in self.sectors[:-1]:
            self.assertEqual(flash.find(old), -1)
            old = next_chain_key(old)

    def test_no_value_stands_in_clear(self):
        for text in (b"draeger_medibus", b"modbus_rtu", b"O2 supply"):
            self.assertEqual(bytes(self.flash.chip.store).find(text), -1)


def ramp(count, first=0):
    """Return a Wave that climbs and falls, with a hole in it."""
    wave = Wave(count)
    wave.parameter, wave.decimals, wave.period_us, wave.count = 9, 1, 4000, count
    for index in range(count):
        wave.samples[index] = (first + index) * 37 % 900 - 400
    wave.samples[count // 2] = NO_SAMPLE
    return wave


class TestSectorEnd(unittest.TestCase):
    def test_commits_of_many_records_read_back_up_to_the_last_byte_of_a_sector(self):
        # The record that does not fit is taken back; those before it close the sector.
        for every in range(2, 12):
            flash = Flash(sectors=24)
            journal, clock = flash.boot()
            expected = []
            for step in range(700):
                clock.now_ms += 1000
                made, values = observation(step, 1 + (step + every) % 12)
                journal.observation(0, 0, made, clock.now_ms)
                expected.append((clock.boot, clock.now_ms, values))
                if step % every == 0:
                    journal.event(0, records.SITE_UP, "x" * (step % 7))
                    journal.commit(0)
                journal.idle()
            journal.commit(0)
            self.assertGreater(journal.newest(0)[0], 1)
            found = [(b, t, v[: len(e[2])]) for (b, t, v), e in zip(stored(journal), expected)]  # noqa: B905
            self.assertEqual(found, expected)
            self.assertEqual(len(stored(journal)), len(expected))


class TestWaves(unittest.TestCase):
    def test_samples_come_back_with_their_times_across_sectors(self):
        journal, clock = Flash().boot()
        expected = []
        clock.now_ms = 1000
        for second in range(40):
            wave = ramp(250, 250 * second)
            journal.wave(2, 1, wave, clock.now_ms)
            expected += [None if s == NO_SAMPLE else s for s in wave.samples]
            clock.now_ms += 1000
            journal.idle()
        journal.commit(2)
        self.assertGreater(journal.newest(2)[0], 0)
        found = read_all(journal, 2, records.WAVE)
        self.assertEqual([s for record in found for s in record.samples], expected)
        self.assertEqual(journal.lost_parameters, 0)
        at = 0
        for record in found:
            self.assertEqual(record.mono_ms, (1000 + 4 * at) // 10 * 10)
            self.assertEqual((record.parameter, record.decimals, record.period_us), (9, 1, 4000))
            self.assertEqual(record.device.name, "panel")
            at += len(record.samples)

    def test_waves_and_observations_share_commits(self):
        journal, clock = Flash().boot()
        for _ in range(5):
            clock.now_ms += 1000
            journal.wave(1, 0, ramp(50), clock.now_ms)
            journal.observation(1, 0, observation(1)[0], clock.now_ms)
        journal.commit(1)
        self.assertEqual(len(read_all(journal, 1, records.WAVE)), 5)
        self.assertEqual(len(read_all(journal, 1)), 5)


class TestPool(unittest.TestCase):
    def test_each_class_keeps_its_guaranteed_share(self):
        flash = Flash(sectors=32)
        journal, clock = flash.boot()
        fill(journal, clock, 1400, cls=2)
        kept = journal.pool.held[2]
        self.assertGreater(kept, 4)
        fill(journal, clock, 6000)
        self.assertEqual(journal.pool.held[2], 4)
        self.assertEqual(journal.pool.forced_erases, 0)
        numbers = [record.first for record in self.all_of(journal, records.GAP)]
        self.assertGreater(len(numbers), 0)

    def test_full_pool_gives_up_released_sectors_first(self):
        flash = Flash(sectors=8)
        journal, clock = flash.boot()
        fill(journal, clock, 150)
        self.assertGreater(journal.newest(0)[0], 0)
        journal.release(0, 0)
        fill(journal, clock, 500)
        self.assertLess(journal.pool.find(0, 0), 0)
        self.assertEqual(journal.pool.forced_erases, 0)

    def test_what_one_site_has_goes_before_what_none_has(self):
        flash = Flash(sectors=8)
        journal, clock = flash.boot()
        fill(journal, clock, 150)
        journal.copied(0, 0)
        self.assertTrue(journal.is_copied(0, 0))
        self.assertFalse(journal.pool.is_released(journal.pool.find(0, 0)))
        journal, clock = flash.boot()
        self.assertTrue(journal.is_copied(0, 0))
        oldest = journal.pool.oldest(1)
        while journal.pool.find(0, 0) >= 0:
            fill(journal, clock, 10)
        # No gap is said of bytes that a site has, and nothing else was given up for them.
        self.assertEqual(self.all_of(journal, records.GAP), [])
        self.assertEqual(journal.pool.oldest(1), oldest)

    def test_oldest_is_known_through_every_erase(self):
        flash = Flash(sectors=12)
        journal, clock = flash.boot()
        for _ in range(40):
            fill(journal, clock, 60)
            fill(journal, clock, 30, cls=1)
            for cls in range(3):
                pool = journal.pool
                held = [pool.number(at) for at in range(pool.count) if pool.owner(at) == cls]
                self.assertEqual(pool.oldest(cls), min(held) if held else -1)

    def test_overwriting_what_no_site_has_leaves_a_gap_record(self):
        flash = Flash(sectors=8)
        journal, clock = flash.boot()
        fill(journal, clock, 1200)
        oldest = journal.pool.oldest(0)
        self.assertGreater(oldest, 0)
        gaps = [record.first for record in self.all_of(journal, records.GAP)]
        held = [number for number in gaps if number >= oldest]
        self.assertEqual(held, [])
        self.assertIn(oldest - 1, gaps)

    def all_of(self, journal, kind):
        found = []
        for cls in range(3):
            found += read_all(journal, cls, kind)
        return found

    def test_released_mark_survives_a_boot(self):
        flash = Flash()
        journal, clock = flash.boot()
        fill(journal, clock, 200)
        journal.release(0, 0)
        journal, _ = flash.boot()
        self.assertTrue(journal.pool.is_released(journal.pool.find(0, 0)))

    def test_recovery_erases_nothing(self):
        flash = Flash()
        journal, clock = flash.boot()
        fill(journal, clock, 400)
        erases = flash.chip.erases
        flash.boot()
        self.assertEqual(flash.chip.erases, erases)

    def test_foreign_sector_is_set_aside_and_counted(self):
        flash = Flash()
        flash.log.writeblocks(5, b"another firmware's data", 0)
        flash.log.writeblocks(6, b"\x00", 4000)
        journal, clock = flash.boot()
        self.assertEqual(journal.pool.set_aside, 1)
        fill(journal, clock, 600)
        journal.pool.prepare()
        sector = bytearray(23)
        flash.log.readblocks(5, sector, 0)
        self.assertEqual(bytes(sector), b"another firmware's data")
        self.assertEqual(len(stored(journal)), 600)

    def test_hours_left_follow_from_the_rate_since_boot(self):
        flash = Flash(sectors=40)
        journal, clock = flash.boot()
        fill(journal, clock, 30)
        self.assertIsNone(journal.hours_left())
        fill(journal, clock, 300, first=30)
        hours = journal.hours_left()
        blank = journal.pool.ready + journal.pool.unknown
        self.assertGreater(blank, 30)
        rate = journal.programmed / 330
        self.assertLess(
            abs(hours - blank * (layout.SEAL_AT - layout.HEADER_SIZE) / rate / 3600), 0.01
        )
        fill(journal, clock, 600, first=330)
        self.assertLess(journal.hours_left(), hours)

    def test_sector_an_hour_old_is_sealed(self):
        journal, clock = Flash().boot()
        fill(journal, clock, 5)
        clock.now_ms += 3700000
        while journal.newest(0)[0] == 0:
            journal.idle()
        self.assertGreater(journal.closed_end(0, 0), layout.HEADER_SIZE)


if __name__ == "__main__":
    unittest.main()
