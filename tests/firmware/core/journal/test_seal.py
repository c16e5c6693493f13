"""Counter mode and the key chain, against published vectors and as the format draws them."""

import unittest
from binascii import hexlify, unhexlify

from bridge.core.journal.seal import Counter, next_chain_key, resume_key, sector_key
from bridge.core.mac import hmac_sha256
from tests.support.gateway import cipher


class TestCounter(unittest.TestCase):
    def test_block_cipher_is_aes_256(self):
        # FIPS 197, appendix C.3
        key = bytes(range(32))
        block = unhexlify("00112233445566778899aabbccddeeff")
        found = bytearray(16)
        cipher(key).encrypt(block, found)
        self.assertEqual(hexlify(found), b"8ea2b7ca516745bfeafc49904b496089")

    def test_any_stretch_decrypts_alone(self):
        key = bytes(range(32))
        plain = bytes(index & 0xFF for index in range(700))
        whole = bytearray(plain)
        Counter(cipher, key).apply(whole, 0, 700, 70)
        self.assertNotEqual(bytes(whole), plain)
        counter = Counter(cipher, key)
        for start, stop in ((0, 1), (9, 11), (10, 26), (26, 300), (699, 700)):
            part = bytearray(whole[start:stop])
            counter.apply(part, 0, stop - start, 70 + start)
            self.assertEqual(bytes(part), plain[start:stop])

    def test_counter_block_is_the_offset_in_blocks(self):
        key = bytes(range(32))
        data = bytearray(16)
        Counter(cipher, key).apply(data, 0, 16, 5 * 16)
        block = bytes(15) + b"\x05"
        expected = bytearray(16)
        cipher(key).encrypt(block, expected)
        self.assertEqual(data, expected)


class TestKeys(unittest.TestCase):
    def test_keys_are_derived_as_the_format_says(self):
        chain, header = b"c" * 32, bytearray(70)
        self.assertEqual(next_chain_key(chain), hmac_sha256(chain, b"vitalkeep next"))
        untouched = bytearray(header)
        untouched[7] = 0xFF
        expected = hmac_sha256(chain, b"vitalkeep encrypt", untouched)
        self.assertEqual(sector_key(chain, header), expected)
        self.assertEqual(
            resume_key(expected, b"12345678", 512),
            hmac_sha256(expected, b"vitalkeep resume", b"12345678", b"\x00\x02"),
        )


if __name__ == "__main__":
    unittest.main()
