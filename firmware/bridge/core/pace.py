"""When to try a site again: soon, never all gateways at once, and ever less often. Pure."""

from micropython import const

_FIRST_MS = const(500)
_CHEAP_MAX_MS = const(4000)
_DEAR_MAX_MS = const(30000)
_STEADY_MS = const(60000)


class Pace:
    """The pauses between attempts at one site.

    A site that does not even take the connection costs a board nothing to try; one that breaks
    off after the handshake costs up to a second of its Python each time, and waits longer.
    """

    def __init__(self):
        self._span_ms = _FIRST_MS

    def restart(self):
        """The link is back: nothing that was learnt holds any more."""
        self._span_ms = _FIRST_MS

    def pause_ms(self, lasted_ms, dear, random):
        """Return how long to wait after an attempt that ended.

        lasted_ms  how long it was a session that receipts, 0 for none
        dear       it came as far as the handshake
        random     0 to 255, fresh
        """
        if lasted_ms >= _STEADY_MS:
            self._span_ms = _FIRST_MS
        span_ms = self._span_ms
        self._span_ms = min(2 * span_ms, _DEAR_MAX_MS if dear else _CHEAP_MAX_MS)
        # Never less than half: a thousand gateways whose broker died spread over the rest.
        return span_ms // 2 + span_ms * random // 255
