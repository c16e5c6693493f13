"""Whom links are measured with: the same site over all of them."""

from micropython import const

_GIVE_UP = const(2)  # questions in a row that a site may leave unanswered


class Prober:
    """Asks the same site over all links, so that they compare, and another when it is gone.

    probes  objects with ask(interface), in the order of preference
    """

    def __init__(self, probes):
        self._probes = probes
        self._number = 0
        self._missed = {}  # by interface: questions in a row without an answer

    async def ask(self, interface):
        """Return the round trip in milliseconds, None when nobody answered."""
        trip_ms = await self._probes[self._number].ask(interface)
        missed = 0 if trip_ms is not None else self._missed.get(interface, 0) + 1
        self._missed[interface] = missed
        if missed < _GIVE_UP:
            return trip_ms
        # The link is dead, or the site is: who else answers over it tells.
        for step in range(1, len(self._probes)):
            number = (self._number + step) % len(self._probes)
            trip_ms = await self._probes[number].ask(interface)
            if trip_ms is not None:
                self._number = number
                break
        return trip_ms
