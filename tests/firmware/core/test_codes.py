"""The table of parameters: no id, label or code means two things."""

import unittest

from bridge.core.codes import PARAMETERS
from bridge.core.protocols.hl7_codes import CODES

_PARTITION = 131072  # 2 x 65536: SCADA
_PRIVATE = 0xF000


class TestParameters(unittest.TestCase):
    def test_an_id_and_a_label_have_one_row(self):
        for column in (0, 1):
            seen = [row[column] for row in PARAMETERS]
            self.assertEqual(len(seen), len(set(seen)))
        self.assertTrue(all(0 < row[0] < 0x8000 for row in PARAMETERS))

    def test_a_name_has_one_code_and_a_code_has_one_name(self):
        names, codes = {}, {}
        for _, label, mdc, code, _, _ in PARAMETERS:
            if not mdc:
                self.assertEqual(code, 0, label)
                continue
            self.assertEqual(names.setdefault(mdc, code), code, label)
            if code:
                self.assertEqual(codes.setdefault(code, mdc), mdc, label)

    def test_codes_are_the_standards_own(self):
        for _, label, _, code, _, _ in PARAMETERS:
            if code:
                self.assertTrue(_PARTITION < code < _PARTITION + _PRIVATE, label)

    def test_every_value_has_a_unit(self):
        for _, label, _, _, ucum, certainty in PARAMETERS:
            self.assertTrue(ucum, label)
            self.assertTrue(certainty in (0, 1, 2))

    def test_inspired_oxygen_is_one_thing_by_whatever_code(self):
        self.assertEqual(
            [row[3] for row in PARAMETERS if row[1] in ("FiO2", "FiO2 gas")], [152196] * 2
        )
        for code in (152196, 153144, 151920, 160920):
            self.assertEqual([found for known, _, found in CODES if known == code], [96])

    def test_what_hl7_senders_say_is_in_the_table(self):
        known = {row[0] for row in PARAMETERS}
        self.assertTrue(all(parameter in known for _, _, parameter in CODES))


if __name__ == "__main__":
    unittest.main()
