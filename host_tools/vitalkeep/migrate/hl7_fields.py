"""The text of a field of an HL7 v2 message, with its escapes undone. Pure.

A message says in MSH-1 and MSH-2 which characters separate and which one escapes. What `hl7`
offers drops the sequences that it does not know, and writes what they stood in to the log.
Source: HL7 v2.6 chapter 2, 2.5.4 and 2.7.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import hl7

from vitalkeep.migrate.readings import ENCODING, Refused

_SEPARATORS = "FRST"  # as `hl7` has them, behind the one of segments


def text_at(around: dict[str, Any], address: str, encoding: str) -> str:
    """Return the text of a field, or of one component, "" where it is not there.

    around    segments by their names
    encoding  of the file: of bytes that are escaped as hexadecimal digits
    Raises    Refused, if those are no text of it
    """
    name, _, rest = address.partition("-")
    field, _, component = rest.partition(".")
    segment = around.get(name)
    if segment is None or int(field) >= len(segment):
        return ""
    found = segment[int(field)]
    if component:
        # The first repetition; one that has no components is its own first.
        first = found[0] if len(found) else ""
        parts = first if isinstance(first, hl7.Repetition) else [found]
        found = parts[int(component) - 1] if int(component) <= len(parts) else ""
    return _plain(str(found), segment.esc, segment.separators, encoding).strip()


def _plain(text: str, escape: str, separators: str, encoding: str) -> str:
    """Undo escapes; a sequence of another kind (a font, a code page, a line end) stays."""
    if escape not in text:
        return text
    meant = dict(zip(_SEPARATORS, separators[1:], strict=True))
    meant |= {"E": escape, "H": "", "N": ""}  # highlighting begins, and ends

    def undo(found: re.Match[str]) -> str:
        if found["name"] is not None:
            return meant.get(found["name"], found[0])
        # Next to each other they may be one character of several bytes.
        digits = found["bytes"].replace(escape, "").replace("X", "")
        try:
            return bytes.fromhex(digits).decode(encoding)
        except UnicodeError as error:
            raise Refused(ENCODING, str(error)[:200]) from None

    return _escapes(escape).sub(undo, text)


@lru_cache(maxsize=16)
def _escapes(escape: str) -> re.Pattern[str]:
    mark = re.escape(escape)
    return re.compile(
        rf"(?P<bytes>(?:{mark}X(?:[0-9A-Fa-f]{{2}})+{mark})+)|{mark}(?P<name>[A-Z.][\w.+-]*){mark}"
    )
