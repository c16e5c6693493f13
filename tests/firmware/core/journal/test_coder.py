"""The range coder: what goes in comes out, in machine code as in Python, and can be taken back."""

import unittest
from array import array

from bridge.core.errors import FormatError
from bridge.core.journal import coder, model, plain
from bridge.core.journal.coder import EVEN, Decoder, Encoder
from hil.virtual_board.nor import Random


def step(state, cells, draw):
    """Return (context, bit): each of four contexts has odds of its own."""
    context = draw.below(len(cells))
    return context, 1 if draw.below(16) < 5 * context else 0


class TestTwins(unittest.TestCase):
    def test_machine_code_and_python_write_the_same_bytes(self):
        if coder.encode is plain.encode:
            self.skipTest("no native code here: the twin is tested on MicroPython")
        kept = []
        for encode in (coder.encode, plain.encode):
            draw = Random(3)
            state = array("i", (0, 0xFFFFFFF, 0, 900, 0, 0, 0))
            cells = array("H", (EVEN,) * 4)
            data = bytearray(1000)
            for _ in range(9000):
                context, bit = step(state, cells, draw)
                encode(state, data, cells, coder._RATES, context, bit)
            kept.append((state, cells, data))
        self.assertEqual(kept[0], kept[1])
        for decode in (coder.decode, plain.decode):
            draw = Random(3)
            data = kept[0][2]
            code = data[0] << 20 | data[1] << 12 | data[2] << 4 | data[3] >> 4
            state = array("i", (code, 0xFFFFFFF, 3, 900, 0, 0, 0))
            cells = array("H", (EVEN,) * 4)
            for _ in range(4000):
                context, bit = step(state, cells, draw)
                self.assertEqual(decode(state, data, cells, coder._RATES, context), bit)


class TestCoder(unittest.TestCase):
    def test_bits_come_back_at_every_length(self):
        for count in range(1, 200, 3):
            encoder, cells = Encoder(400), array("H", (EVEN,) * 4)
            draw = Random(count)
            for _ in range(count):
                context, bit = step(None, cells, draw)
                encoder.bit(cells, context, bit)
            size = encoder.finish()
            decoder, cells = Decoder(bytes(encoder.data[:size])), array("H", (EVEN,) * 4)
            draw = Random(count)
            for _ in range(count):
                context, bit = step(None, cells, draw)
                self.assertEqual(decoder.bit(cells, context, 0), bit)
            decoder.check()

    def test_rare_news_costs_little(self):
        encoder, cells = Encoder(400), array("H", (EVEN,))
        for index in range(1000):
            encoder.bit(cells, 0, 1 if index % 250 == 249 else 0)
        self.assertLess(encoder.finish(), 12)

    def test_what_did_not_fit_is_taken_back_whole(self):
        # Of long runs of ones before the mark, a carry must go back too.
        for seed in range(1, 300):
            draw = Random(seed)
            encoder = Encoder(40)
            encoder.begin(30)
            numbers = []
            while True:
                encoder.mark()
                number = 0xFFFFF - draw.below(3)
                encoder.even(number, 20)
                if encoder.is_full:
                    break
                numbers.append(number)
            encoder.undo()
            self.assertFalse(encoder.is_full)
            size = encoder.finish()
            self.assertLessEqual(size, 30)
            decoder = Decoder(bytes(encoder.data[:size]))
            self.assertEqual([decoder.even(0, 20) for _ in numbers], numbers)

    def test_commit_without_room_is_full_at_once(self):
        encoder = Encoder(40)
        for limit in (-9, 0, 3):
            encoder.begin(limit)
            self.assertTrue(encoder.is_full)

    def test_reading_past_the_data_is_found(self):
        decoder = Decoder(b"\x17")
        with self.assertRaises(FormatError):
            for _ in range(10000):
                decoder.even(0, 8)
                decoder.check()


class TestModel(unittest.TestCase):
    def test_numbers_of_every_length_come_back(self):
        numbers = [0, 1, 2, 3, 7, 8, 100, 65535, 2**31 - 1, 2**32 + 5, 2**63]
        encoder, cells = Encoder(400), model.table()
        model.clear(cells, EVEN)
        for number in numbers:
            model.number(encoder, cells, 7, number)
            model.signed(encoder, cells, 50, -number)
            model.signed(encoder, cells, 50, number)
        decoder = Decoder(bytes(encoder.data[: encoder.finish()]))
        model.clear(cells, EVEN)
        for number in numbers:
            self.assertEqual(model.number(decoder, cells, 7, 0), number)
            self.assertEqual(model.signed(decoder, cells, 50, 0), -number)
            self.assertEqual(model.signed(decoder, cells, 50, 0), number)

    def test_steady_times_cost_next_to_nothing(self):
        encoder, cells = Encoder(400), model.table()
        model.clear(cells, EVEN)
        tempo = model.Tempo()
        tempo.restart(500)
        for index in range(200):
            tempo.code(encoder, cells, 600 + index * 1024 // 10)
        size = encoder.finish()
        self.assertLess(size, 40)
        decoder = Decoder(bytes(encoder.data[:size]))
        model.clear(cells, EVEN)
        tempo.restart(500)
        for index in range(200):
            self.assertEqual(tempo.code(decoder, cells, 0), 600 + index * 1024 // 10)

    def test_samples_come_back_with_their_holes(self):
        draw = Random(9)
        wave = array("h", [draw.below(4096) - 2048 for _ in range(300)])
        wave[0] = wave[7] = wave[8] = wave[299] = -0x8000
        wave[100], wave[101] = 0x7FFF, -0x7FFF
        encoder = Encoder(1000)
        model.Samples().code(encoder, wave[:], 300)
        decoder = Decoder(bytes(encoder.data[: encoder.finish()]))
        found = array("h", bytes(600))
        model.Samples().code(decoder, found, 300)
        self.assertEqual(found, wave)


if __name__ == "__main__":
    unittest.main()
