"""ECDSA on P-256: signatures made elsewhere, and what is none. Runs on both interpreters."""

import hashlib
import unittest
from binascii import unhexlify

from bridge.core import p256

_PREFIX = unhexlify("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
# RFC 6979, A.2.5: the key, and its signatures of "sample" and "test" with SHA-256
_POINT = unhexlify(
    "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
)
_SIGNED = (
    (
        b"sample",
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
        "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
    ),
    (
        b"test",
        "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367"
        "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083",
    ),
)
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def is_right(text, signature, key=None):
    key = key or p256.key_of(_PREFIX + _POINT)
    found = list(p256.verify(key, hashlib.sha256(text).digest(), signature))
    assert found[:-1] == [None] * (len(found) - 1)
    return found[-1]


class P256Test(unittest.TestCase):
    def test_signatures_of_the_standard_are_right(self):
        for text, signature in _SIGNED:
            self.assertTrue(is_right(text, unhexlify(signature)))

    def test_another_text_or_any_changed_byte_is_wrong(self):
        text, signature = _SIGNED[0][0], unhexlify(_SIGNED[0][1])
        self.assertFalse(is_right(b"sampled", signature))
        for at in (0, 31, 32, 63):
            changed = bytearray(signature)
            changed[at] ^= 1
            self.assertFalse(is_right(text, bytes(changed)))

    def test_numbers_out_of_range_are_wrong_at_once(self):
        text, signature = _SIGNED[0][0], unhexlify(_SIGNED[0][1])
        for bad in (0, _N, 2**256 - 1):
            number = bad.to_bytes(32, "big")
            self.assertFalse(is_right(text, number + signature[32:]))
            self.assertFalse(is_right(text, signature[:32] + number))

    def test_a_key_that_is_not_there_or_not_on_the_curve_is_none(self):
        self.assertEqual(p256.key_of(b"certificate"), None)
        self.assertEqual(p256.key_of(_PREFIX + _POINT[:63]), None)
        self.assertEqual(p256.key_of(_PREFIX + _POINT[:63] + b"\x00"), None)
        self.assertEqual(p256.key_of(_PREFIX + b"\xff" * 64), None)


if __name__ == "__main__":
    unittest.main()
