"""What all kinds of links have in common: a port's network interface and how it fares."""

import time

import network
from micropython import const

NO_ADDRESS = "no_address"
STARTING = "starting"

_NOWHERE = ("0.0.0.0", None, "")
_SETTLE_MS = const(3000)  # a cable's negotiation, which is no fault yet


def status_names(nic, names):
    """Return {status: word} of the constants that this port has; `names` is (constant, word)s."""
    found = {}
    for name, word in names:
        status = getattr(network, name, getattr(nic, name, None))
        if status is not None:
            found[status] = word
    return found


class Nic:
    """One network interface.

    name             of its kind, as in the board's wiring
    binds            whether this port can bind a socket to it
    probe_ms         between two probes while it is in reserve, 0 for the usual
    renew_when_deaf  whether beginning anew helps a link that is up and carries nothing
    """

    renew_when_deaf = False

    def __init__(self, row, nic):
        self.name = row["kind"]
        self._nic = nic
        self.binds = row.get("bind", False)
        self.probe_ms = row.get("probe_ms", 0)
        self._since_ms = time.ticks_ms()
        self._is_settled = False

    @property
    def interface(self):
        """The name for SO_BINDTODEVICE, None where sockets cannot be bound."""
        return self._nic.config("ifname") if self.binds else None

    def is_up(self):
        # PPP and some ports say "connected" before there is an address.
        return self._nic.isconnected() and self._nic.ifconfig()[0] not in _NOWHERE

    def name_servers(self):
        server = self._nic.ifconfig()[3]
        return [] if server in _NOWHERE else [server]

    def look(self):
        """Return "" when the link is up, else the word for what is wrong."""
        raise NotImplementedError

    async def tend(self, beat):
        """Do what brings the link a step further up; called a few times a second."""
        if not self._nic.active():
            self._begin()

    async def renew(self):
        """Begin anew: what came up without an address gets one that way."""
        self.stop()

    def stop(self):
        """Take the link down until it is tended again."""
        self._nic.active(False)

    def _begin(self):
        self._nic.active(True)
        self._since_ms = time.ticks_ms()
        self._is_settled = False

    def _age_ms(self):
        return time.ticks_diff(time.ticks_ms(), self._since_ms)

    def _wired_fault(self, has_cable):
        if self.is_up():
            self._is_settled = True
            return ""
        if has_cable:
            return NO_ADDRESS
        is_settled = self._is_settled or self._age_ms() >= _SETTLE_MS
        return "cable_out" if is_settled else STARTING
