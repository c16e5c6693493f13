"""Every capture in hexadecimal gives its events, on both interpreters, however it is cut."""

import json
import os
import unittest

from bridge.core.protocols import make_decoder
from tests.support.decoding import CAPTURES, capture_events, damage, decode, readings

# Their own tests read these: what they mean depends on the questions of a whole map.
APART = ("modbus_rtu",)


def captures():
    """Return (protocol, path without ending) of each."""
    found = []
    for name in sorted(os.listdir(CAPTURES)):
        for file in sorted(os.listdir(CAPTURES + name)):
            if file.endswith(".hex") and name not in APART:
                found.append((name, CAPTURES + name + "/" + file[:-4]))
    return found


def expected(name, path):
    """Return (options, events) of a capture."""
    with open(path + ".json") as file:
        known = json.load(file)
    if isinstance(known, dict):
        return known["options"], known["events"]
    if name == "nonin":
        return {"format": int(path.rsplit("_", 1)[1])}, known
    return {}, known


class TestCaptures(unittest.TestCase):
    def test_there_are_some_of_most_protocols(self):
        self.assertTrue(len({name for name, _ in captures()}) >= 15)

    def test_each_gives_its_events(self):
        for name, path in captures():
            with self.subTest(path=path):
                options, events = expected(name, path)
                self.assertEqual(capture_events(name, path + ".hex", options), events)

    def test_each_gives_them_however_it_is_cut(self):
        for name, path in captures():
            options, events = expected(name, path)
            with open(path + ".hex") as file:
                lines = file.read().split("\n")
            if any(line.startswith(">") for line in lines):
                continue
            data = b"".join(bytes.fromhex(line[1:]) for line in lines if line.startswith("<"))
            for size in (1, 3, 17):
                with self.subTest(path=path, size=size):
                    found = decode(make_decoder(name, options), data, size)
                    self.assertEqual(readings(found), readings(events))
                    self.assertEqual(damage(found), damage(events))


if __name__ == "__main__":
    unittest.main()
