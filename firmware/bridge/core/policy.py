"""Which site gets which classes of the log. Pure; `uplink/forward.py` tells it who receipts.

Class A goes to every site that a session is held with, two of them when there are two. B and C
go to one, the "home": the first in the ward's order that receipts, and back to a better one only
after that one has receipted for a steady while. Times are milliseconds since the boot.
"""

from micropython import const

CLASS_A = const(1)  # bits, class number n is 1 << n
ALL_CLASSES = const(7)

SESSIONS_MAX = const(2)  # at once, as long as both sites receipt
_NEVER = const(-1)


class Policy:
    """The sites in the ward's order of preference, by number.

    names        of the sites
    failback_ms  how long a better site must have receipted before B and C return to it
    grace_ms     how long a site may be down before a session with a further one is held
    home         number of the site that B and C go to
    """

    def __init__(self, names, failback_ms, grace_ms):
        self.names = names
        self.home = 0
        self._failback_ms = failback_ms
        self._grace_ms = grace_ms
        self._up_ms = [_NEVER] * len(names)  # since when each has receipted
        self._down_ms = [0] * len(names)  # and since when it has not, where it does not

    def is_up(self, site):
        return self._up_ms[site] != _NEVER

    def notice(self, site, up, now_ms):
        """Take the news that a site began or ceased to receipt."""
        if up and not self.is_up(site):
            self._up_ms[site] = now_ms
        elif not up and self.is_up(site):
            self._up_ms[site] = _NEVER
            self._down_ms[site] = now_ms

    def choose(self, now_ms):
        """Decide where B and C go from now on; returns True when that is another site."""
        was = self.home
        if self._up_ms[was] == _NEVER and not self._down_ms[was] and now_ms < self._grace_ms:
            return False  # right after the boot: the first to answer need not be the best
        for site in range(len(self.names)):
            since = self._up_ms[site]
            if since == _NEVER:
                continue
            # A better site than a home that works must have proved itself.
            if site == was or not self.is_up(was) or now_ms - since >= self._failback_ms:
                self.home = site
                break
        return self.home != was

    def classes(self, site):
        """Return the classes that a site with a session gets, as bits."""
        return ALL_CLASSES if site == self.home else CLASS_A

    def is_wanted(self, site, now_ms):
        """Say whether to hold a session with a site, or to keep trying to."""
        enough = 0
        for better in range(site):
            since = self._up_ms[better]
            if since != _NEVER:
                # A session that is held already stays until the better site has proved itself.
                enough += not self.is_up(site) or now_ms - since >= self._failback_ms
            else:
                enough += now_ms - self._down_ms[better] < self._grace_ms
        return enough < SESSIONS_MAX
