"""The published vectors of docs/formats are what this code does."""

import json
import unittest
from binascii import unhexlify

from bridge.core.journal import layout
from bridge.core.journal.reader import SectorReader, verify_seal
from tests.support import vectors
from tests.support.gateway import cipher

_FILE = "docs/formats/log_vectors.json"


class TestVectors(unittest.TestCase):
    def setUp(self):
        with open(_FILE) as file:
            self.published = json.load(file)

    def test_this_code_makes_the_published_bytes(self):
        made = json.loads(json.dumps(vectors.build()))
        for name in self.published:
            self.assertEqual(made[name], self.published[name])

    def test_published_sector_can_be_put_together_from_its_parts(self):
        said = self.published["sector"]
        data = bytearray(b"\xff" * layout.SECTOR_SIZE)
        header = unhexlify(said["header"])
        data[: len(header)] = header
        for part in said["frames"]:
            frame = unhexlify(part["frame"])
            data[part["offset"] : part["offset"] + len(frame)] = frame
        data[layout.SEAL_AT :] = unhexlify(said["seal"])
        key = unhexlify(said["chain_key"])
        tag = verify_seal(data, key, unhexlify(said["previous_tag"]))
        self.assertEqual(tag, unhexlify(said["tag"]))
        found = SectorReader(cipher, key).feed(data)
        self.assertEqual(len(found), len(said["records"]))


if __name__ == "__main__":
    unittest.main()
