"""Lines of text that end with CR, LF or both, taken out of a receive buffer without allocating."""

from micropython import const

from bridge.core.rxbuf import RxBuffer

_LF = const(0x0A)
_CR = const(0x0D)

NOTHING = const(0)
LINE = const(1)
TOO_LONG = const(2)


class TextLines:
    """Lines of at most `line_max` bytes; empty ones are passed over.

    rx       RxBuffer to feed
    line     bytearray; after LINE its first `size` bytes are the line, until the next call
    skipped  after TOO_LONG, how many bytes the line had
    """

    def __init__(self, rx_size, line_max):
        self.rx = RxBuffer(rx_size)
        self.line = bytearray(line_max)
        self.size = 0
        self.skipped = 0
        self._line_max = line_max
        self._at = 0  # bytes of rx that are in the line already
        self._told = False

    def next(self):
        """Return LINE, TOO_LONG or, until more bytes arrive, NOTHING."""
        if self._told:
            self._told = False
            self.size = self.skipped = 0
        rx = self.rx
        data = rx.data
        line = self.line
        while self._at < rx.count:
            byte = data[self._at]
            self._at += 1
            if byte == _LF or byte == _CR:
                if self.skipped:
                    self._told = True
                    return TOO_LONG
                if self.size:
                    self._told = True
                    return LINE
            elif self.skipped:
                self.skipped += 1
            elif self.size == self._line_max:
                self.skipped = self._line_max + 1
                self.size = 0
            else:
                line[self.size] = byte
                self.size += 1
        rx.drop(rx.count)
        self._at = 0
        return NOTHING
