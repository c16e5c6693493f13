"""HMAC-SHA256 against the vectors of RFC 4231."""

import unittest
from binascii import hexlify

from bridge.core.mac import Hmac, hmac_sha256, same


class TestHmac(unittest.TestCase):
    def test_published_vectors(self):
        for key, data, digest in (
            (
                b"\x0b" * 20,
                b"Hi There",
                b"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                b"\xaa" * 20,
                b"\xdd" * 50,
                b"773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
        ):
            self.assertEqual(hexlify(hmac_sha256(key, data)), digest)
            self.assertEqual(hexlify(hmac_sha256(key, data[:5], data[5:])), digest)

    def test_our_own_is_that_of_the_host(self):
        for size in (0, 1, 55, 56, 64, 300):
            mac = Hmac(b"k" * 32)
            mac.update(b"d" * size)
            self.assertEqual(mac.digest(), hmac_sha256(b"k" * 32, b"d" * size))

    def test_same_compares_every_byte(self):
        self.assertTrue(same(b"abc", b"abc"))
        self.assertFalse(same(b"abc", b"abx"))
        self.assertFalse(same(b"abc", b"ab"))


if __name__ == "__main__":
    unittest.main()
