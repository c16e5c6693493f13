"""Keys, encryption and seals of a log (docs/formats/log.md, "Keys").

The cipher is passed in: `cipher(key)` returns an object whose `encrypt(blocks)` is AES-256 in
ECB mode (`cryptolib.aes(key, 1)` on boards, `cryptography` on hosts). Counter mode is made of it
here, since stock boards have none.
"""

import struct

from bridge.core.journal.layout import BLANK, RELEASED_AT, SEAL_TAG_SIZE
from bridge.core.mac import Hmac, hmac_sha256

_NEXT = b"vitalkeep next"
_EPOCH = b"vitalkeep epoch"
_ENCRYPT = b"vitalkeep encrypt"
_RESUME = b"vitalkeep resume"
_SEAL = b"vitalkeep seal"

FIRST_SEAL = bytes(SEAL_TAG_SIZE)  # what the first sector of each key epoch is chained to


def next_chain_key(key):
    """Return chain key n + 1 from chain key n: the way back does not exist."""
    return hmac_sha256(key, _NEXT)


def epoch_key(seed, cls, first):
    """Return the chain key of sector `first`, with which a class begins a spare seed's epoch."""
    return hmac_sha256(seed, _EPOCH, struct.pack("<BI", cls, first))


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


def begin_seal(chain_key, header, previous, end):
    """Return the Hmac of a sector's seal, to be fed what follows the header, up to `end`.

    header    its HEADER_SIZE bytes
    previous  tag of the sector before, FIRST_SEAL for the first
    """
    header = _untouched(header)
    mac = Hmac(hmac_sha256(chain_key, _SEAL, header))
    mac.update(previous)
    mac.update(struct.pack("<H", end))
    mac.update(header)
    return mac


def end_seal(mac):
    """Return the 16-byte tag."""
    return mac.digest()[:SEAL_TAG_SIZE]


class Counter:
    """AES-256 counter mode over the bytes of one sector, addressed by their offset.

    The counter block is 12 zero bytes and the number of the 16-byte block in the sector; the key
    belongs to this sector, or to the part of it behind one resume, and each offset is programmed
    once. So no block is ever used twice.
    """

    def __init__(self, cipher, key):
        self._encrypt = cipher(key).encrypt
        self._block = bytearray(16)
        self._stream = bytearray(16)

    def apply(self, data, start, stop, offset):
        """Encrypt or decrypt data[start:stop] in place; data[start] is at `offset`."""
        block, stream = self._block, self._stream
        known = -1
        for index in range(start, stop):
            at = offset + index - start
            if at >> 4 != known:
                known = at >> 4
                block[14] = known >> 8
                block[15] = known & 255
                self._encrypt(block, stream)
            data[index] ^= stream[at & 15]
