"""When to try a site again: soon, never all gateways at once, and ever less often. Pure."""

from micropython import const

_FIRST_MS = const(500)
_CHEAP_MAX_MS = const(4000)
_DEAR_MAX_MS = const(30000)
_DEAR_APART_MS = const(2000)
_STEADY_MS = const(60000)


class Pace:
    """The pauses between attempts at one site.

    A site that does not even take the connection costs a board nothing to try; one that breaks
    off after the handshake costs up to a second of its Python each time, and waits longer. Such
    attempts begin 2 s apart even when it is the link that flaps: lines and log need their time.
    """

    def __init__(self):
        self._span_ms = _FIRST_MS
        self._due_ms = 0
        self._dear_due_ms = 0

    def restart(self):
        """The link is back: of what was learnt only the price of a handshake still holds."""
        self._span_ms = _FIRST_MS
        self._due_ms = self._dear_due_ms

    def early_ms(self, now_ms):
        """Return how long it is until the next attempt, 0 when it is due."""
        return max(0, self._due_ms - now_ms)

    def ended(self, began_ms, now_ms, lasted_ms, dear, random):
        """Take note of an attempt that ended.

        lasted_ms  how long it was a session that receipts, 0 for none
        dear       it came as far as the handshake
        random     0 to 255, fresh
        """
        if lasted_ms >= _STEADY_MS:
            self._span_ms = _FIRST_MS
        span_ms = self._span_ms
        self._span_ms = min(2 * span_ms, _DEAR_MAX_MS if dear else _CHEAP_MAX_MS)
        # Never less than half: a thousand gateways whose broker died spread over the rest.
        self._due_ms = now_ms + span_ms // 2 + span_ms * random // 255
        if dear:
            self._dear_due_ms = began_ms + _DEAR_APART_MS
            self._due_ms = max(self._due_ms, self._dear_due_ms)
