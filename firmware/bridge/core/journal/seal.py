"""Keys, encryption and seals of a log (docs/formats/log.md, "Keys").

The cipher is passed in: `cipher(key)` returns an object whose `encrypt(blocks)` is AES-256 in
ECB mode (`cryptolib.aes(key, 1)` on boards, `cryptography` on hosts). Counter mode is made of it
here, since stock boards have none.
"""

import struct

from bridge.core.journal.layout import BLANK, RELEASED_AT, SEAL_TAG_SIZE
from bridge.core.mac import Hmac, hmac_sha256

_NEXT = b"vitalkeep next"
_ENCRYPT = b"vitalkeep encrypt"
_RESUME = b"vitalkeep resume"
_SEAL = b"vitalkeep seal"

FIRST_SEAL = bytes(SEAL_TAG_SIZE)  # what sector 0 of a log is chained to


def next_chain_key(key):
    """Return chain key n + 1 from chain key n: the way back does not exist."""
    return hmac_sha256(key, _NEXT)


def _untouched(header):
    """Return the header's bytes as they were before anyone cleared the released mark."""
    data = bytearray(header)
    data[RELEASED_AT] = BLANK
    return data


def sector_key(chain_key, header):
    """Return the encryption key of the sector that opens with the bytes `header`."""
    return hmac_sha256(chain_key, _ENCRYPT, _untouched(header))


def resume_key(sector_key, random, at):
    """Return the key for what follows the resume frame at offset `at`."""
    return hmac_sha256(sector_key, _RESUME, random, struct.pack("<H", at))


def seal_tag(chain_key, header, body, previous):
    """Return the 16-byte tag of a sector.

    header    its HEADER_SIZE bytes
    body      what follows, up to the end of what was ever programmed
    previous  tag of the sector before, FIRST_SEAL for the first
    """
    header = _untouched(header)
    mac = Hmac(hmac_sha256(chain_key, _SEAL, header))
    mac.update(previous)
    mac.update(struct.pack("<H", len(header) + len(body)))
    mac.update(header)
    mac.update(body)
    return mac.digest()[:SEAL_TAG_SIZE]


class Counter:
    """AES-256 counter mode over the bytes of one sector, addressed by their offset.

    The counter block is 12 zero bytes and the number of the 16-byte block in the sector; the key
    belongs to this sector, or to the part of it behind one resume, and each offset is programmed
    once. So no block is ever used twice.
    """

    def __init__(self, cipher, key):
        self._encrypt = cipher(key).encrypt
        self._blocks = {}

    def apply(self, data, start, stop, offset):
        """Encrypt or decrypt data[start:stop] in place; data[start] is at `offset`."""
        first = offset // 16
        count = (offset + stop - start + 15) // 16 - first
        blocks = self._blocks.get(count)
        if blocks is None:
            # Commits of one device come in few sizes; a buffer for each spares the heap.
            blocks = self._blocks[count] = bytearray(16 * count)
        for index in range(count):
            struct.pack_into(">I", blocks, 16 * index + 12, first + index)
        stream = self._encrypt(blocks)
        skip = offset - 16 * first
        for index in range(stop - start):
            data[start + index] ^= stream[skip + index]
