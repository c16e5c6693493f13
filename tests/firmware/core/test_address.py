"""Which hosts are given in numbers."""

import unittest

from bridge.core.address import is_address


class TestAddress(unittest.TestCase):
    def test_an_address_is_four_numbers(self):
        for host in ("10.0.0.5", "255.255.255.255", "0.0.0.0"):
            self.assertTrue(is_address(host))
        for host in ("10.0.0", "10.0.0.256", "10.0.0.5.1", "a.b.c.d", "10.0.0.", "10.0.0.0005"):
            self.assertFalse(is_address(host))


if __name__ == "__main__":
    unittest.main()
