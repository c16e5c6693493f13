"""A ring for the longest stall, or no such line: the arithmetic and the refusals."""

import unittest

from bridge.core.errors import ConfigError
from bridge.core.rings import GATEWAY_HEAP, check_rings, receive_ring, ring_memory, room_for_rings


def line(uart, baud, bits=8, parity="N", stop=1, **more):
    made = {"uart": uart, "baud": baud, "bits": bits, "parity": parity, "stop": stop}
    made.update(more)
    return made


class Wiring:
    """Stand in for a wiring module."""

    def __init__(self, uarts, **more):
        self.UARTS = uarts
        for name in more:
            setattr(self, name, more[name])


PLAIN = Wiring({0: {}, 1: {}})
WIDE = Wiring({0: {}, 1: {}, 2: {}}, RXBUF_MAX=65535)
DMA = Wiring({0: {"dma": "rp2040"}, 1: {"dma": "rp2040"}})
TIGHT = Wiring({0: {"dma": "rp2040"}, 1: {}}, HEAP=207 * 1024, TLS_ROOM=26 * 1024)


class TestRings(unittest.TestCase):
    def test_ring_is_what_comes_in_1200_ms(self):
        self.assertEqual(receive_ring(line(0, 115200)), 13824)
        self.assertEqual(receive_ring(line(0, 9600)), 1152)
        self.assertEqual(receive_ring(line(0, 9600, 7, "E")), 1152)
        self.assertEqual(receive_ring(line(0, 9600, 7)), 1280)  # nine bit times each
        self.assertEqual(receive_ring(line(0, 9600, 8, "E", 2)), 960)
        self.assertEqual(receive_ring(line(0, 300)), 256)

    def test_dma_ring_is_a_power_of_two_with_room_to_lie_right(self):
        self.assertEqual(ring_memory(line(0, 9600), True), 8192)
        self.assertEqual(ring_memory(line(0, 115200), True), 65536)
        self.assertEqual(ring_memory(line(0, 115200), False), 13824)

    def refused(self, wiring, lines, *words, sessions=0):
        try:
            check_rings(wiring, lines, sessions)
        except ConfigError as error:
            for word in words:
                self.assertIn(word, str(error))
            return
        self.fail("was taken")

    def test_what_fits_is_taken(self):
        check_rings(PLAIN, [line(0, 115200), line(1, 230400)])
        check_rings(WIDE, [line(0, 460800), line(1, 115200), line(2, 57600)])
        check_rings(DMA, [line(0, 115200), line(1, 9600)])

    def test_line_too_fast_for_its_port_is_refused(self):
        self.refused(PLAIN, [line(1, 460800)], "uart 1", "460800", "32766", "1200 ms")
        self.refused(WIDE, [line(0, 921600)], "uart 0", "65535")
        self.refused(DMA, [line(0, 230400)], "27648", "16384")

    def test_rings_that_leave_no_memory_are_refused(self):
        self.refused(DMA, [line(0, 115200), line(1, 115200)], "131072", "81920")
        self.refused(WIDE, [line(0, 460800), line(1, 460800)], "110592")

    def test_rings_share_the_heap_with_the_gateway_and_its_sessions(self):
        left = 207 * 1024 - GATEWAY_HEAP
        self.assertEqual(room_for_rings(TIGHT, 0), left)
        self.assertEqual(room_for_rings(TIGHT, 2), left - 2 * 26 * 1024)
        self.assertEqual(room_for_rings(Wiring({}, HEAP=4096, TLS_ROOM=26 * 1024), 2), 0)
        check_rings(TIGHT, [line(0, 115200)], 1)
        self.refused(TIGHT, [line(0, 115200)], "65536", "39936", "2 TLS", sessions=2)
        check_rings(TIGHT, [line(0, 9600), line(1, 115200)], 2)  # without DMA, that fits

    def test_a_port_with_heaps_of_its_own_for_both_is_held_to_the_fixed_limit(self):
        self.assertEqual(room_for_rings(Wiring({}, HEAP=160 * 1024), 2), 81920)
        self.assertEqual(room_for_rings(DMA, 2), 81920)

    def test_lines_without_a_uart_need_no_ring(self):
        check_rings(DMA, [line(0, 115200), line(1, 115200, tcp="10.0.0.7:4601"), line(9, 115200)])


if __name__ == "__main__":
    unittest.main()
