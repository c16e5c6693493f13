"""A hardware watchdog that is fed only while every task shows that it lives."""


class Watchdog:
    """Tasks call `beat`; `feed` passes it on to the hardware while all beats are fresh.

    feed_hardware  the watchdog's feed(), or a function that does nothing where there is none
    """

    def __init__(self, clock, feed_hardware):
        self._clock = clock
        self._feed = feed_hardware
        self._last = {}
        self._limits = {}

    def expect(self, name, limit_ms):
        """Demand a beat of task `name` at least every `limit_ms` from now on."""
        self._limits[name] = limit_ms
        self.beat(name)

    def beat(self, name):
        self._last[name] = self._clock.mono_ms()

    def feed(self):
        """Feed the hardware; returns the name of a task that is late, or None."""
        now_ms = self._clock.mono_ms()
        for name, limit_ms in self._limits.items():
            if now_ms - self._last[name] > limit_ms:
                return name
        self._feed()
        return None
