"""A ring for the longest stall, or no such line: the arithmetic and the refusals."""

import unittest

from bridge.core.errors import ConfigError
from bridge.core.rings import check_rings, receive_ring, ring_memory


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

    def refused(self, wiring, lines, *words):
        try:
            check_rings(wiring, lines)
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

    def test_lines_without_a_uart_need_no_ring(self):
        check_rings(DMA, [line(0, 115200), line(1, 115200, tcp="10.0.0.7:4601"), line(9, 115200)])


if __name__ == "__main__":
    unittest.main()
