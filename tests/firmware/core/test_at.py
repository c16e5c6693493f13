"""What modems answer, whole and in pieces."""

import unittest

from bridge.core.at import Answer, is_registered


def answer(data):
    made = Answer()
    made.feed(data)
    return made


class TestAnswer(unittest.TestCase):
    def test_lines_and_result(self):
        made = answer(b"\r\n+CPIN: READY\r\n\r\nOK\r\n")
        self.assertEqual((made.lines, made.result), (["+CPIN: READY"], "OK"))
        self.assertEqual(made.value("+CPIN:"), "READY")
        self.assertEqual(made.value("+CREG:"), None)

    def test_each_result_code_ends_the_answer(self):
        for result in ("OK", "ERROR", "NO CARRIER", "BUSY", "CONNECT", "CONNECT 150000000",
                       "+CME ERROR: 10", "+CMS ERROR: 500"):  # fmt: skip
            self.assertEqual(answer(b"\r\n" + result.encode() + b"\r\nmore").result, result)

    def test_what_is_no_result_is_not_taken_for_one(self):
        for line in (b"OKAY", b"RDY", b"+CPIN: NOT READY", b"ok", b"CONNECTED"):
            self.assertEqual(answer(line + b"\r\n").result, "")

    def test_a_result_code_without_its_end_is_not_one_yet(self):
        made = answer(b"AT\r\r\nO")
        made.feed(b"K")
        self.assertEqual(made.result, "")
        made.feed(b"\r")
        self.assertEqual((made.lines, made.result), (["AT"], "OK"))

    def test_noise_is_bounded(self):
        made = answer(bytes(range(256)) * 20 + b"\r\n" + b"x\r\n" * 100 + b"OK\r\n")
        self.assertEqual(made.result, "OK")
        self.assertEqual(len(made.lines), 12)
        self.assertTrue(all(len(line) <= 120 for line in made.lines))

    def test_registration(self):
        for text, state in (("0,1", True), ("0,5", True), ("2,5,\"00C3\"", True), ("0,3", False),
                            ("0,2", None), ("0,0", None), ("7", None), ("", None)):  # fmt: skip
            made = answer(b"\r\n+CEREG: " + text.encode() + b"\r\nOK\r\n")
            self.assertEqual(is_registered(made, "+CEREG:"), state)
        self.assertEqual(is_registered(answer(b"OK\r\n"), "+CEREG:"), None)


if __name__ == "__main__":
    unittest.main()
