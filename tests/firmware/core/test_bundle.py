"""A bundle's head and manifest as a board reads them. Runs on both interpreters."""

import json
import struct
import unittest

from bridge.core import bundle
from bridge.core.errors import FormatError

_FACTS = {"version": "0.2.0", "board": "ANY", "mpy": 7, "config": 1}
_CHANGES = (
    {"version": "0.2.x"}, {"version": 2}, {"board": None}, {"mpy": "7"}, {"config": []},
    {"base": 3}, {"base": "0.1.0", "patch": 3}, {"base": "0.1.0", "patch": ["bridge.app", 3]},
)  # fmt: skip


class BundleTest(unittest.TestCase):
    def test_manifest_is_read_back_as_it_was_packed(self):
        for more in ((), ("0.1.0", ["bridge.app", "wiring"])):
            made = bundle.Manifest("0.2.0", "ANY", 7, 1, *more)
            found = bundle.parse_manifest(made.pack())
            self.assertEqual(found.pack(), made.pack())
            found.check(bundle.Manifest("0.1.0", "ANY", 7, 1, "0.1.0"))

    def test_what_makes_no_sense_is_no_manifest(self):
        for data in (b"", b"[" * 2000, b'{"version":' * 180, b"[]", b"7", b"{}"):
            with self.assertRaises(FormatError):
                bundle.parse_manifest(data)
        for change in _CHANGES:
            facts = dict(_FACTS)
            facts.update(change)
            with self.assertRaises(FormatError):
                bundle.parse_manifest(json.dumps(facts).encode())

    def test_head_that_says_more_than_can_be_is_refused(self):
        least = bundle.HEAD_SIZE + bundle.TAIL_SIZE
        self.assertEqual(
            bundle.parse_head(struct.pack(bundle.HEAD, bundle.MAGIC, least + 10, 2, 1)),
            (least + 10, 2, 1),
        )
        for row in (
            (b"VKB2", least, 0, 0), (bundle.MAGIC, least - 1, 0, 0),
            (bundle.MAGIC, bundle.BUNDLE_MAX + 1, 0, 0), (bundle.MAGIC, least + 7, 0, 1),
            (bundle.MAGIC, bundle.BUNDLE_MAX, 2049, 0),
            (bundle.MAGIC, bundle.BUNDLE_MAX, 2, 65535),
        ):  # fmt: skip
            with self.assertRaises(FormatError):
                bundle.parse_head(struct.pack(bundle.HEAD, *row))
        for size in range(bundle.HEAD_SIZE):
            with self.assertRaises(FormatError):
                bundle.parse_head(bytes(size))


if __name__ == "__main__":
    unittest.main()
