"""What a modem answers to an AT command (ITU-T V.250, 3GPP TS 27.007). Pure.

Lines end with CR LF; the last line of an answer is a result code. What a modem says unasked
stands between the lines of an answer, and is kept with them.
"""

from micropython import const

_LINE_MAX = const(120)
_LINES_MAX = const(12)

_RESULTS = ("OK", "ERROR", "CONNECT", "NO CARRIER", "NO DIALTONE", "BUSY", "NO ANSWER")


class Answer:
    """The lines of one answer as they come.

    lines   so far, at most 12 of at most 120 letters; the result code is not among them
    result  "OK", "CONNECT", "+CME ERROR: 10" and so on, "" until it has come
    """

    def __init__(self):
        self.lines = []
        self.result = ""
        self._line = bytearray()

    def feed(self, data):
        """Take bytes; what comes after the result code is not looked at."""
        for byte in data:
            if self.result:
                return
            if byte == 10 or byte == 13:
                self._end_line()
            elif 32 <= byte < 127 and len(self._line) < _LINE_MAX:
                self._line.append(byte)

    def value(self, prefix):
        """Return what follows `prefix` in the line that starts with it, None when none does."""
        for line in self.lines:
            if line.startswith(prefix):
                return line[len(prefix) :].strip()
        return None

    def _end_line(self):
        line, self._line = bytes(self._line).decode(), bytearray()
        if not line:
            return
        is_error = line.startswith("+CME ERROR:") or line.startswith("+CMS ERROR:")
        if is_error or line in _RESULTS or line.startswith("CONNECT "):
            self.result = line
        elif len(self.lines) < _LINES_MAX:
            self.lines.append(line)


def is_registered(answer, prefix):
    """Say whether a +CREG or +CEREG answer means that the network has let us in.

    Returns True at home (1) and abroad (5), False when it was denied (3), None while searching.
    """
    fields = (answer.value(prefix) or "").split(",")
    state = fields[1].strip() if len(fields) > 1 else ""
    if state in ("1", "5"):
        return True
    return False if state == "3" else None
